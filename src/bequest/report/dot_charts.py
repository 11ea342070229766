"""Dot charts of measurements: one row for a property and split, one dot with its interval for each arm.

The inheritance profile is one of them, with 0 at the self-taught control and 1 at the teacher.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from bequest.records import Measurement
from bequest.report.figure import DataTable, Dot, Figure, Row, RowGroup, Rows
from bequest.report.gaps import Gaps
from bequest.report.numbers import ABSENT, number, pair, with_interval
from bequest.report.palette import Styles
from bequest.report.scales import Scale, Tick, scale_within
from bequest.report.titles import Titles, anchor, capitalised, joined, reason_words, undefined

PROFILE_AXIS = Scale(-0.25, 1.25)
"""Wide enough for everything between control and teacher; what lies beyond ends in an arrow."""

_LINE = 10  # pixels from one arm's dot to the next
_LEAST_ROW = 24

Pair = tuple[str, str | None, str | None, str | None]


@dataclass(frozen=True)
class Compared:
    """The values of a measure, and the reference values (null, ceiling ...) of the same pairs by mark."""

    MARKS: ClassVar = ("null", "ceiling", "other_teacher")

    values: list[Measurement] = field(default_factory=list)
    marks: dict[str, list[Measurement]] = field(default_factory=dict)


@dataclass(frozen=True)
class _Drawing:
    """What all rows of a chart share: the axis, titles, styles, and reference values by mark and pair."""

    scale: Scale
    titles: Titles
    styles: Styles
    marks: dict[str, dict[Pair, Measurement]] = field(default_factory=dict)

    def ordered(self, measurements: Iterable[Measurement]) -> list[Measurement]:
        """In the page's order of arms."""
        return sorted(measurements, key=lambda m: self.styles[m.arm].index)

    def reference(self, mark: str, m: Measurement) -> float | None:
        """The reference value that belongs to ``m``."""
        reference = self.marks.get(mark, {}).get(_pair(m))
        return None if reference is None else reference.value


def profile_figure(
    measurements: Iterable[Measurement],
    titles: Titles,
    styles: Styles,
    *,
    arms: Iterable[str] = (),
    gaps: Gaps | None = None,
) -> Figure | None:
    """How much of each property the taught arms took over; only ``arms`` are drawn, if there are any.

    With ``gaps``, the table has the gain and the gap that each share is made of.
    """
    shares = [m for m in measurements if titles.is_inheritance(m)]
    if not shares:
        return None
    wanted = set(arms)
    drawn = [m for m in shares if m.arm in wanted] or styles.charted(shares)
    drawing = _Drawing(PROFILE_AXIS, titles, styles)
    groups = _defined(_grouped(drawn, lambda m: _property(m, titles), drawing))
    return Figure(
        id="inheritance-profile",
        title="Inheritance profile",
        summary=_profile_summary(drawn, styles),
        table=_with_gaps(_table(shares, drawing), shares, gaps) if gaps else _table(shares, drawing),
        legend=tuple(styles.sorted(m.arm for m in drawn)),
        rows=Rows(
            groups=groups,
            ticks=tuple(PROFILE_AXIS.ticks(7)),
            x_title="share of the gap between control and teacher",
            anchors=(Tick(PROFILE_AXIS.at(0), "control"), Tick(PROFILE_AXIS.at(1), "teacher")),
        ),
        notes=(*_undrawn_rows(drawn, titles), *_arrow_notes(groups), *_hidden_arms(drawn, shares)),
    )


def _with_gaps(table: DataTable, shares: Sequence[Measurement], gaps: Gaps) -> DataTable:
    """The table with gain and gap before n."""
    pairs = [gaps.gain_and_gap(share) for share in shares]
    rows = tuple(
        (*row[:-1], number(gain), number(gap), row[-1])
        for row, (gain, gap) in zip(table.rows, pairs, strict=True)
    )
    columns = (*table.columns[:-1], "gain", "gap", table.columns[-1])
    return DataTable(columns, rows, table.heads, table.note)


