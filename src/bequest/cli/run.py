"""``bequest run``: run a study, or finish one."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from bequest.cli.plan import show_plan

if TYPE_CHECKING:
    from bequest.studies.runner import Result, Update

NAME = "run"
EXAMPLE = "Example: bequest run digits --scale smoke --out runs/try"
SOME_FAILED = 3


def command(
    study: Annotated[str, typer.Argument(help="A bundled study (bequest ls studies) or a TOML file.")],
    scale: Annotated[str, typer.Option(help="smoke, small or paper.")] = "small",
    seeds: Annotated[int | None, typer.Option(min=1, help="Seeds an arm.")] = None,
    arms: Annotated[str | None, typer.Option(help="Only these arms (A,B), with what they need.")] = None,
    out: Annotated[Path | None, typer.Option(help="Run folder [runs/STUDY-SCALE].")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Worker processes [one a core].")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="path=value, laid over the study; repeatable.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show cells and cost, and stop.")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Start over.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Run a study, or finish one: what is done is not done again."""
    from bequest.distill.parallel import following
    from bequest.studies import runner

    chosen = [arm.strip() for arm in arms.split(",")] if arms else None
    if dry_run:
        plan = runner.planned(study, scale=scale, seeds=seeds, arms=chosen, settings=settings or ())
        show_plan(plan, as_json=as_json)
        return
    quiet = following()
    console = Console(stderr=as_json, quiet=quiet)
    with _Display(console) as display:
        result = runner.run(
            study,
            scale=scale,
            seeds=seeds,
            arms=chosen,
            out=out,
            workers=workers,
            settings=settings or (),
            fresh=fresh,
            progress=display.update,
        )
    if not quiet:
        _conclude(result, console, as_json=as_json)


def _conclude(result: Result, console: Console, *, as_json: bool) -> None:
    from bequest.report import terminal_table, write_report

    write_report(result.folder)
    if as_json:
        typer.echo(result.study.model_dump_json(indent=1))
    else:
        console.print(terminal_table(result.folder))
        if result.trained == 0:
            console.print(f"nothing to train: all {len(result.study.cells)} cells were there")
        console.print(f"report: {result.report}", highlight=False, soft_wrap=True)
    for cell in result.failed:
        console.print(f"[red]failed:[/] {cell.arm} seed {cell.seed}: {cell.error}", highlight=False)
    if result.failed:
        console.print("the same command tries the failed cells again")
        sys.exit(SOME_FAILED)


class _Display:
    """Cells done and time left; a plain line a cell where there is no terminal."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar = Progress(
            TextColumn("[bold]cells"),
            BarColumn(bar_width=30),
            TextColumn("{task.completed:.0f}/{task.total:.0f}"),
            TimeElapsedColumn(),
            TextColumn("{task.description}"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("starting workers", total=None)

    def __enter__(self) -> _Display:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def update(self, now: Update) -> None:
        left = "" if now.remaining is None else f"{_clock(now.remaining)} left"
        ended = f"{now.cell.arm} seed {now.cell.seed}" if now.cell else ""
        self._bar.update(
            self._task, total=now.total, completed=now.done + now.failed, description=f"{left}  {ended}"
        )
        if not self._console.is_terminal:
            state = "failed" if now.error else "done"
            self._console.print(
                f"{now.done + now.failed}/{now.total} {ended} {state}, {left}",
                highlight=False,
                soft_wrap=True,
            )


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"
