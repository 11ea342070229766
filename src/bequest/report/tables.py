"""The arms × splits tables, and the numbers that fit no other place."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from bequest.records import Measurement
from bequest.report.dot_charts import INHERITANCE
from bequest.report.figure import DataTable
from bequest.report.folder import Run
from bequest.report.numbers import ABSENT, number, pair
from bequest.report.palette import Style, Styles
from bequest.report.titles import METHODS, MeasureWords, measure_words


@dataclass(frozen=True)
class Cell:
    """An arm's number on a split; ``rank`` marks the column's best and worst."""

    text: str
    interval: str = ""
    value: float | None = None
    low: float | None = None
    high: float | None = None
    n: int | None = None
    reason: str = ""
    rank: Literal["best", "worst", ""] = ""


@dataclass(frozen=True)
class ArmRow:
    """An arm's numbers on all splits."""

    style: Style
    cells: tuple[Cell, ...]

    @property
    def n(self) -> str:
        """The n of its numbers: one of them, or from the least to the most."""
        ns = sorted({cell.n for cell in self.cells if cell.n is not None})
        return ABSENT if not ns else str(ns[0]) if len(ns) == 1 else f"{ns[0]}–{ns[-1]}"


@dataclass(frozen=True)
class ArmsTable:
    """One measure of every arm on every split: teachers first, then controls, then taught arms."""

    measure: str
    words: MeasureWords
    splits: tuple[str, ...]
    rows: tuple[ArmRow, ...]
    method: str

    def of(self, part: slice) -> ArmsTable:
        """The same with a part of its splits."""
        rows = tuple(ArmRow(row.style, row.cells[part]) for row in self.rows)
        return ArmsTable(self.measure, self.words, self.splits[part], rows, self.method)


def arms_tables(run: Run, styles: Styles) -> tuple[ArmsTable, ...]:
    """A table for each measure of an arm on a split, accuracy first."""
    found = [m for m in run.measurements if is_absolute(m)]
    measures = sorted(dict.fromkeys(m.measure for m in found), key=lambda name: name != "accuracy")
    return tuple(arms_table(name, [m for m in found if m.measure == name], run, styles) for name in measures)


def arms_table(measure: str, found: Sequence[Measurement], run: Run, styles: Styles) -> ArmsTable:
    """The table of one measure; arms of the study without any number are in it, empty."""
    order = {name: place for place, name in enumerate(run.study.splits)}
    splits = sorted({m.split for m in found if m.split}, key=lambda name: order.get(name, len(order)))
    at = {(m.arm, m.split): m for m in found}
    arms = styles.sorted([*(arm.name for arm in run.study.arms), *(m.arm for m in found)])
    words = measure_words(measure)
    ranks = {split: _extremes([m for m in found if m.split == split], words) for split in splits}
    rows = tuple(
        ArmRow(style, tuple(_cell(at.get((style.name, split)), ranks[split]) for split in splits))
        for style in arms
    )
    return ArmsTable(measure, words, tuple(splits), rows, methods(found))


def is_absolute(m: Measurement) -> bool:
    """Whether a measurement belongs to an arm on a split alone, not to a pair and not to a layer."""
    return m.split is not None and m.teacher is None and m.layer is None and "/" not in m.measure


def is_comparison(m: Measurement) -> bool:
    """Whether a measurement sets an arm beside a teacher."""
    return m.teacher is not None and not m.measure.startswith((INHERITANCE, "barrier"))


def other_numbers(run: Run, styles: Styles) -> DataTable | None:
    """Every measurement that no chart and no arms table shows."""
    rest = [
        m
        for m in run.measurements
        if not (is_absolute(m) or is_comparison(m) or m.measure.startswith(INHERITANCE))
    ]
    if not rest:
        return None
    rows = tuple(
        (
            measure_words(m.measure).axis,
            styles.label(m.arm),
            ", ".join(part for part in (m.split, m.layer) if part) or ABSENT,
            *shown(m),
            str(m.n),
        )
        for m in rest
    )
    return DataTable(("measure", "arm", "where", "value", "interval", "n"), rows, heads=3)


def shown(m: Measurement) -> tuple[str, str]:
    """Value and interval of a measurement as a table shows them; why it is undefined, where it is."""
    value, bracket = pair(m.value, m.low, m.high)
    return value if m.value is not None else f"undefined: {m.reason}", bracket or ABSENT


def methods(found: Iterable[Measurement]) -> str:
    """How the intervals of ``found`` were made."""
    said = dict.fromkeys(
        f"{100 * m.level:g} % {METHODS.get(m.method, m.method)}".strip()
        for m in found
        if m.low is not None or m.high is not None
    )
    return "; ".join(said)


def _cell(m: Measurement | None, ranks: dict[str, Literal["best", "worst", ""]]) -> Cell:
    if m is None:
        return Cell(ABSENT, reason="no result")
    if m.value is None:
        return Cell("undefined", n=m.n, reason=m.reason or "")
    text, bracket = pair(m.value, m.low, m.high)
    return Cell(text, bracket, m.value, m.low, m.high, m.n, rank=ranks.get(m.arm, ""))


def _extremes(found: Sequence[Measurement], words: MeasureWords) -> dict[str, Literal["best", "worst", ""]]:
    """Best and worst arm of a column, where the measure has a better direction and they differ."""
    known = {m.arm: m.value for m in found if m.value is not None}
    if words.better is None or len(known) < 2 or len({number(value) for value in known.values()}) < 2:
        return {}
    sign = 1 if words.better == "higher" else -1
    return {
        max(known, key=lambda arm: sign * known[arm]): "best",
        min(known, key=lambda arm: sign * known[arm]): "worst",
    }
