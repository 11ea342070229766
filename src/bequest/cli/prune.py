"""``bequest prune``: delete what a run no longer needs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

NAME = "prune"
EXAMPLE = "Example: bequest prune runs/digits-small"


def command(
    folder: Annotated[Path, typer.Argument(help="A run folder.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be deleted.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Delete cells, readings and stores that the study of a run folder no longer asks for."""
    from bequest.runs.pruning import prune

    pruned = prune(folder, dry_run=dry_run)
    if as_json:
        typer.echo(json.dumps({"deleted": [str(path) for path in pruned.paths], "bytes": pruned.bytes}))
        return
    for path in pruned.paths:
        typer.echo(path)
    would = "would free" if dry_run else "freed"
    typer.echo(f"files and folders: {len(pruned.paths)}, {would} {pruned.bytes / 2**20:.1f} MiB")
