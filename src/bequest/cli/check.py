"""``bequest check``: find a study's faults without running it."""

from __future__ import annotations

from typing import Annotated

import typer

from bequest.cli.use_option import UseOption
from bequest.printable import counted

NAME = "check"
EXAMPLE = "Example: bequest check my-study.toml"


def command(
    study: Annotated[str, typer.Argument(help="A bundled study or a TOML file.")],
    use: UseOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Check a study at each of its scales, and list all of its faults at once."""
    import json

    from bequest.runs.planning import planned
    from bequest.studies.resolving import read_study, scales_of

    scales = scales_of(read_study(study)) or ["small"]
    counts = {scale: len(planned(study, scale=scale, use=use or ()).cells) for scale in scales}
    if as_json:
        typer.echo(json.dumps({"study": study, "cells": counts}))
        return
    for scale, cells in counts.items():
        typer.echo(f"{study} at scale {scale}: {counted(cells, 'cell')}, no errors")