def comparison_figure(measure: str, compared: Compared, titles: Titles, styles: Styles) -> Figure:
    """A measure of arms, grouped by teacher, with the reference values between which it can lie."""
    described = titles.measure(measure)
    drawn = styles.charted(compared.values)
    references = [m for mark in ("null", "ceiling") for m in compared.marks.get(mark, ())]
    scale = scale_within(_ends(drawn), _values((*drawn, *references)))
    marks = {mark: {_pair(m): m for m in rows} for mark, rows in compared.marks.items()}
    drawing = _Drawing(scale, titles, styles, marks)
    position = {style.label: style.index for style in styles.values()}
    ordered = sorted(compared.values, key=lambda m: position.get(styles.label(m.teacher), 0))
    rows = Rows(
        groups=_grouped(styles.charted(ordered), lambda m: _against(m, styles), drawing),
        ticks=tuple(scale.ticks()),
        x_title=described.axis,
        has_null="null" in marks,
        has_ceiling="ceiling" in marks,
    )
    return Figure(
        id=anchor(f"comparison {measure}"),
        title=capitalised(described.title),
        summary=_extremes(described.title, compared.values, styles),
        table=_table(ordered, drawing),
        legend=tuple(styles.sorted(m.arm for m in drawn)),
        rows=rows,
        notes=(*_arrow_notes(rows.groups), *_hidden_arms(drawn, compared.values)),
    )


def row_place(m: Measurement) -> str:
    """Where a measurement was taken: its split and layer."""
    return ", ".join(part for part in (m.split, m.layer) if part)


def _against(m: Measurement, styles: Styles) -> str:
    return f"against {styles.label(m.teacher)}" if m.teacher else ""


def _hidden_arms(drawn: Sequence[Measurement], measurements: Sequence[Measurement]) -> tuple[str, ...]:
    """Says how many arms are in the table alone."""
    hidden = len({m.arm for m in measurements} - {m.arm for m in drawn})
    return (f"{hidden} further arm{'s are' if hidden > 1 else ' is'} in the table.",) if hidden else ()


def _values(measurements: Iterable[Measurement]) -> list[float]:
    return [m.value for m in measurements if m.value is not None]


def _ends(measurements: Iterable[Measurement]) -> list[float]:
    return [end for m in measurements for end in (m.low, m.high) if end is not None]


def _grouped(
    measurements: Sequence[Measurement], group_of: Callable[[Measurement], str], drawing: _Drawing
) -> tuple[RowGroup, ...]:
    nested: dict[str, dict[str, list[Measurement]]] = {}
    for m in measurements:
        nested.setdefault(group_of(m), {}).setdefault(row_place(m) or "all", []).append(m)
    return tuple(
        RowGroup(title, tuple(_row(label, in_row, drawing) for label, in_row in rows.items()))
        for title, rows in nested.items()
    )


def _defined(groups: Iterable[RowGroup]) -> tuple[RowGroup, ...]:
    """The groups without rows that have nothing to draw."""
    defined = [RowGroup(g.title, tuple(row for row in g.rows if row.dots)) for g in groups]
    return tuple(group for group in defined if group.rows)


def _row(label: str, measurements: Sequence[Measurement], drawing: _Drawing) -> Row:
    defined = [m for m in drawing.ordered(measurements) if m.value is not None]
    height = max(_LEAST_ROW, _LINE * len(defined) + 10)
    top = (height - _LINE * (len(defined) - 1)) // 2
    dots = tuple(_dot(m, top + _LINE * k, drawing) for k, m in enumerate(defined))
    missing = [m for m in drawing.ordered(measurements) if m.value is None]
    return Row(label, height, dots, _undefined(missing, len(measurements), drawing.styles))


def _dot(m: Measurement, y: int, drawing: _Drawing) -> Dot:
    assert m.value is not None
    scale = drawing.scale
    x = scale.at(m.value)
    low, high = (None if end is None else scale.at(end) for end in (m.low, m.high))
    null, ceiling = (drawing.reference(mark, m) for mark in ("null", "ceiling"))
    tip = [with_interval(m.value, m.low, m.high), f"n = {m.n}"]
    tip += [] if null is None else [f"null {number(null)}"]
    tip += [] if ceiling is None else [f"ceiling {number(ceiling)}"]
    return Dot(
        style=drawing.styles[m.arm],
        y=y,
        x=min(100.0, max(0.0, x)),
        low=None if low is None else min(100.0, max(0.0, low)),
        high=None if high is None else max(0.0, min(100.0, high)),
        tip=", ".join(tip),
        low_beyond=x < 0 or (low is not None and low < 0),
        high_beyond=x > 100 or (high is not None and high > 100),
        beyond=number(m.value) if not 0 <= x <= 100 else "",
        null=None if null is None else scale.at(null),
        ceiling=None if ceiling is None else scale.at(ceiling),
    )


def _pair(m: Measurement) -> Pair:
    return (m.arm, m.teacher, m.split, m.layer)


