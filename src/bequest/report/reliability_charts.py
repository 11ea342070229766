"""Reliability diagrams: small multiples, a panel for each arm and a figure for each split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bequest.records import Curve, Point
from bequest.report.curve_charts import MOST_PANELS, left_out
from bequest.report.figure import Bar, DataTable, Figure, Mark, Panel, Series
from bequest.report.numbers import ABSENT, count, number, with_interval
from bequest.report.palette import Style, Styles
from bequest.report.scales import Scale, Tick
from bequest.report.titles import anchor

_UNIT = Scale(0.0, 1.0)
_TICKS = (Tick(0, "0"), Tick(50, "0.5"), Tick(100, "1"))
_TALLEST = 30.0  # percent of the panel's height for the fullest bin


def reliability_figures(curves: Sequence[Curve], styles: Styles) -> tuple[Figure, ...]:
    """A figure for each split, with a panel for each arm: its bins, their counts and the diagonal."""
    splits = list(dict.fromkeys(curve.split or "" for curve in curves))
    most = max(1, MOST_PANELS // len({curve.arm for curve in curves}))
    figures = [
        _figure(split, [c for c in curves if (c.split or "") == split], styles) for split in splits[:most]
    ]
    return tuple(replace(figure, notes=(*figure.notes, *left_out(splits[most:]))) for figure in figures)


def calibration_gap(points: Sequence[Point]) -> float | None:
    """Mean distance from the diagonal, each bin weighted by its count."""
    bins = [(point, 1 if point.n is None else point.n) for point in points if point.y is not None]
    total = sum(weight for _, weight in bins)
    if not total:
        return None
    return sum(weight * abs(point.x - (point.y or 0.0)) for point, weight in bins) / total


def _figure(split: str, curves: Sequence[Curve], styles: Styles) -> Figure:
    ordered = [c for style in styles.sorted(c.arm for c in curves) for c in curves if c.arm == style.name]
    return Figure(
        id=anchor(f"reliability {split or 'all'}"),
        title=split or "Reliability",
        summary=_summary(split, ordered, styles),
        table=_table(ordered, styles),
        panels=tuple(_panel(style, ordered) for style in styles.sorted(c.arm for c in curves)),
        notes=tuple(dict.fromkeys(c.note for c in ordered if c.note)),
    )


def _panel(style: Style, curves: Sequence[Curve]) -> Panel:
    of_arm = [curve for curve in curves if curve.arm == style.name]
    points = [point for curve in of_arm for point in curve.points]
    gap = calibration_gap(points)
    total = sum(point.n or 0 for point in points)
    counted = f", {count(total)} answers" if total else ""
    return Panel(
        title=style.label,
        y_title=of_arm[0].y_title,
        x_title=of_arm[0].x_title,
        x_ticks=_TICKS,
        y_ticks=_TICKS,
        series=(Series(style, marks=tuple(_mark(point) for point in points if point.y is not None)),),
        bars=_bars(points),
        diagonal=True,
        square=True,
        small=True,
        note=f"gap {number(gap)}{counted}",
    )


def _mark(point: Point) -> Mark:
    assert point.y is not None
    low, high = (None if end is None else _UNIT.at(end) for end in (point.low, point.high))
    counted = "" if point.n is None else f", n = {count(point.n)}"
    accuracy = with_interval(point.y, point.low, point.high)
    tip = f"confidence {number(point.x)}, accuracy {accuracy}{counted}"
    return Mark(x=_UNIT.at(point.x), y=_UNIT.at(point.y), low=low, high=high, tip=tip)


def _bars(points: Sequence[Point]) -> tuple[Bar, ...]:
    counted = [(point.x, point.n) for point in points if point.n]
    most = max((n for _, n in counted), default=1)
    width = 100 / max(10, len(points)) * 0.8
    return tuple(
        Bar(
            left=round(min(max(0.0, 100 * x - width / 2), 100 - width), 2),
            width=round(width, 2),
            height=round(_TALLEST * n / most, 2),
        )
        for x, n in counted
    )


def _summary(split: str, curves: Sequence[Curve], styles: Styles) -> str:
    gaps = [
        (gap, style.label)
        for style in styles.sorted(c.arm for c in curves)
        if (gap := calibration_gap([p for c in curves if c.arm == style.name for p in c.points])) is not None
    ]
    where = f"On {split}" if split else "Overall"
    if not gaps:
        return f"{where}, no bin contains an answer."
    worst, best = max(gaps), min(gaps)
    if len(gaps) == 1:
        return f"{where}, {worst[1]} is {number(worst[0])} away from the diagonal on average."
    return (
        f"{where}, {worst[1]} is farthest from the diagonal, {number(worst[0])} on average over its answers; "
        f"{best[1]} is nearest, {number(best[0])}."
    )


def _table(curves: Sequence[Curve], styles: Styles) -> DataTable:
    rows = tuple(
        (
            styles.label(curve.arm),
            number(point.x),
            with_interval(point.y, point.low, point.high),
            ABSENT if point.n is None else count(point.n),
        )
        for curve in curves
        for point in curve.points
        if point.n or point.y is not None
    )
    return DataTable(("arm", curves[0].x_title, curves[0].y_title, "n"), rows, heads=1)
