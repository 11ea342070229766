"""Curves as paths: lines that break where a value is missing, bands, means over seeds."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from bequest.records import Curve, Point
from bequest.report.scales import Scale

MOST_POINTS = 160


def line_path(curve: Curve, x: Scale, y: Scale) -> str:
    """An SVG path through the known points, in whole thousandths of the panel from its top left."""
    steps = curve.kind == "steps"
    parts: list[str] = []
    for run in _runs(curve.points, y):
        places = [_place(x.at(point.x), y.at(point.y or 0.0)) for point in run]
        if len(places) == 1:
            parts.append(f"M{places[0]}h0")
            continue
        parts.append(f"M{places[0]}")
        for before, after in pairwise(places):
            parts.append(f"H{after.split(',')[0]}V{after.split(',')[1]}" if steps and before else f"L{after}")
    return "".join(parts)


def band_path(curve: Curve, x: Scale, y: Scale) -> str:
    """An SVG path around the intervals of the curve; empty where it has none."""
    parts: list[str] = []
    xs = [point.x for point in curve.points]
    if xs != sorted(xs):
        return ""
    for run in _runs(curve.points, y):
        bounded = [(point.x, point.low, point.high) for point in run]
        ends = [(at, low, high) for at, low, high in bounded if low is not None and high is not None]
        if len(ends) < 2:
            continue
        upper = [_place(x.at(at), y.inside(high)) for at, _, high in ends]
        lower = [_place(x.at(at), y.inside(low)) for at, low, _ in reversed(ends)]
        parts.append(f"M{'L'.join([*upper, *lower])}Z")
    return "".join(parts)


def mean_curve(curves: Sequence[Curve]) -> Curve:
    """The mean over seeds at each place that all of them reached; ``n`` counts the seeds."""
    tables = [{point.x: point for point in curve.points} for curve in curves]
    points = []
    for point in curves[0].points:
        values = [table[point.x].y for table in tables if point.x in table]
        defined = [value for value in values if value is not None]
        # The mean of those seeds that got this far would jump where one of them ends.
        mean = sum(defined) / len(defined) if len(defined) == len(curves) else None
        points.append(Point(x=point.x, y=mean, n=len(defined), label=point.label))
    return curves[0].model_copy(update={"points": tuple(points), "seed": None})


def thinned(curve: Curve, most: int = MOST_POINTS) -> Curve:
    """The curve with no more than about ``most`` points, its first and last among them."""
    stride = -(-len(curve.points) // most)
    if stride <= 1:
        return curve
    return curve.model_copy(update={"points": (*curve.points[:-1:stride], curve.points[-1])})


def _runs(points: Sequence[Point], y: Scale) -> list[list[Point]]:
    runs: list[list[Point]] = [[]]
    for point in points:
        if point.y is None or (y.log and point.y <= 0):
            runs.append([])
        else:
            runs[-1].append(point)
    return [run for run in runs if run]


def _place(x: float, y: float) -> str:
    return f"{10 * x:.0f},{10 * (100 - y):.0f}"
