"""How a run shows in the terminal: what is there, how far it is, how it ended."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from bequest.printable import counted

if TYPE_CHECKING:
    from bequest.runs.rounds import Round
    from bequest.runs.run import Result, Update

SOME_FAILED = 3
ACTIONS = {"train": "trained", "read": "read"}
CONCLUSIONS = {
    "nothing": "nothing to do",
    "verdicts": "verdicts and page only",
    "measuring": "then measurements, verdicts and page",
}


class RunDisplay:
    """Jobs done and time left: a bar in a terminal, one line for each job elsewhere.

    Args:
        console: Where to write.
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        self._bar = Progress(
            TextColumn("[bold]jobs"),
            BarColumn(bar_width=30),
            TextColumn("{task.completed:.0f}/{task.total:.0f}"),
            TimeElapsedColumn(),
            TextColumn("{task.description}"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("starting workers", total=None)

    def __enter__(self) -> RunDisplay:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def update(self, now: Update) -> None:
        """Show what a run is about to do, or that a job ended."""
        if now.job is None:
            self._announce(now)
            return
        left = "" if now.remaining is None else f"{clock(now.remaining)} left"
        ended = f"{ACTIONS[now.job.action]} {now.job.cell.arm} seed {now.job.cell.seed}"
        ended_jobs = now.done + now.failed
        self._bar.update(
            self._task, total=now.total, completed=ended_jobs, description=escape(f"{left}  {ended}")
        )
        if not self.console.is_terminal:
            state = "failed" if now.error else "done"
            self.line(f"{ended_jobs}/{now.total} {ended}: {state}, {left}")

    def _announce(self, now: Update) -> None:
        for path in now.survey.damaged:
            self.line(f"{path} is damaged and will be made again")
        if now.at is not None:
            self.line(_round(now.at))
        self.line(f"{now.survey.sentence()}; {CONCLUSIONS[now.conclusion]}")

    def line(self, text: str) -> None:
        """Print ``text`` as it is."""
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)


def conclude(result: Result, console: Console, *, as_json: bool, notes: bool = False) -> None:
    """Draw the page, show the table, and name the cells that failed; exits 3 if there are any.

    Args:
        result: The finished run.
        console: Where to write.
        as_json: Print the study's record instead of the table.
        notes: Show the warnings of the cells too.
    """
    from bequest.files import write_text
    from bequest.report.folder import read_run
    from bequest.report.page import render
    from bequest.report.terminal import run_table

    run = read_run(result.folder)  # once for the page and the table: it may have thousands of cells
    page = write_text(result.report, render(run))
    if as_json:
        typer.echo(json.dumps(result.study.model_dump(mode="json"), indent=1))
    else:
        console.print(run_table(run))
        for note in result.study.notes if notes else ():
            console.print("[bold yellow]warning:[/]", escape(note))
        console.print(_summary(result, page), markup=False, highlight=False, soft_wrap=True)
    for cell in result.failed:
        console.print(
            "[red]failed:[/]", escape(f"{cell.arm} seed {cell.seed}: {cell.error}"), highlight=False
        )
    if result.not_begun is not None:
        console.print(f"the next look was not started: it would take about {clock(result.not_begun)}")
        console.print("run the same command to continue, with a new budget")
    if result.failed:
        console.print("run the same command to retry the failed cells")
        sys.exit(SOME_FAILED)


def _round(at: Round) -> str:
    """Which look is to be taken, if one is."""
    taken, looks = at.rounds.taken, at.rounds.looks
    if not at.pending:
        return f"{taken} of {len(looks)} looks are taken"
    undecided = len(looks[taken - 1].further) if taken else 0
    further = f": {undecided} claim{'s are' if undecided != 1 else ' is'} undecided" if taken else ""
    return f"look {taken + 1} of {len(looks)}, at {looks[taken].seeds} seeds{further}"


def _summary(result: Result, page: Path) -> str:
    if result.trained or result.read:
        work = f"{counted(result.trained, 'cell')} trained, {counted(result.read, 'reading')} made"
    elif result.conclusion == "nothing":
        work = f"nothing to train: all {counted(len(result.study.cells), 'cell')} already finished"
    else:
        work = f"nothing to train: {CONCLUSIONS[result.conclusion]}"
    return f"{work}\nreport: {page}"


def clock(seconds: float) -> str:
    """Minutes and seconds.

    >>> clock(75.4)
    '1:15'
    """
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"
