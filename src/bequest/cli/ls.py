"""``bequest ls``: what there is."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from bequest.cli.use_option import UseOption
from bequest.measures import Measure
from bequest.registry import Registry, unknown

NAME = "ls"
EXAMPLE = "Example: bequest ls models"
KINDS = (
    "studies",
    "models",
    "datasets",
    "objectives",
    "views",
    "generators",
    "corruptions",
    "measures",
    "evidence",
)


def command(
    kind: Annotated[str | None, typer.Argument(help=", ".join(KINDS) + "; default: all.")] = None,
    use: UseOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """List studies, models, datasets, objectives, views, measures and every other kind of part."""
    if kind is not None and kind not in KINDS:
        raise unknown("kind of thing", kind, KINDS)
    _load(use or (), kind)
    listing = {name: _entries(name) for name in ([kind] if kind else KINDS)}
    if as_json:
        typer.echo(json.dumps(listing, indent=1))
        return
    for name, entries in listing.items():
        if kind is None:
            typer.secho(name, bold=True)
        width = max(map(len, entries), default=0)
        for entry, summary in entries.items():
            typer.echo(f"  {entry:<{width}}  {summary}")


def _load(use: Sequence[Path], kind: str | None) -> None:
    """Import the parts of users, where something is listed that they may add to."""
    if kind != "studies":
        from bequest.parts import load_parts

        load_parts(use)


def _entries(kind: str) -> dict[str, str]:
    """Names and one-line summaries; of users' parts also where they come from."""
    if kind == "studies":
        from bequest.studies.resolving import bundled, read_study

        return {name: str(read_study(name)["title"]) for name in bundled()}
    registry = _registry(kind)
    entries = {}
    for name in registry.in_order() if kind in ("measures", "evidence") else registry:
        origin = registry.origin(name)
        value = registry[name]
        summary = value.axis if isinstance(value, Measure) else registry.summary(name)
        entries[name] = f"{summary}  ({origin})" if origin else summary
    return entries


def _registry(kind: str) -> Registry[Any]:
    if kind == "models":
        from bequest.models import MODELS

        return MODELS
    if kind == "datasets":
        from bequest.data import DATASETS

        return DATASETS
    if kind == "corruptions":
        from bequest.data.corruptions import CORRUPTIONS

        return CORRUPTIONS
    if kind == "views":
        from bequest.data.views import View

        return View.known
    if kind == "generators":
        from bequest.data.generators import Generator

        return Generator.known
    if kind == "objectives":
        from bequest.distill.objectives import Objective

        return Objective.known
    import bequest.evidence.kinds  # noqa: F401  (it adds the kinds and their measures)
    from bequest.measures import MEASURES
    from bequest.studies.kind import KindSpec

    return MEASURES if kind == "measures" else KindSpec.registered
