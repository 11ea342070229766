"""The arms × splits tables, and the numbers that fit no other place."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from bequest.measures import Measure, Reason
from bequest.records import Measurement
from bequest.report.dot_charts import row_place
from bequest.report.figure import DataTable
from bequest.report.folder import Run
from bequest.report.numbers import ABSENT, number, pair
from bequest.report.palette import Style, Styles
from bequest.report.titles import METHODS, undefined


@dataclass(frozen=True)
class Cell:
    """An arm's number on a split; ``rank`` marks the column's best and worst.

    ``reason`` says why it is undefined, why its interval is, or by how much it is biased.
    """

    text: str
    interval: str = ""
    value: float | None = None
    low: float | None = None
    high: float | None = None
    n: int | None = None
    reason: str = ""
    rank: Literal["best", "worst", ""] = ""
    is_biased: bool = False


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
    described: Measure
    splits: tuple[str, ...]
    rows: tuple[ArmRow, ...]
    method: str

    @property
    def bias(self) -> str:
        """Why values are marked as biased."""
        cells = [cell for row in self.rows for cell in row.cells if cell.is_biased]
        return "; ".join(dict.fromkeys(cell.reason for cell in cells))

    def of(self, part: slice) -> ArmsTable:
        """The same with a part of its splits."""
        rows = tuple(ArmRow(row.style, row.cells[part]) for row in self.rows)
        return ArmsTable(self.measure, self.described, self.splits[part], rows, self.method)


def arms_tables(run: Run, styles: Styles) -> tuple[ArmsTable, ...]:
    """A table for each measure of an arm on a split, accuracy first."""
    absolute = [m for m in run.measurements if run.titles.is_absolute(m)]
    measures = sorted(dict.fromkeys(m.measure for m in absolute), key=lambda name: name != "accuracy")
    return tuple(
        arms_table(name, [m for m in absolute if m.measure == name], run, styles) for name in measures
    )


def arms_table(measure: str, measurements: Sequence[Measurement], run: Run, styles: Styles) -> ArmsTable:
    """The table of one measure; arms of the study without any number are in it, empty."""
    order = {name: place for place, name in enumerate(run.study.splits)}
    splits = sorted({m.split for m in measurements if m.split}, key=lambda name: order.get(name, len(order)))
    at = {(m.arm, m.split): m for m in measurements}
    arms = styles.sorted([*(arm.name for arm in run.study.arms), *(m.arm for m in measurements)])
    described = run.titles.measure(measure)
    ranks = {split: _extremes([m for m in measurements if m.split == split], described) for split in splits}
    rows = tuple(
        ArmRow(style, tuple(_cell(at.get((style.name, split)), ranks[split]) for split in splits))
        for style in arms
    )
    return ArmsTable(measure, described, tuple(splits), rows, methods(measurements))


def other_numbers(run: Run, styles: Styles) -> DataTable | None:
    """Every measurement that no chart and no arms table shows."""
    titles = run.titles
    drawn = {name for section in run.study.sections.values() for name in section.measures}
    rows = tuple(
        (
            titles.measure(m.measure).axis,
            styles.label(m.arm),
            row_place(m) or ABSENT,
            *value_and_interval(m),
            str(m.n),
        )
        for m in run.measurements
        if not (titles.is_absolute(m) or titles.is_comparison(m) or titles.is_inheritance(m))
        and not {m.measure, titles.measure(m.measure).of} & drawn
    )
    if not rows:
        return None
    return DataTable(("measure", "arm", "where", "value", "interval", "n"), rows, heads=3)


def value_and_interval(m: Measurement) -> tuple[str, str]:
    """Value and interval of a measurement as a table shows them; why it is undefined, where it is."""
    value, bracket = pair(m.value, m.low, m.high)
    return value if m.value is not None else undefined(m), bracket or ABSENT


def methods(measurements: Iterable[Measurement]) -> str:
    """The level of the intervals of ``measurements``, and how they were computed; empty without any."""
    by_level: dict[float, dict[str, None]] = {}
    for m in measurements:
        if m.low is not None or m.high is not None:
            by_level.setdefault(m.level, {})[METHODS.get(m.method, m.method)] = None
    kinds = {level: " or ".join(name for name in names if name) for level, names in by_level.items()}
    return "; ".join(
        f"{100 * level:g} % intervals{f' ({kind})' if kind else ''}" for level, kind in kinds.items()
    )


def _cell(m: Measurement | None, ranks: dict[str, Literal["best", "worst", ""]]) -> Cell:
    if m is None:
        return Cell(ABSENT, reason="no result")
    if m.value is None:
        return Cell("undefined", n=m.n, reason=m.reason or "")
    text, bracket = pair(m.value, m.low, m.high)
    rank = ranks.get(m.arm, "")
    biased = m.reason_code == Reason.BIASED
    return Cell(text, bracket, m.value, m.low, m.high, m.n, m.reason or "", rank, is_biased=biased)


def _extremes(
    measurements: Sequence[Measurement], described: Measure
) -> dict[str, Literal["best", "worst", ""]]:
    """Best and worst arm of a column, where the measure has a better direction and they differ."""
    values = {m.arm: m.value for m in measurements if m.value is not None}
    # Arms that print the same number are not ranked by the digits that the page does not show.
    if described.better is None or len({number(value) for value in values.values()}) < 2:
        return {}
    sign = 1 if described.better == "higher" else -1
    return {
        max(values, key=lambda arm: sign * values[arm]): "best",
        min(values, key=lambda arm: sign * values[arm]): "worst",
    }
