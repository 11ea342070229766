"""Maps: a value over a grid of two parameters, as cells in the colours of a few levels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from bequest.records import Curve, Point
from bequest.report.figure import Cell, DataTable, Figure, Level, Mark, Panel, Series
from bequest.report.numbers import ABSENT, number, with_interval
from bequest.report.palette import Styles
from bequest.report.scales import Scale, Tick, looks_logarithmic, scale_over, tick_text
from bequest.report.titles import anchor, capitalised, chart_section, joined

MOST_LEVELS = 12
MOST_TABLE_ROWS = 13
RISING = ("#00306f", "#2a5480", "#55738c", "#7e9292", "#a9b08f", "#d3cb7c", "#fde945")
"""Dark blue to yellow: rising for every reader, and in grey print."""

BELOW = ("#08519c", "#4a8fc7", "#bcd7ea")
ABOVE = ("#f6d3b3", "#e08a3c", "#a04a00")
"""Blue where a value is below zero, orange where it is above."""


@dataclass(frozen=True)
class Levels:
    """The values at which the colours of a map change, and the colours between."""

    edges: tuple[float, ...]
    colours: tuple[str, ...]

    def of(self, value: float) -> int:
        """The level that ``value`` lies in.

        >>> levels_over([0.0, 0.5, 1.0]).of(0.55) == levels_over([0.0, 0.5, 1.0]).of(0.59)
        True
        """
        return max(0, sum(value >= edge for edge in self.edges[:-1]) - 1)

    def shown(self) -> tuple[Level, ...]:
        """Each colour with the values that it stands for."""
        texts = [tick_text(edge) for edge in self.edges]
        return tuple(
            Level(colour, low, high)
            for colour, (low, high) in zip(self.colours, pairwise(texts), strict=True)
        )


def levels_over(values: Sequence[float]) -> Levels:
    """About ``MOST_LEVELS`` levels with round edges; two ramps that meet at zero where the sign changes.

    >>> levels_over([-0.1, 0.1]).edges[0] < 0 < levels_over([-0.1, 0.1]).edges[-1]
    True
    """
    low, high = min(values), max(values)
    # One level for what rounding alone tells apart, and for spreads whose tenth would underflow.
    if high - low < 1e-12 * max(abs(low), abs(high), 1e-288):
        return Levels((low, high + (abs(high) or 1.0)), (RISING[0],))
    stops = Scale(low, high).stops(MOST_LEVELS)
    step, slack = (stops[1] - stops[0] if len(stops) > 1 else high - low), 1e-9 * (high - low)
    before = [stops[0] - step] if stops[0] > low + slack else []
    after = [stops[-1] + step] if stops[-1] < high - slack else []
    edges = tuple(float(f"{edge:.9g}") + 0.0 for edge in [*before, *stops, *after])
    return Levels(edges, _colours(edges))


def _colours(edges: Sequence[float]) -> tuple[str, ...]:
    middles = [(low + high) / 2 for low, high in pairwise(edges)]
    if min(middles) < 0 < max(middles):
        most = max(abs(middle) for middle in middles)
        return tuple(
            _between(BELOW, 1 + middle / most) if middle < 0 else _between(ABOVE, middle / most)
            for middle in middles
        )
    count = max(1, len(middles) - 1)
    return tuple(_between(RISING, k / count) for k in range(len(middles)))


def _between(ramp: Sequence[str], place: float) -> str:
    """The colour at ``place`` in 0..1 of a ramp."""
    at = min(max(place, 0.0), 1.0) * (len(ramp) - 1)
    first = min(int(at), len(ramp) - 2)
    one, two = ([int(ramp[first + k][j : j + 2], 16) for j in (1, 3, 5)] for k in (0, 1))
    return "#" + "".join(f"{round(a + (b - a) * (at - first)):02x}" for a, b in zip(one, two, strict=True))


def heat_figure(
    name: str, curves: Sequence[Curve], styles: Styles, *, title: str = "", tiled: bool = False
) -> Figure:
    """A panel for each map; all share their levels, so that they can be compared.

    Args:
        name: The chart's name.
        curves: Curves of kind ``map``.
        styles: The page's styles.
        title: The chart's title; by default that of its section.
        tiled: Draw small squares beside each other.
    """
    ordered = [c for style in styles.sorted(c.arm for c in curves) for c in curves if c.arm == style.name]
    values = [point.z for curve in curves for point in curve.points if point.z is not None]
    levels = levels_over(values) if values else levels_over([0.0, 1.0])
    several = len(curves) > 1
    draw = _tile if tiled else _panel
    notes = list(dict.fromkeys(curve.note for curve in curves if curve.note))
    if any(point.z is None for curve in curves for point in curve.points):
        notes.append("Empty cells have no value.")
    labels = list(dict.fromkeys(p.label for curve in curves for p in curve.points if p.label))
    notes += [f"Dots: {joined(labels)}."] if labels else []
    return Figure(
        id=anchor(f"chart {name}"),
        title=title or chart_section(name).title,
        summary=_tiles_summary(ordered, styles) if tiled and several else _summaries(ordered, styles),
        table=_table(ordered, styles),
        panels=tuple(draw(curve, levels, _panel_title(curve, curves, styles), styles) for curve in ordered),
        notes=tuple(notes),
        levels=levels.shown(),
        level_title=next((curve.z_title for curve in curves if curve.z_title), ""),
    )


def _panel_title(curve: Curve, curves: Sequence[Curve], styles: Styles) -> str:
    """The arm, and what else tells its map from the others."""
    if len(curves) == 1:
        return ""
    facets = [f for f in ("split", "layer", "seed", "z_title") if len({getattr(c, f) for c in curves}) > 1]
    return " · ".join([styles.label(curve.arm), *(getattr(curve, facet) or "" for facet in facets)])


def _tile(curve: Curve, levels: Levels, title: str, styles: Styles) -> Panel:
    """A map without an axis title of its own, with a few ticks."""
    panel = _panel(curve, levels, title, styles)
    x_ticks, y_ticks = _outer(panel.x_ticks), _outer(panel.y_ticks)
    return replace(panel, tile=True, square=True, series=(), note="", x_ticks=x_ticks, y_ticks=y_ticks)


def _outer(ticks: Sequence[Tick]) -> tuple[Tick, ...]:
    """The first, the middle and the last tick: what a small panel has room for."""
    return tuple(dict.fromkeys((ticks[0], ticks[len(ticks) // 2], ticks[-1]))) if ticks else ()


def _panel(curve: Curve, levels: Levels, title: str, styles: Styles) -> Panel:
    xs, ys = _axes(curve)
    x, y = (scale_over(_edges(values), log=looks_logarithmic(values), tight=True) for values in (xs, ys))
    x_edges, y_edges = ([scale.at(e) for e in _edges(v)] for scale, v in ((x, xs), (y, ys)))
    cells = []
    for point in curve.points:
        if point.z is None or point.y is None:
            continue
        i, j = xs.index(point.x), ys.index(point.y)
        left, bottom = x_edges[i], y_edges[j]
        wide, high = round(x_edges[i + 1] - left, 2), round(y_edges[j + 1] - bottom, 2)
        value = with_interval(point.z, point.low, point.high)
        tip = f"{curve.x_title} {number(point.x)}, {curve.y_title} {number(point.y)}: {value}"
        cells.append(Cell(left, bottom, wide, high, levels.of(point.z), tip))
    whole = all(stop.is_integer() for stop in (*xs, *ys))
    return Panel(
        title=title,
        y_title=curve.y_title + (", log scale" if y.log else ""),
        x_title=curve.x_title + (", log scale" if x.log else ""),
        x_ticks=tuple(x.ticks(5, whole=whole)),
        y_ticks=tuple(y.ticks(6, whole=whole)),
        series=_lowest(curve, styles, x, y),
        cells=tuple(cells),
        labelled=_labelled(curve, x, y),
        levels=levels.shown(),
        note=f"Colour: {curve.z_title}." if curve.z_title else "",
    )


def _labelled(curve: Curve, x: Scale, y: Scale) -> tuple[Mark, ...]:
    """A dot for each point with a label, such as the inputs that were asked."""
    return tuple(
        Mark(x.at(point.x), y.at(point.y), tip=point.label)
        for point in curve.points
        if point.label and point.y is not None
    )


def _lowest(curve: Curve, styles: Styles, x: Scale, y: Scale) -> tuple[Series, ...]:
    """A dot where the value is lowest, if it is so inside of the map."""
    low, _ = _ends(curve)
    xs, ys = _axes(curve)
    if low is None or low.y is None or low.x in (xs[0], xs[-1]) or low.y in (ys[0], ys[-1]):
        return ()
    mark = Mark(x.at(low.x), y.at(low.y), tip=f"lowest: {number(low.z)}", text="lowest")
    return (Series(styles[curve.arm], marks=(mark,)),)


def _axes(curve: Curve) -> tuple[list[float], list[float]]:
    return (
        sorted({point.x for point in curve.points}),
        sorted({point.y for point in curve.points if point.y is not None}),
    )


def _edges(values: Sequence[float]) -> list[float]:
    """Where the cells around ``values`` meet: half way between, in logarithms where these are even."""
    log = looks_logarithmic(values)
    flat = [math.log(value) for value in values] if log else list(values)
    if len(flat) == 1:
        flat = [flat[0] - 0.5, flat[0] + 0.5]
        return [math.exp(edge) for edge in flat] if log else flat
    middles = [(a + b) / 2 for a, b in pairwise(flat)]
    ends = [flat[0] - (middles[0] - flat[0]), *middles, flat[-1] + (flat[-1] - middles[-1])]
    return [math.exp(edge) for edge in ends] if log else ends


def _ends(curve: Curve) -> tuple[Point | None, Point | None]:
    defined = [point for point in curve.points if point.z is not None]
    if not defined:
        return None, None
    return min(defined, key=lambda p: p.z or 0.0), max(defined, key=lambda p: p.z or 0.0)


def _summaries(curves: Sequence[Curve], styles: Styles) -> str:
    return " ".join(_summary(curve, styles.label(curve.arm) if len(curves) > 1 else "") for curve in curves)


def _tiles_summary(curves: Sequence[Curve], styles: Styles) -> str:
    """The mean of each map, in one sentence."""
    means = []
    for curve in curves:
        values = [point.z for point in curve.points if point.z is not None]
        if values:
            means.append(f"{number(sum(values) / len(values))} for {styles.label(curve.arm)}")
    what = capitalised(curves[0].z_title or "the value")
    return f"{what}, mean of each map: {joined(means)}." if means else "The maps have no values."


def _summary(curve: Curve, label: str) -> str:
    low, high = _ends(curve)
    if low is None or high is None:
        return f"{label or 'The map'}: no value is defined."
    what = f"{label}: {curve.z_title}" if label else f"{curve.z_title or 'the value'}"
    places = [
        f"{number(p.z)} at {curve.x_title} {number(p.x)} and {curve.y_title} {number(p.y)}"
        for p in (low, high)
    ]
    text = f"{what} is lowest, {places[0]}, and highest, {places[1]}."
    return text[:1].upper() + text[1:]


def _table(curves: Sequence[Curve], styles: Styles) -> DataTable:
    """A row for each height and a column for each place on x, thinned evenly; the first and the last stay."""
    xs = sorted({x for curve in curves for x in _axes(curve)[0]})
    columns = _thinned(xs, 9)
    rows: list[tuple[str, ...]] = []
    for curve in curves:
        value = {(point.x, point.y): point.z for point in curve.points}
        for y in _thinned(_axes(curve)[1], MOST_TABLE_ROWS):
            cells = (number(value.get((x, y))) if (x, y) in value else ABSENT for x in columns)
            rows.append((styles.label(curve.arm), number(y), *cells))
    head = (f"{curves[0].x_title} →", curves[0].y_title, *(number(x) for x in columns))
    cut = len(columns) < len(xs) or any(len(_axes(c)[1]) > MOST_TABLE_ROWS for c in curves)
    note = "Not every point is shown; the data under Reproduce have all of them." if cut else ""
    return DataTable(head, tuple(rows), heads=2, note=note)


def _thinned(values: Sequence[float], most: int) -> list[float]:
    if len(values) <= most:
        return list(values)
    places = sorted({round(k * (len(values) - 1) / (most - 1)) for k in range(most)})
    return [values[place] for place in places]
