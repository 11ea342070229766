"""``bequest ls``: what there is."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from bequest.registry import Registry, unknown

NAME = "ls"
EXAMPLE = "Example: bequest ls models"
KINDS = ("studies", "models", "datasets", "objectives", "views", "corruptions", "measures")


def command(
    kind: Annotated[str | None, typer.Argument(help=", ".join(KINDS) + "; default: all.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """List studies, models, datasets, objectives, views, corruptions or measures."""
    if kind is not None and kind not in KINDS:
        raise unknown("kind of thing", kind, KINDS)
    found = {name: _entries(name) for name in ([kind] if kind else KINDS)}
    if as_json:
        typer.echo(json.dumps(found, indent=1))
        return
    for name, entries in found.items():
        if kind is None:
            typer.secho(name, bold=True)
        width = max(map(len, entries), default=0)
        for entry, summary in entries.items():
            typer.echo(f"  {entry:<{width}}  {summary}")


def _entries(kind: str) -> dict[str, str]:
    """Names and one-line summaries."""
    if kind == "studies":
        from bequest.studies.plan import bundled, read_study

        return {name: str(read_study(name)["title"]) for name in bundled()}
    if kind == "measures":
        from bequest.studies.measuring import LIKENESSES, PROPERTIES, REPRESENTATIONS

        groups = (
            (PROPERTIES, "of one model on a split"),
            (LIKENESSES, "of two models' answers on a split"),
            (REPRESENTATIONS, "of two models' activations"),
        )
        return {name: summary for group, summary in groups for name in group}
    registry = _registry(kind)
    return {name: registry.summary(name) for name in registry}


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
    from bequest.distill.objectives import Objective

    return Objective.known
