"""What ``bequest run --dry-run`` shows: the cells of a study, and what they will take."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from bequest.errors import DataError

if TYPE_CHECKING:
    from bequest.studies.cost import ArmCost
    from bequest.studies.plan import Plan

COLUMNS = ("arm", "cells", "steps", "parameters", "PFLOP", "memory", "GPU h")
MIB = 2**20


def show_plan(plan: Plan, *, as_json: bool) -> None:
    """Print the cells and the cost of every arm; without the data's size, why there is none."""
    from bequest.studies.cost import ASSUMED, study_cost

    try:
        costs, absent = study_cost(plan), ""
    except DataError as error:
        costs, absent = [], str(error)
    if as_json:
        cells = [{"id": cell.id, "arm": cell.arm, "seed": cell.seed} for cell in plan.cells]
        shown = {"scale": plan.scale, "cells": cells, "arms": [asdict(cost) for cost in costs]}
        typer.echo(json.dumps(shown, indent=1))
        return
    for cell in plan.cells:
        typer.echo(f"{cell.id}  seed {cell.seed}  {cell.arm}")
    if costs:
        typer.echo()
        for line in _table(costs):
            typer.echo(line)
        typer.echo(ASSUMED)
    elif absent:
        typer.echo(f"no estimate of the cost: {absent}")
    else:
        typer.echo("no estimate of the cost: nothing is trained; the cells draw the solvable model")
    typer.echo(f"{len(plan.cells)} cells at scale {plan.scale}; nothing was run")


def _table(costs: list[ArmCost]) -> list[str]:
    """One line an arm, each number that of one cell; the last has the sums over all cells."""
    rows = [COLUMNS, *(_row(cost) for cost in costs), _total(costs)]
    widths = [max(len(row[k]) for row in rows) for k in range(len(COLUMNS))]
    return [
        "  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))])
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
