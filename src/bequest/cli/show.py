"""``bequest show``: a run folder in the terminal."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

NAME = "show"
EXAMPLE = "Example: bequest show runs/digits-small"


def command(
    folder: Annotated[Path, typer.Argument(help="A run folder.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the study's record as JSON.")] = False,
) -> None:
    """Show a run: its state, its table, its verdicts, its failures."""
    from bequest.report import terminal_table
    from bequest.report.folder import read_run

    run = read_run(folder)
    if as_json:
        typer.echo(run.study.model_dump_json(indent=1))
        return
    console = Console()
    done = sum(cell.status == "done" for cell in run.study.cells)
    console.print(f"{run.study.title}  [{run.study.scale}] {run.study.status}", markup=False, highlight=False)
    console.print(f"{done} of {len(run.study.cells)} cells done", highlight=False)
    if run.measurements:
        console.print(terminal_table(folder))
    for cell in run.study.cells:
        if cell.status == "failed":
            console.print(f"failed: {cell.arm} seed {cell.seed}: {cell.error}", markup=False, highlight=False)
