"""Dot charts of measurements: one row a property and split, one dot with its interval an arm.

The inheritance profile is one of them, with 0 at the self-taught control and 1 at the teacher.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from bequest.records import Measurement
from bequest.report.figure import DataTable, Dot, Figure, Row, RowGroup, Rows
from bequest.report.numbers import ABSENT, number, pair, with_interval
from bequest.report.palette import Styles
from bequest.report.scales import Scale, Tick, scale_within
from bequest.report.titles import anchor, capitalised, joined, measure_words

INHERITANCE = "inheritance/"
_LINE = 11  # pixels from one arm's dot to the next
_LEAST_ROW = 30
_POLES = (-0.1, 1.1)  # always on the axis of the profile, and between them its 0 and 1

Place = tuple[str, str | None, str | None, str | None]


@dataclass(frozen=True)
class _Ground:
    """What all rows of a chart stand on."""

    scale: Scale
    styles: Styles
    nulls: dict[Place, Measurement] = field(default_factory=dict)
    ceilings: dict[Place, Measurement] = field(default_factory=dict)

    def ordered(self, found: Iterable[Measurement]) -> list[Measurement]:
        """In the page's order of arms."""
        return sorted(found, key=lambda m: self.styles[m.arm].index)


def inheritance_figure(found: Iterable[Measurement], styles: Styles) -> Figure | None:
    """The house picture: how much of each property every taught arm took over from its teacher."""
    ours = [m for m in found if m.measure.startswith(INHERITANCE)]
    if not ours:
        return None
    drawn = styles.charted(ours)
    ground = _Ground(scale_within(_ends(drawn), [*_POLES, *_values(drawn)]), styles)
    groups = _grouped(drawn, _property, ground)
    rows = Rows(
        groups=groups,
        ticks=tuple(ground.scale.ticks(7)),
        x_title="share of the gap between control and teacher",
        anchors=(Tick(ground.scale.at(0), "control"), Tick(ground.scale.at(1), "teacher")),
    )
    return Figure(
        id="inheritance-profile",
        title="Inheritance profile",
        summary=_profile_summary(drawn, styles),
        table=_table(ours, ground),
        legend=tuple(styles.sorted(m.arm for m in drawn)),
        rows=rows,
        notes=(*_cut_notes(groups), *_aside_notes(drawn, ours)),
    )


def comparison_figure(
    measure: str,
    found: Sequence[Measurement],
    nulls: Sequence[Measurement],
    ceilings: Sequence[Measurement],
    styles: Styles,
) -> Figure:
    """A measure of arms against teachers, with the marks between which it can lie."""
    words = measure_words(measure)
    drawn = styles.charted(found)
    scale = scale_within(_ends(drawn), _values((*drawn, *nulls, *ceilings)))
    ground = _Ground(scale, styles, {_place(m): m for m in nulls}, {_place(m): m for m in ceilings})
    first = {style.label: style.index for style in styles.values()}
    ordered = sorted(found, key=lambda m: first.get(styles.label(m.teacher), 0))
    rows = Rows(
        groups=_grouped(styles.charted(ordered), lambda m: f"against {styles.label(m.teacher)}", ground),
        ticks=tuple(scale.ticks()),
        x_title=words.axis,
        has_null=bool(nulls),
        has_ceiling=bool(ceilings),
    )
    return Figure(
        id=anchor(f"comparison {measure}"),
        title=capitalised(words.title),
        summary=_extremes(words.title, found, styles),
        table=_table(ordered, ground),
        legend=tuple(styles.sorted(m.arm for m in drawn)),
        rows=rows,
        notes=(*_cut_notes(rows.groups), *_aside_notes(drawn, found)),
    )


def _aside_notes(drawn: Sequence[Measurement], found: Sequence[Measurement]) -> tuple[str, ...]:
    """Says how many arms are in the table alone."""
    aside = len({m.arm for m in found} - {m.arm for m in drawn})
    return (f"{aside} further arm{'s are' if aside > 1 else ' is'} in the table.",) if aside else ()


def _values(found: Iterable[Measurement]) -> list[float]:
    return [m.value for m in found if m.value is not None]


def _ends(found: Iterable[Measurement]) -> list[float]:
    return [x for m in found for x in (m.low, m.high) if x is not None]


def _grouped(
    found: Sequence[Measurement], group_of: Callable[[Measurement], str], ground: _Ground
) -> tuple[RowGroup, ...]:
    nested: dict[str, dict[str, list[Measurement]]] = {}
    for m in found:
        nested.setdefault(group_of(m), {}).setdefault(_row_label(m), []).append(m)
    return tuple(
        RowGroup(title, tuple(_row(label, own, ground) for label, own in rows.items()))
        for title, rows in nested.items()
    )


def _row(label: str, found: Sequence[Measurement], ground: _Ground) -> Row:
    defined = [m for m in ground.ordered(found) if m.value is not None]
    height = max(_LEAST_ROW, _LINE * len(defined) + 14)
    top = (height - _LINE * (len(defined) - 1)) / 2
    dots = tuple(_dot(m, top + _LINE * k, ground) for k, m in enumerate(defined))
    missing = [m for m in ground.ordered(found) if m.value is None]
    return Row(label, height, dots, *_undefined(missing, len(found), ground.styles))


