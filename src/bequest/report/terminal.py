"""The tables of ``bequest run`` and ``bequest show``, for a console of any width."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.table import Table
from rich.text import Text

from bequest.records import Role, Verdict
from bequest.report.claims import claim_of, claims_of
from bequest.report.folder import Run, read_run
from bequest.report.numbers import ABSENT, with_interval
from bequest.report.palette import styles
from bequest.report.tables import ArmsTable, Cell, arms_tables
from bequest.report.terminal_text import safe_text

SIGNS = {"upheld": ("✓", "green"), "contradicted": ("✗", "red"), "undecided": ("?", "yellow")}
_ROLES: dict[Role, str] = {"teacher": "bold", "control": "dim", "taught": ""}


def terminal_table(folder: str | Path) -> RenderableType:
    """The arms table of the first measure, the verdicts and the answer.

    Raises:
        RunFolderError: If ``folder`` holds no study, or a file in it is damaged.
    """
    return run_table(read_run(folder))


def run_table(run: Run) -> RenderableType:
    """The same of a run that was read already."""
    tables = arms_tables(run, styles(run.study.arms, [m.arm for m in run.measurements]))
    parts: list[RenderableType] = (
        [_Arms(tables[0], f"{run.study.name}, scale {run.study.scale}")] if tables else []
    )
    parts += [verdict_line(verdict) for verdict in run.verdicts]
    rounds = claims_of(run.verdicts, run.study.rounds).rounds
    parts += [safe_text(rounds, style="dim")] if rounds else []
    parts += _missing(run)
    if run.study.answer:
        parts.append(safe_text(run.study.answer, style="bold"))
    return Group(*parts)


def verdict_line(verdict: Verdict) -> Text:
    """A claim with its verdict as sign and word, its value and its interval; its look in a run in rounds."""
    sign, colour = SIGNS[verdict.verdict]
    interval = "" if verdict.value is None else with_interval(verdict.value, verdict.low, verdict.high)
    tail = interval or verdict.reason or ""
    exploratory = " (exploratory)" if verdict.exploratory else ""
    claim = claim_of(verdict)
    needed = f", {claim.needed} would decide it" if claim.needed else ""
    tail += f"  look {claim.look}, n = {verdict.n}{needed}" if claim.look else needed
    head = Text(f"{sign} {verdict.verdict}{exploratory}", style=colour)
    return head + safe_text(f"  {verdict.text}") + safe_text(f"  {tail}" if tail else "")


@dataclass(frozen=True)
class _Arms:
    """A table for consoles of any width: intervals stand beside the values, below them, or splits apart."""

    table: ArmsTable
    title: str

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        counts = {row.n for row in self.table.rows if row.n != ABSENT}
        one = counts.pop() if len(counts) == 1 else None
        axis = self.table.described.axis
        yield safe_text(f"{self.title}: {axis}{f', n = {one}' if one else ''}", style="italic")
        yield from _fitting(self.table, console, options, with_n=one is None)


def _fitting(
    table: ArmsTable, console: Console, options: ConsoleOptions, *, with_n: bool
) -> Iterator[RenderableType]:
    widest = options.update(max_width=10_000)
    for between in (" ", "\n"):
        drawn = _drawn(table, between, with_n=with_n)
        if console.measure(drawn, options=widest).maximum <= options.max_width:
            yield drawn
            return
    half = len(table.splits) // 2
    if not half:
        yield _drawn(table, "\n", with_n=with_n)
        return
    for part in (slice(None, half), slice(half, None)):
        yield from _fitting(table.of(part), console, options, with_n=with_n)


def _drawn(table: ArmsTable, between: str, *, with_n: bool) -> Table:
    drawn = Table(box=None, pad_edge=False)
    drawn.add_column("arm", no_wrap=True)
    for name in (*table.splits, *(["n"] if with_n else [])):
        drawn.add_column(safe_text(name), justify="right", no_wrap=True)
    for row in table.rows:
        cells = [*(_cell(cell, between) for cell in row.cells), *([Text(row.n)] if with_n else [])]
        drawn.add_row(safe_text(row.style.name), *cells, style=_ROLES[row.style.role])
    return drawn


def _cell(cell: Cell, between: str) -> Text:
    return Text(cell.text) + Text(f"{between}{cell.interval}" if cell.interval else "", style="dim")


def _missing(run: Run) -> list[RenderableType]:
    missing = run.unfinished()
    if not missing:
        return []
    failed = sum(cell.status == "failed" for cell in missing)
    text = f"{len(missing)} of {len(run.study.cells)} cells without a result, {failed} of them failed"
    return [Text(text, style="red" if failed else "yellow")]
