"""``bequest run``: run a study, resume it, or let it grow."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from bequest.cli.device_options import DeviceOption, PerDevice
from bequest.cli.plan import show_plan
from bequest.cli.progress import RunDisplay, conclude
from bequest.cli.use_option import UseOption

if TYPE_CHECKING:
    from bequest.records import RoundsRecord
    from bequest.studies.plan import Plan

NAME = "run"
EXAMPLE = "Example: bequest run digits --scale smoke --out runs/try"


def command(
    study: Annotated[str, typer.Argument(help="A bundled study (bequest ls studies) or a TOML file.")],
    scale: Annotated[
        str, typer.Option(help="smoke, small, decide or paper; a study need not have all of them.")
    ] = "small",
    seeds: Annotated[int | None, typer.Option(min=1, help="Seeds per arm.")] = None,
    seeds_from: Annotated[int | None, typer.Option(min=0, help="The first seed.")] = None,
    arms: Annotated[
        str | None, typer.Option(help="Only these arms (A,B) and the arms that they need.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Run folder (default: runs/STUDY-SCALE).")] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Worker processes (default: one per GPU, or one per core).")
    ] = None,
    device: DeviceOption = "auto",
    per_device: PerDevice = None,
    engine: Annotated[
        str, typer.Option(help="local, slurm, ray, or none: only prepare the folder for bequest work.")
    ] = "local",
    ray_address: Annotated[
        str | None, typer.Option(help="auto, HOST:PORT or ray://... (default: Ray is started here).")
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="Override a key of the study: path=value; repeatable.")
    ] = None,
    use: UseOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the cells and their cost, then exit.")
    ] = False,
    amend: Annotated[
        bool, typer.Option("--amend", help="Continue even if this leaves finished cells unused.")
    ] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Delete the existing run and start over.")] = False,
    until_decided: Annotated[
        bool,
        typer.Option(
            "--until-decided",
            help="Add seeds in rounds for undecided claims; levels allow for the repeated looks.",
        ),
    ] = False,
    budget: Annotated[
        str | None, typer.Option(help="Start no round that would end after this time (90s, 20m, 1h30m).")
    ] = None,
    most_seeds: Annotated[
        int | None, typer.Option(min=1, help="Seeds at the last look (default: four times the study's).")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Run a study, resume it, or extend a finished one; finished cells and readings are reused."""
    from bequest.distill.parallel import following
    from bequest.runs.engines.choice import Choice
    from bequest.runs.planning import planned
    from bequest.runs.run import run

    asked: dict[str, Any] = {
        "scale": scale,
        "seeds": seeds,
        "seeds_from": seeds_from,
        "arms": [arm.strip() for arm in arms.split(",")] if arms else None,
        "settings": settings or (),
        "use": use or (),
    }
    place: dict[str, Any] = {"device": device, "engine": engine, "ray_address": ray_address}
    rounds: dict[str, Any] = {"until_decided": until_decided, "budget": budget, "most_seeds": most_seeds}
    if dry_run:
        Choice.of(engine, device, ray_address=ray_address)
        plan = planned(study, **asked)
        folder = out or Path("runs") / f"{plan.study.name}-{scale}"
        show_plan(plan, folder, begun=_rounds(plan, folder, amend=amend, **rounds), as_json=as_json)
        return
    quiet = following()
    console = Console(stderr=as_json, quiet=quiet, emoji=False)
    with RunDisplay(console) as display:
        result = run(
            study,
            out=out,
            workers=workers,
            per_device=per_device,
            fresh=fresh,
            amend=amend,
            progress=display.update,
            **place,
            **asked,
            **rounds,
        )
    if result.study.status == "prepared":
        console.print(f"prepared {result.folder}; next: bequest work {result.folder}", soft_wrap=True)
    elif not quiet:
        conclude(result, console, as_json=as_json)


def _rounds(
    plan: Plan, folder: Path, *, until_decided: bool, budget: str | None, most_seeds: int | None, amend: bool
) -> RoundsRecord | None:
    """The looks that a run would take; None where claims are judged once."""
    from bequest.runs.folder import RunFolder
    from bequest.runs.rounds import begun_rounds, time_limit

    time_limit(until_decided, budget, most_seeds)
    return begun_rounds(plan, RunFolder(folder), most_seeds, amend=amend) if until_decided else None
