"""Curves as charts: any chart name, any number of arms, splits, layers and seeds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from bequest.records import Curve, Point
from bequest.report.curve_paths import band_path, line_path, mean_curve, thinned
from bequest.report.figure import DataTable, Figure, Mark, Panel, Series
from bequest.report.numbers import ABSENT, count, number, with_interval
from bequest.report.palette import Style, Styles
from bequest.report.scales import Scale, Tick, looks_logarithmic, scale_over, scale_within
from bequest.report.summaries import peaks, places, story
from bequest.report.titles import anchor, chart_section

MOST_TABLE_ROWS = 60
MOST_PANELS = 80
MOST_FAINT = 4000  # points of all single seeds in a panel together
MOST_DOTS = 12  # a line with more points is drawn with a few dots only

Key = tuple[str, ...]


@dataclass(frozen=True)
class _Strand:
    """What is drawn in one go: the curves of one arm in one panel, of one kind.

    ``strong`` are drawn strongly: the curve over all seeds, or the mean of the seeds, which are then
    ``faint``; ``column`` is how the table calls it.
    """

    style: Style
    column: str
    strong: tuple[Curve, ...]
    faint: tuple[Curve, ...]

    @property
    def points(self) -> dict[float, Point]:
        return {point.x: point for curve in self.strong for point in curve.points}


def chart_figure(name: str, curves: Sequence[Curve], styles: Styles, *, title: str = "") -> Figure:
    """A chart of all ``curves``: panels by quantity, split, layer and, where it is needed, teacher."""
    square = is_map(name)
    every = _by(curves, _facets(curves, styles))
    grouped = dict(list(every.items())[:MOST_PANELS])
    panels = {key: _strands(facet, styles) for key, facet in grouped.items()}
    return Figure(
        id=anchor(f"chart {name}"),
        title=title or chart_section(name).title,
        summary=_summary(name, panels),
        table=_table(panels),
        legend=tuple(styles.sorted(c.arm for c in curves)),
        panels=tuple(_panel(key, panels[key], *_scales(key, grouped, square), square) for key in panels),
        notes=(*_notes(curves), *left_out([_quantity(key) for key in every if key not in grouped])),
        lines=any(c.kind != "points" for c in curves),
    )


def left_out(names: Sequence[str]) -> tuple[str, ...]:
    """The note on what a page has no room for."""
    return (
        (f"Not drawn for lack of space, but in the data under Reproduce: {', '.join(names)}.",)
        if names
        else ()
    )


def is_map(name: str) -> bool:
    """Whether both axes of a chart are distances, which must be drawn to one measure."""
    return name.startswith(("path", "mds"))


def _facets(curves: Sequence[Curve], styles: Styles) -> Callable[[Curve], Key]:
    """What tells panels apart: the axes, splits and layers, and teachers where an arm has several.

    A teacher that all curves are about is named too.
    """
    arms: dict[Key, set[str | None]] = {}
    for c in curves:
        arms.setdefault((c.arm, c.kind, c.y_title, c.split or "", c.layer or ""), set()).add(c.teacher)
    named = any(len(teachers) > 1 for teachers in arms.values()) or len({c.teacher for c in curves}) == 1
    facets = [facet for facet in ("split", "layer") if len({getattr(c, facet) for c in curves}) > 1]
    return lambda c: (
        c.y_title,
        c.x_title,
        *(getattr(c, facet) or "" for facet in facets),
        *([styles.label(c.teacher)] if named else []),
    )


def _by(curves: Iterable[Curve], key_of: Callable[[Curve], Key]) -> dict[Key, list[Curve]]:
    by_key: dict[Key, list[Curve]] = {}
    for curve in curves:
        by_key.setdefault(key_of(curve), []).append(curve)
    return by_key


def _strands(curves: Sequence[Curve], styles: Styles) -> list[_Strand]:
    strands = []
    most_faint = max(20, MOST_FAINT // max(1, len(curves)))
    for style in styles.sorted(c.arm for c in curves):
        by_kind = _by(
            (c for c in curves if c.arm == style.name), lambda c: ("dots" if c.kind == "points" else "",)
        )
        for (kind,), alike in by_kind.items():
            column = f"{style.label}, {kind}" if kind and len(by_kind) > 1 else style.label
            whole = tuple(c for c in alike if c.seed is None)
            seeds = tuple(c for c in alike if c.seed is not None)
            averaged = not whole and len(seeds) > 1 and not kind
            strong = (mean_curve(seeds),) if averaged else whole or seeds
            faint = seeds if averaged or whole else ()
            drawn = tuple(thinned(curve) for curve in strong)
            strands.append(_Strand(style, column, drawn, tuple(thinned(c, most_faint) for c in faint)))
    return strands


def _panel(key: Key, strands: Sequence[_Strand], x: Scale, y: Scale, square: bool) -> Panel:
    stops = sorted({at for strand in strands for at in strand.points})
    plain = any(curve.kind == "points" for strand in strands for curve in strand.strong)
    readable = [] if square else stops
    return Panel(
        title=_where(key),
        y_title=key[0] + (", log scale" if y.log else ""),
        x_title=key[1] + (", log scale" if x.log else ""),
        x_ticks=tuple(x.ticks(5, whole=all(stop.is_integer() for stop in stops))),
        y_ticks=tuple(y.ticks(6)),
        series=_uncrowded([_series(strand, x, y, readable, plain) for strand in strands]),
        stops=tuple(Tick(x.at(stop), count(stop)) for stop in readable),
        square=square,
    )


def _scales(key: Key, grouped: dict[Key, list[Curve]], square: bool) -> tuple[Scale, Scale]:
    """The axes of a panel; facets of one quantity share both, so that they can be compared."""
    points = [p for other, facet in grouped.items() if other[:2] == key[:2] for c in facet for p in c.points]
    heights = [p for other, facet in grouped.items() if other[0] == key[0] for c in facet for p in c.points]
    xs = [point.x for point in points]
    ys = [point.y for point in heights if point.y is not None]
    ends = [end for point in heights for end in (point.low, point.high) if end is not None]
    if square:
        return _equal(scale_over(xs), scale_over(ys))
    log_y = bool(ys) and min(ys) > 0 and max(ys) / min(ys) >= 1000
    return scale_over(xs, log=looks_logarithmic(xs), tight=True), scale_within(ends, ys, log=log_y)


def _equal(x: Scale, y: Scale) -> tuple[Scale, Scale]:
    half = max(x.high - x.low, y.high - y.low) / 2
    first, second = (
        Scale(middle - half, middle + half) for s in (x, y) for middle in ((s.low + s.high) / 2,)
    )
    return first, second


def _series(strand: _Strand, x: Scale, y: Scale, stops: Sequence[float], plain: bool) -> Series:
    """A strand in its places; a ``plain`` line has no dots, where dots have a meaning of their own."""
    lines = [curve for curve in strand.strong if curve.kind != "points"]
    dotted = [curve for curve in strand.strong if curve.kind == "points" or not plain]
    at = strand.points
    return Series(
        strand.style,
        line="".join(line_path(curve, x, y) for curve in lines),
        band="".join(band_path(curve, x, y) for curve in lines),
        faint=tuple(line_path(curve, x, y) for curve in strand.faint if curve.kind != "points"),
        marks=tuple(mark for curve in dotted for mark in _marks(curve, strand.style, x, y)),
        values=tuple(_point_text(at[stop]) if stop in at else "" for stop in stops),
        column=strand.column,
    )


def _marks(curve: Curve, style: Style, x: Scale, y: Scale) -> Iterable[Mark]:
    """Dots of a curve: all of its points; of a long line only a few, at other places for each arm."""
    bars = curve.kind == "points"
    drawable = [point for point in curve.points if point.y is not None and not (y.log and point.y <= 0)]
    few = not bars and len(drawable) > MOST_DOTS
    for point in _few(drawable, style.index) if few else drawable:
        low, high = (None if end is None or not bars else y.inside(end) for end in (point.low, point.high))
        place = f"{point.label}, " if point.label else ""
        yield Mark(
            x=x.at(point.x),
            y=y.at(point.y or 0.0),
            low=low,
            high=high,
            tip=f"{place}{curve.x_title} {number(point.x)}, {curve.y_title} {_point_text(point)}",
            text=point.label or "",
        )


def _few(points: Sequence[Point], index: int) -> list[Point]:
    phase = (index % 7 + 0.5) / 7
    spaced = {round((k + phase) / 3 * (len(points) - 1)) for k in range(3)}
    return [point for k, point in enumerate(points) if k in spaced or point.label]


LETTER, ABOVE, HALF, DOT = 0.9, 5.0, 2.6, 1.8
"""Of a mark's text on a page, in percent of the plot: a letter's width, how far it is above the mark, half of
its height; half of the mark's."""

