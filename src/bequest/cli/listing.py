"""What there is, by kind: names with one-line summaries, from the registries or from the file made of them.

``listing.json`` is written by ``docs/generate_reference.py``. To ask the registries takes an import of
PyTorch, some two seconds; ``bequest ls`` reads the file instead, as long as there are no parts but ours.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bequest.measures import Measure
from bequest.registry import Registry

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
FILE = Path(__file__).with_name("listing.json")

Listing = dict[str, dict[str, str]]
"""Kind to name to summary."""


def listed_in_file(kinds: Iterable[str] = KINDS) -> Listing:
    """Our own parts, without importing them."""
    listing = json.loads(FILE.read_text(encoding="utf-8"))
    return {kind: listing[kind] for kind in kinds}


def listed_in_registries(kinds: Iterable[str] = KINDS) -> Listing:
    """Every part that is registered now; of a user's also where it comes from."""
    return {kind: _entries(kind) for kind in kinds}


def _entries(kind: str) -> dict[str, str]:
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