def _dot(m: Measurement, y: float, ground: _Ground) -> Dot:
    assert m.value is not None
    scale, style = ground.scale, ground.styles[m.arm]
    low, high = (None if x is None else scale.at(x) for x in (m.low, m.high))
    null, ceiling = (_known(marks.get(_place(m))) for marks in (ground.nulls, ground.ceilings))
    told = [with_interval(m.value, m.low, m.high), f"n = {m.n}"]
    told += [f"null {number(null)}"] if null is not None else []
    told += [f"ceiling {number(ceiling)}"] if ceiling is not None else []
    return Dot(
        style=style,
        y=y,
        x=scale.at(m.value),
        low=None if low is None else max(0.0, low),
        high=None if high is None else min(100.0, high),
        tip=", ".join(told),
        low_beyond=low is not None and low < 0,
        high_beyond=high is not None and high > 100,
        null=None if null is None else scale.at(null),
        ceiling=None if ceiling is None else scale.at(ceiling),
    )


def _known(m: Measurement | None) -> float | None:
    return None if m is None else m.value


def _place(m: Measurement) -> Place:
    return (m.arm, m.teacher, m.split, m.layer)


def _undefined(missing: Sequence[Measurement], among: int, styles: Styles) -> tuple[str, str]:
    """Why a row, or a part of it, has no dots; and the same in full."""
    if not missing:
        return "", ""
    said = "undefined: " + "; ".join(dict.fromkeys(_short_reason(m.reason or "") for m in missing))
    full = "\n".join(f"{styles.label(m.arm)}: undefined, {m.reason}" for m in missing)
    if len(missing) == among:
        return said, full
    who = styles.label(missing[0].arm) if len(missing) == 1 else f"{len(missing)} arms"
    return f"{who} {said}", full


def _short_reason(reason: str) -> str:
    return "no gap" if "gap" in reason or "differ" in reason else reason


def _property(m: Measurement) -> str:
    return measure_words(m.measure.removeprefix(INHERITANCE)).title


def _row_label(m: Measurement) -> str:
    return ", ".join(part for part in (m.split, m.layer) if part) or "all"


def _profile_summary(found: Sequence[Measurement], styles: Styles) -> str:
    """How often each arm's interval lies above 0: how broadly it inherited, whatever the outliers."""
    tally = []
    for style in styles.sorted(m.arm for m in found):
        own = [m for m in found if m.arm == style.name and m.value is not None]
        above = sum(m.low is not None and m.low > 0 for m in own)
        tally.append((above, len(own), style.label))
    tally.sort(key=lambda item: -item[0])
    shown = tally if len(tally) <= 4 else [*tally[:2], *tally[-2:]]
    said = joined([f"{above} of {defined} properties for {label}" for above, defined, label in shown])
    rows = {(m.measure, m.split, m.layer) for m in found}
    empty = len(rows - {(m.measure, m.split, m.layer) for m in found if m.value is not None})
    tail = f" {empty} of {len(rows)} rows {'is' if empty == 1 else 'are'} undefined." if empty else ""
    return f"The interval lies above 0 in {said}.{tail}"


def _extremes(title: str, found: Sequence[Measurement], styles: Styles) -> str:
    known = [m for m in found if m.value is not None]
    if not known:
        return f"No {title} could be computed."
    most, least = (pick(known, key=lambda m: m.value or 0.0) for pick in (max, min))

    def told(m: Measurement) -> str:
        where = f" on {_row_label(m)}" if m.split else ""
        value = with_interval(m.value, m.low, m.high)
        return f"{styles.label(m.arm)} with {styles.label(m.teacher)}{where}, {value}"

    return f"Highest {title}: {told(most)}; lowest: {told(least)}."


def _cut_notes(groups: Sequence[RowGroup]) -> tuple[str, ...]:
    dots = [dot for group in groups for row in group.rows for dot in row.dots]
    if any(dot.low_beyond or dot.high_beyond for dot in dots):
        return ("An arrow ends an interval that reaches beyond the axis; the table has its bounds.",)
    return ()


def _table(found: Sequence[Measurement], ground: _Ground) -> DataTable:
    """One row a measurement; null and ceiling beside the value that they belong to."""
    marks = [(name, by) for name, by in (("null", ground.nulls), ("ceiling", ground.ceilings)) if by]
    rows = []
    for m in found:
        value, bracket = pair(m.value, m.low, m.high)
        rows.append(
            (
                _property(m),
                _row_label(m),
                ground.styles.label(m.arm),
                ground.styles.label(m.teacher) or ABSENT,
                value if m.value is not None else f"undefined: {m.reason}",
                bracket or ABSENT,
                *(number(_known(by.get(_place(m)))) for _, by in marks),
                str(m.n),
            )
        )
    columns = ("measure", "split", "arm", "against", "value", "interval", *(name for name, _ in marks), "n")
    return DataTable(columns, tuple(rows), heads=4)
