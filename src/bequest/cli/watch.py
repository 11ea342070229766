"""``bequest watch``: a run under way, here or elsewhere."""

from __future__ import annotations

import json
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table

from bequest.cli.progress import clock

if TYPE_CHECKING:
    from bequest.runs.jobs.overview import Overview
    from bequest.runs.jobs.workers import WorkerRecord

NAME = "watch"
EXAMPLE = "Example: bequest watch runs/digits-small"
COLUMNS = ("done", "at work", "failed", "waiting")
DOING = {"train": "training", "read": "reading"}


def command(
    folder: Annotated[Path, typer.Argument(help="A run folder.")],
    every: Annotated[float, typer.Option(min=0.5, help="Seconds between two updates.")] = 2.0,
    once: Annotated[
        bool, typer.Option("--once", help="Print the state once and exit, as outside a terminal.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the state once as JSON.")] = False,
) -> None:
    """Show the progress of a run: its cells and readings, the work of each worker, and what is left.

    In a terminal the view is refreshed until the run is concluded. Watching changes nothing in the folder.
    """
    from bequest.runs.jobs.overview import Observer

    observer = Observer(folder)
    overview = observer.look()
    console = Console(highlight=False, emoji=False)
    if as_json:
        typer.echo(json.dumps(_plain(overview), indent=1))
    elif once or not console.is_terminal:
        console.print(_shown(overview))
    else:
        with Live(_shown(overview), console=console, auto_refresh=False) as live:
            while not overview.ended:
                time.sleep(every)
                overview = observer.look()
                live.update(_shown(overview), refresh=True)


def _shown(overview: Overview) -> RenderableType:
    from bequest.report.terminal_text import safe_text

    total = sum((counts for counts in overview.cells.values()), Counter[str]())
    made, wanted = overview.readings
    left = "" if overview.left is None else f", about {clock(overview.left)} left"
    lines: list[RenderableType] = [
        safe_text(f"{overview.name} [{overview.scale}] {overview.status}"),
        safe_text(f"{total['done']} of {total.total()} cells, {made} of {wanted} readings{left}"),
        _arms(overview),
    ]
    lines += [safe_text(_line(worker, overview)) for worker in overview.workers]
    lines += [safe_text(f"failed: {cell}: {error}", style="red") for cell, error in overview.errors.items()]
    return Group(*lines)


def _arms(overview: Overview) -> Table:
    from bequest.report.terminal_text import safe_text

    table = Table("arm", box=None, header_style="bold", pad_edge=False)
    for column in COLUMNS:
        table.add_column(column, justify="right")
    for arm, counts in overview.cells.items():
        numbers = [str(counts[column] or "·") for column in COLUMNS]  # type: ignore[index]
        table.add_row(safe_text(arm), *numbers)
    return table


def _line(worker: WorkerRecord, overview: Overview) -> str:
    jobs = [overview.doing[job] for job in worker.doing if job in overview.doing]
    doing = [f"{DOING[job.action]} {job.cell.arm} seed {job.cell.seed}" for job in jobs]
    ended = f"{worker.done} done" + (f", {worker.failed} failed" if worker.failed else "")
    return (
        f"{worker.where} ({worker.role}, {clock(worker.seconds)}): {', '.join(doing) or 'waiting'}; {ended}"
    )


def _plain(overview: Overview) -> dict[str, Any]:
    made, wanted = overview.readings
    return {
        "name": overview.name,
        "scale": overview.scale,
        "status": overview.status,
        "cells": {arm: {key: counts[key] for key in COLUMNS} for arm, counts in overview.cells.items()},  # type: ignore[index]
        "readings": {"made": made, "wanted": wanted},
        "workers": [worker.model_dump() for worker in overview.workers],
        "failed": dict(overview.errors),
        "seconds_left": overview.left,
    }
