"""``bequest check``: find a study's faults without running it."""

from __future__ import annotations

from typing import Annotated

import typer

NAME = "check"
EXAMPLE = "Example: bequest check my-study.toml"


def command(
    study: Annotated[str, typer.Argument(help="A bundled study or a TOML file.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Check a study at each of its scales; lists every fault at once."""
    import json

    from bequest.studies.plan import SCALES, make_plan, read_study, resolve

    raw = read_study(study)
    scales = [scale for scale in SCALES if scale in raw.get("scales", {})] or ["small"]
    counts = {
        scale: len(make_plan(resolve(raw, scale=scale), scale=scale, where=f"{study} ({scale})").cells)
        for scale in scales
    }
    if as_json:
        typer.echo(json.dumps({"study": study, "cells": counts}))
        return
    for scale, cells in counts.items():
        typer.echo(f"{study} at scale {scale}: {cells} cells, no fault")
