"""``bequest ls``: what there is."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Annotated

import typer

from bequest.cli.listing import KINDS, Listing, listed_in_file, listed_in_registries
from bequest.cli.use_option import UseOption
from bequest.parts import GROUP, load_parts
from bequest.registry import unknown

NAME = "ls"
EXAMPLE = "Example: bequest ls models"


def command(
    kind: Annotated[str | None, typer.Argument(help=", ".join(KINDS) + "; default: all.")] = None,
    use: UseOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """List studies, models, datasets, objectives, views, measures and every other kind of part."""
    if kind is not None and kind not in KINDS:
        error = unknown("list", kind, KINDS)
        error.message = f"bequest ls has no list of {kind!r}"
        raise error
    listing = _listing([kind] if kind else KINDS, use or ())
    if as_json:
        typer.echo(json.dumps(listing, indent=1))
        return
    for name, entries in listing.items():
        if kind is None:
            typer.secho(name, bold=True)
        width = max(map(len, entries), default=0)
        for entry, summary in entries.items():
            typer.echo(f"  {entry:<{width}}  {summary}")


def _listing(kinds: Sequence[str], use: Sequence[Path]) -> Listing:
    """What there is of ``kinds``: our parts, and those of files and installed packages, if there are any."""
    if not use and not metadata.entry_points(group=GROUP):
        return listed_in_file(kinds)
    load_parts(use)
    return listed_in_registries(kinds)