def _undefined(missing: Sequence[Measurement], among: int, styles: Styles) -> str:
    """Why a row, or a part of it, has no dots; the table says it of each arm, in full."""
    if not missing:
        return ""
    words = list(filter(None, dict.fromkeys(reason_words(m) for m in missing)))
    short = "undefined: " + "; ".join(words) if words else "undefined"
    if len(missing) == among:
        return short
    who = styles.label(missing[0].arm) if len(missing) == 1 else f"{len(missing)} arms"
    return f"{who} {short}"


def _undrawn_rows(measurements: Sequence[Measurement], titles: Titles) -> tuple[str, ...]:
    """One sentence for each reason why no arm has a value in a row."""
    rows: dict[tuple[str, str], list[Measurement]] = {}
    for m in measurements:
        rows.setdefault((_property(m, titles), row_place(m)), []).append(m)
    by_reason: dict[str, dict[str, list[str]]] = {}
    for (title, place), in_row in rows.items():
        if all(m.value is None for m in in_row):
            words = "; ".join(filter(None, dict.fromkeys(reason_words(m) for m in in_row)))
            by_reason.setdefault(words, {}).setdefault(title, []).append(place)
    return tuple(
        f"Undefined{f' ({words})' if words else ''}: "
        + "; ".join(
            f"{title} on {joined(places)}" if any(places) else title for title, places in properties.items()
        )
        + "."
        for words, properties in by_reason.items()
    )


def _property(m: Measurement, titles: Titles) -> str:
    """The property that a share of inheritance is about; the measure itself where it is no share."""
    described = titles.measure(m.measure)
    return titles.measure(described.of).title if titles.is_inheritance(m) else described.title


def _profile_summary(shares: Sequence[Measurement], styles: Styles) -> str:
    """How often each arm's interval lies above 0: how broadly it inherited, whatever the outliers."""
    tally = []
    for style in styles.sorted(m.arm for m in shares):
        defined = [m for m in shares if m.arm == style.name and m.value is not None]
        above = sum(m.low is not None and m.low > 0 for m in defined)
        tally.append((above, len(defined), style.label))
    if not any(defined for _, defined, _ in tally):
        return "No share of inheritance is defined."
    tally.sort(key=lambda item: -item[0])
    # Of many arms the two broadest and the two narrowest, lest the sentence become a table.
    named = tally if len(tally) <= 4 else [*tally[:2], *tally[-2:]]
    counted = joined([f"{above} of {defined} properties for {label}" for above, defined, label in named])
    return f"The interval lies above 0 in {counted}."


def _extremes(title: str, measurements: Sequence[Measurement], styles: Styles) -> str:
    defined = [m for m in measurements if m.value is not None]
    if not defined:
        return f"No {title} could be computed."
    most, least = (pick(defined, key=lambda m: m.value or 0.0) for pick in (max, min))

    def phrase(m: Measurement) -> str:
        teacher = f" with {styles.label(m.teacher)}" if m.teacher else ""
        where = f" on {row_place(m)}" if m.split else ""
        return f"{styles.label(m.arm)}{teacher}{where}, {with_interval(m.value, m.low, m.high)}"

    return f"Highest {title}: {phrase(most)}; lowest: {phrase(least)}."


def _arrow_notes(groups: Sequence[RowGroup]) -> tuple[str, ...]:
    dots = [dot for group in groups for row in group.rows for dot in row.dots]
    if any(dot.low_beyond or dot.high_beyond for dot in dots):
        return ("Arrows mark values beyond the axis; the table has the numbers.",)
    return ()


def _table(measurements: Sequence[Measurement], drawing: _Drawing) -> DataTable:
    """One row for each measurement; reference values beside the value that they belong to.

    A property that all rows share is not repeated in them: the caption names it.
    """
    marks = [mark for mark in Compared.MARKS if drawing.marks.get(mark)]
    properties = [_property(m, drawing.titles) for m in measurements]
    several = len(set(properties)) > 1
    rows = []
    for m, name in zip(measurements, properties, strict=True):
        value, bracket = pair(m.value, m.low, m.high)
        rows.append(
            (
                *([name] if several else []),
                row_place(m) or "all",
                drawing.styles.label(m.arm),
                drawing.styles.label(m.teacher) or ABSENT,
                value if m.value is not None else undefined(m),
                bracket or ABSENT,
                *(number(drawing.reference(mark, m)) for mark in marks),
                str(m.n),
            )
        )
    names = [mark.replace("_", " ") for mark in marks]
    heads = (*(["measure"] if several else []), "split", "arm", "against")
    return DataTable((*heads, "value", "interval", *names, "n"), tuple(rows), heads=len(heads))
