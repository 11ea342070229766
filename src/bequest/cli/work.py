"""``bequest work``: take jobs of a run folder, beside any number of others."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from bequest.cli.device_options import DeviceOption
from bequest.cli.progress import ACTIONS, SOME_FAILED
from bequest.printable import counted

if TYPE_CHECKING:
    from bequest.runs.jobs.schedule import Answer

NAME = "work"
EXAMPLE = "Example, on every machine that sees the folder: bequest work runs/digits-small"


def command(
    folder: Annotated[Path, typer.Argument(help="A run folder that bequest run prepared.")],
    device: DeviceOption = "auto",
    once: Annotated[bool, typer.Option("--once", help="Exit after one job.")] = False,
    silence: Annotated[
        float, typer.Option(min=15.0, help="Seconds of silence after which another worker counts as dead.")
    ] = 60.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was done as JSON.")] = False,
) -> None:
    """Train cells and make readings of a run until none is left; the last worker measures and judges.

    Any number of workers can share a folder, on any machine that sees it. Exits 0 if nothing is left, or with
    --once if its job is done; 3 if a job failed; 130 if it was asked to end (SIGTERM, Ctrl-C): training is
    saved first, and any worker can resume it. torchrun ... -m bequest work is one worker whose ranks
    train each cell together.
    """
    from bequest.distill.parallel import following
    from bequest.runs.jobs.taking import work

    console = Console(stderr=as_json, emoji=False)

    def show(answer: Answer, left: int) -> None:
        cell, ending = answer.job.cell, "done" if answer.error is None else f"failed: {answer.error}"
        text = f"{ACTIONS[answer.job.action]} {cell.arm} seed {cell.seed}: {ending}; {left} left"
        console.print(text, markup=False, highlight=False, soft_wrap=True)

    worked = work(folder, device=device, once=once, silence=silence, progress=show)
    if following():
        return
    done = sum(answer.status == "done" for answer in worked.answers)
    concluded = worked.study is not None
    if concluded:
        from bequest.report import write_report

        write_report(folder)
    if as_json:
        summary = {"done": done, "failed": len(worked.failed), "left": worked.left, "concluded": concluded}
        typer.echo(json.dumps(summary))
    else:
        text = f"{counted(done, 'job')} done here, {worked.left} left" + (
            "; measured and judged" if concluded else ""
        )
        console.print(text, markup=False, highlight=False)
    ours = [answer for answer in worked.answers if answer.status != "done"]
    if ours if once else worked.failed:
        sys.exit(SOME_FAILED)