TURN = 75.0
"""From here on the text stands on the left of its mark, as ``chart.html`` draws it."""


def _uncrowded(series: Sequence[Series]) -> tuple[Series, ...]:
    """Without the texts that would lie on an earlier one, or on a mark; tips and the table have them all."""
    taken = [(m.x - 0.5, m.x + 0.5, m.y, DOT) for each in series for m in each.marks]

    def spaced(mark: Mark) -> Mark:
        width = 1.0 + LETTER * len(mark.text)
        low, high = (mark.x + 0.6, mark.x + width) if mark.x < TURN else (mark.x - width, mark.x - 0.6)
        y = mark.y + ABOVE
        if any(low < b and a < high and abs(y - other) < HALF + half for a, b, other, half in taken):
            return replace(mark, text="")
        if mark.text:
            taken.append((low, high, y, HALF))
        return mark

    return tuple(replace(s, marks=tuple(spaced(mark) for mark in s.marks)) for s in series)


def _point_text(point: Point) -> str:
    return with_interval(point.y, point.low, point.high)


def _cell_text(point: Point | None) -> str:
    return _point_text(point) if point else ABSENT


def _where(key: Key) -> str:
    return " · ".join(part for part in key[2:] if part)


def _summary(name: str, panels: dict[Key, list[_Strand]]) -> str:
    """The sentence of the panel that has most to say."""
    weighted = []
    for key, drawn in panels.items():
        strands = [s for s in drawn if s.strong[0].kind != "points"] or drawn
        named = [(strand.column, list(strand.points.values())) for strand in strands]
        if is_map(name):
            weighted.append(places(named))
        elif name.startswith("barrier"):
            weighted.append(peaks(_quantity(key), named))
        else:
            weighted.append(story(_quantity(key), key[1], named))
    return max(weighted, key=lambda sentence: sentence[0])[1]


