"""What ``bequest run --dry-run`` shows: the cells of a study, and what they will take."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from bequest.errors import DataError, RunFolderError
from bequest.printable import counted

if TYPE_CHECKING:
    from bequest.records import RoundsRecord, Verdict
    from bequest.studies.cost import ArmCost
    from bequest.studies.looks import SmallestEffect
    from bequest.studies.plan import Plan

COLUMNS = ("arm", "cells", "steps", "parameters", "PFLOP", "memory", "GPU h")
EFFECT_COLUMNS = ("claim", "arms", "seeds", "first", "last")
EFFECTS = (
    "first, last: the smallest distance from its margin at which a claim is decided with a probability of "
    "80 %, in standard deviations of its value over seeds, if it is the first or the last of the study's "
    "claims to be judged; variation over test samples comes on top."
)
SEEN = " seen: the distance in the existing run."
MIB = 2**20


def show_plan(plan: Plan, folder: Path, *, begun: RoundsRecord | None, as_json: bool) -> None:
    """Print the cells, the cost of every arm, and what effects the study's seeds can see.

    Args:
        plan: The study.
        folder: The run folder, which may hold a run of it.
        begun: The looks of a run in rounds.
        as_json: Print JSON.
    """
    from bequest.studies.cost import ASSUMED, study_cost
    from bequest.studies.looks import smallest_effects

    try:
        costs, absent = study_cost(plan), ""
    except DataError as error:
        costs, absent = [], str(error)
    effects, distances = smallest_effects(plan, begun), _distances(plan, _verdicts_in(folder))
    if as_json:
        cells = [{"id": cell.id, "arm": cell.arm, "seed": cell.seed} for cell in plan.cells]
        shown: dict[str, object] = {"scale": plan.scale, "cells": cells, "arms": [asdict(c) for c in costs]}
        looks = None if begun is None else [{"seeds": k.seeds, "level": k.level} for k in begun.looks]
        shown |= {"looks": looks, "smallest_effects": [_plain(effect, distances) for effect in effects]}
        typer.echo(json.dumps(shown, indent=1))
        return
    for cell in plan.cells:
        typer.echo(f"{cell.id}  seed {cell.seed}  {cell.arm}")
    if costs:
        typer.echo()
        for line in _table([COLUMNS, *(_row(cost) for cost in costs), _total(costs)]):
            typer.echo(line)
        typer.echo(ASSUMED)
    elif absent:
        typer.echo(f"no estimate of the cost: {absent}")
    else:
        typer.echo("no estimate of the cost: nothing is trained; the cells simulate the solvable model")
    for line in _effect_lines(effects, distances):
        typer.echo(line)
    typer.echo(
        f"{counted(len(plan.cells), 'cell')} at scale {plan.scale}{_at_most(plan, begun)}; nothing was run"
    )


def _verdicts_in(folder: Path) -> dict[str, Verdict]:
    """The verdicts of the run in ``folder`` by the claim's id; none if there are none that can be read."""
    from bequest.record_files import read_records
    from bequest.records import Verdict

    try:
        return {verdict.id: verdict for verdict in read_records(folder / "claims.json", Verdict)}
    except (RunFolderError, TypeError):
        return {}


def _distances(plan: Plan, verdicts: Mapping[str, Verdict]) -> dict[str, float]:
    """How far each claim's value lay from its margin, in standard deviations over seeds."""
    from bequest.studies.looks import distance_from_margin

    claims = [claim for claim in plan.study.claims if claim.id in verdicts]
    distances = {claim.id: distance_from_margin(claim, verdicts[claim.id]) for claim in claims}
    return {claim_id: distance for claim_id, distance in distances.items() if distance is not None}


def _plain(effect: SmallestEffect, distances: Mapping[str, float]) -> dict[str, object]:
    """An effect as JSON has it, where an infinite one is null."""
    plain = asdict(effect) | {"seen": distances.get(effect.claim)}
    return {name: None if value == float("inf") else value for name, value in plain.items()}


def _effect_lines(effects: Sequence[SmallestEffect], distances: Mapping[str, float]) -> Iterator[str]:
    """What the seeds can see: one line for each claim and look."""
    if not effects:
        return
    rows = [(*EFFECT_COLUMNS, *(["seen"] if distances else []))]
    for before, effect in zip([None, *effects], effects, strict=False):
        again = before is not None and before.claim == effect.claim
        seen = "" if again else _number(distances.get(effect.claim))
        rows.append(
            (
                "" if again else effect.claim,
                "" if again else " − ".join(effect.arms),
                str(effect.seeds),
                _number(effect.first),
                _number(effect.last),
                *([seen] if distances else []),
            )
        )
    yield ""
    yield from _table(rows)
    yield EFFECTS + (SEEN if distances else "")


def _number(effect: float | None) -> str:
    return "—" if effect is None or not isfinite(effect) else f"{effect:.3g}"


def _at_most(plan: Plan, rounds: RoundsRecord | None) -> str:
    if rounds is None:
        return ""
    from bequest.studies.looks import largest_plan

    seeds = ", ".join(map(str, rounds.seeds))
    return f", at most {len(largest_plan(plan, rounds).cells)} after looks at {seeds} seeds"


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of text in columns, the first of them and columns without numbers to the left."""
    count = len(rows[0])
    widths = [max(len(row[k]) for row in rows) for k in range(count)]
    left = [k == 0 or rows[0][k] == "arms" for k in range(count)]
    return [
        "  ".join(
            cell.ljust(width) if to_left else cell.rjust(width)
            for cell, width, to_left in zip(row, widths, left, strict=True)
        )
        for row in rows
    ]


def _row(cost: ArmCost) -> tuple[str, ...]:
    numbers = f"{cost.parameters:,}" + (f" ({cost.state:,})" if cost.state != cost.parameters else "")
    return (
        cost.arm,
        str(cost.cells),
        f"{cost.steps:,}",
        numbers,
        f"{cost.flops / 1e15:.3g}",
        f"{cost.memory / MIB:,.0f} MiB",
        f"{cost.gpu_hours:.2g}",
    )


def _total(costs: list[ArmCost]) -> tuple[str, ...]:
    return (
        "all cells",
        str(sum(cost.cells for cost in costs)),
        f"{sum(cost.cells * cost.steps for cost in costs):,}",
        "",
        f"{sum(cost.cells * cost.flops for cost in costs) / 1e15:.3g}",
        f"{max(cost.memory for cost in costs) / MIB:,.0f} MiB",
        f"{sum(cost.cells * cost.gpu_hours for cost in costs):.2g}",
    )
