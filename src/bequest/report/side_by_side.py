"""Several runs side by side in the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from bequest.records import Measurement, Verdict
from bequest.report.differences import Comparison, Difference, RunsTable
from bequest.report.numbers import ABSENT, with_interval
from bequest.report.terminal import SIGNS
from bequest.report.terminal_text import safe_text


def side_by_side(comparison: Comparison) -> RenderableType:
    """What differs, the first measure of the arms that several runs have, and the claims."""
    parts: list[RenderableType] = [_facts(comparison)]
    if comparison.unmatched:
        parts.append(safe_text(f"in one run only: {', '.join(comparison.unmatched)}", style="yellow"))
    if comparison.tables:
        parts += [Text(), _numbers(comparison.tables[0], comparison.names)]
    if comparison.claims:
        parts += [Text(), _claims(comparison)]
    return Group(*parts)


def _facts(comparison: Comparison) -> Table:
    drawn = _table("", comparison.names)
    for fact in comparison.facts:
        if fact.differs:
            drawn.add_row(Text(fact.name, style="dim"), *map(safe_text, fact.values))
    return drawn


def _numbers(table: RunsTable, names: Sequence[str]) -> Table:
    drawn = _table("arm", ["split", *names, *(f"{name} − {names[0]}" for name in names[1:])])
    drawn.title = safe_text(table.title, style="italic")
    for number in table.numbers:
        drawn.add_row(
            safe_text(number.arm),
            safe_text(number.split),
            *map(_value, number.measurements),
            *map(_difference, number.differences),
        )
    return drawn


def _claims(comparison: Comparison) -> Table:
    drawn = _table("claim", comparison.names)
    for claim in comparison.claims:
        drawn.add_row(safe_text(claim.text), *map(_verdict, claim.verdicts))
    return drawn


def _table(first: str, columns: Sequence[str]) -> Table:
    drawn = Table(box=None, pad_edge=False, title_justify="left")
    drawn.add_column(Text(first), overflow="fold")
    for column in columns:
        drawn.add_column(safe_text(column), overflow="fold")
    return drawn


def _value(m: Measurement | None) -> Text:
    return Text(
        ABSENT if m is None else "undefined" if m.value is None else with_interval(m.value, m.low, m.high)
    )


def _difference(d: Difference | None) -> Text:
    return Text(ABSENT if d is None else d.text)


def _verdict(verdict: Verdict | None) -> Text:
    if verdict is None:
        return Text(ABSENT)
    sign, colour = SIGNS[verdict.verdict]
    interval = "" if verdict.value is None else with_interval(verdict.value, verdict.low, verdict.high)
    return Text(f"{sign} {verdict.verdict}", style=colour) + Text(f" {interval}" if interval else "")
