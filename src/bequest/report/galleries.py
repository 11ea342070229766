"""Samples as pictures, one beside the other, with what is said of each."""

from __future__ import annotations

from collections.abc import Sequence

from bequest.records import Curve, Point
from bequest.report.figure import DataTable, Figure, Gallery, Picture
from bequest.report.numbers import count
from bequest.report.palette import Styles
from bequest.report.titles import anchor, capitalised, chart_section


def gallery_figure(name: str, curves: Sequence[Curve], styles: Styles, *, title: str = "") -> Figure:
    """A gallery for each curve of kind ``images``; ``;`` parts the lines of a point's label."""
    shown = [(c, [p for p in c.points if p.image is not None]) for c in curves]
    several = len(curves) > 1
    heading = title or chart_section(name).title
    return Figure(
        id=anchor(f"chart {name}"),
        title=heading,
        summary=" ".join(_summary(curve, points) for curve, points in shown),
        table=DataTable(
            ("sample", "arm", *(("x", "y") if several else (curves[0].x_title, curves[0].y_title)), "of"),
            tuple(
                (p.label or "", styles.label(c.arm), count(p.x), count(p.y or 0.0), str(p.n or ""))
                for c, points in shown
                for p in points
            ),
            heads=2,
        ),
        galleries=tuple(
            Gallery(capitalised(styles.label(c.arm)) if several else "", tuple(map(_picture, points)))
            for c, points in shown
        ),
    )


def _picture(point: Point) -> Picture:
    return Picture(point.image or "", tuple(filter(None, (point.label or "").split("; "))))


def _summary(curve: Curve, points: Sequence[Point]) -> str:
    """Of the first picture, which changed most."""
    if not points:
        return "No image changed in this way."
    first = points[0]
    of = f" of {first.n}" if first.n else ""
    return (
        f"Of {len(points)} images the first has {count(first.x)}{of} {curve.x_title} and "
        f"{count(first.y or 0.0)}{of} {curve.y_title}."
    )
