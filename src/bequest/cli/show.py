"""``bequest show``: a run folder, or several side by side, in the terminal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

if TYPE_CHECKING:
    from bequest.report.folder import Run

NAME = "show"
EXAMPLE = "Example: bequest show runs/digits-small"


def command(
    folders: Annotated[list[Path], typer.Argument(help="A run folder, or several to compare.")],
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the study's record as JSON; of several runs, a list.")
    ] = False,
) -> None:
    """Show a run's state, table, verdicts and failures; of several runs, show what differs."""
    from bequest.report.folder import read_run

    runs = [read_run(folder) for folder in folders]
    if as_json:
        studies = [run.study.model_dump(mode="json") for run in runs]
        typer.echo(json.dumps(studies[0] if len(studies) == 1 else studies, indent=1))
        return
    console = Console(highlight=False, emoji=False)
    if len(runs) == 1:
        _show(runs[0], console)
        return
    from bequest.report.differences import compare
    from bequest.report.side_by_side import side_by_side

    console.print(side_by_side(compare(runs)))


def _show(run: Run, console: Console) -> None:
    from bequest.report.terminal import run_table
    from bequest.report.terminal_text import safe_text

    done = sum(cell.status == "done" for cell in run.study.cells)
    console.print(safe_text(f"{run.study.title}  [{run.study.scale}] {run.study.status}"))
    console.print(f"{done} of {len(run.study.cells)} cells done")
    if run.measurements or run.verdicts:
        console.print(run_table(run))
    for cell in run.study.cells:
        if cell.status == "failed":
            console.print(safe_text(f"failed: {cell.arm} seed {cell.seed}: {cell.error}", style="red"))
    for problem in run.problems:
        console.print(safe_text(f"unreadable: {problem}", style="yellow"))