def _quantity(key: Key) -> str:
    return f"{key[0]} ({_where(key)})" if _where(key) else key[0]


def _of_one_panel(curve: Curve) -> tuple[str | None, ...]:
    """Equal for curves that differ in their seeds alone."""
    return (curve.arm, curve.teacher, curve.split, curve.layer)


def _notes(curves: Sequence[Curve]) -> tuple[str, ...]:
    notes = list(dict.fromkeys(curve.note for curve in curves if curve.note))
    alike = Counter(
        _of_one_panel(curve) for curve in curves if curve.seed is not None and curve.kind != "points"
    )
    if max(alike.values(), default=0) > 1:
        notes.append("Strong lines are means over seeds, faint ones are single seeds.")
    if any(point.low is not None for curve in curves for point in curve.points):
        notes.append("Bands and bars are intervals.")
    return tuple(notes)


def _table(panels: dict[Key, list[_Strand]]) -> DataTable:
    """A row for each place on x, a column for each arm; where arms share no places, a row for each point."""
    columns = list(dict.fromkeys(strand.column for strands in panels.values() for strand in strands))
    rows: list[tuple[str, ...]] = []
    cut = False
    for key, strands in panels.items():
        stops = sorted({at for strand in strands for at in strand.points})
        longest = max(len(strand.points) for strand in strands)
        if len(stops) > 2 * longest or any(len(strand.strong) > 1 for strand in strands) or _folded(strands):
            return _long_table(panels)
        stride = -(-len(stops) // MOST_TABLE_ROWS)
        cut = cut or stride > 1
        by_column = {strand.column: strand.points for strand in strands}
        for stop in [*stops[:-1:stride], stops[-1]]:
            cells = [by_column.get(column, {}).get(stop) for column in columns]
            rows.append((_quantity(key), count(stop), *map(_cell_text, cells)))
    note = "Not every point is shown; the data under Reproduce have all of them." if cut else ""
    return DataTable(("quantity", next(iter(panels))[1], *columns), tuple(rows), heads=2, note=note)


def _folded(strands: Sequence[_Strand]) -> bool:
    """Whether a curve comes back to a place where it has been, so that x names no point."""
    return any(len({p.x for p in c.points}) < len(c.points) for strand in strands for c in strand.strong)


def _long_table(panels: dict[Key, list[_Strand]]) -> DataTable:
    rows = [
        (strand.column, _where(key) or ABSENT, point.label or ABSENT, number(point.x), _point_text(point))
        for key, strands in panels.items()
        for strand in strands
        for curve in strand.strong
        for point in curve.points
    ]
    key = next(iter(panels))
    return DataTable(("arm", "where", "label", key[1], key[0]), tuple(rows), heads=3)
