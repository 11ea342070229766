"""bequest: hand one model's inductive bias to another, and measure what was handed over."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bequest.data.datasets import load_dataset
    from bequest.data.views import Shift
    from bequest.distill.fit import distill, fit
    from bequest.distill.fitted import Fitted, load
    from bequest.distill.objectives import KD
    from bequest.distill.stores import build_store, open_store
    from bequest.runs.run import run

__all__ = [
    "KD",
    "Fitted",
    "Shift",
    "build_store",
    "distill",
    "fit",
    "load",
    "load_dataset",
    "open_store",
    "run",
]

_HOMES = {
    "KD": "bequest.distill.objectives",
    "Fitted": "bequest.distill.fitted",
    "Shift": "bequest.data.views",
    "build_store": "bequest.distill.stores",
    "open_store": "bequest.distill.stores",
    "fit": "bequest.distill.fit",
    "load": "bequest.distill.fitted",
    "load_dataset": "bequest.data.datasets",
    "run": "bequest.runs.run",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that ``bequest --help`` needs no torch."""
    if name == "distill":
        return import_module("bequest.distill")
    if name == "__version__":
        return import_module("importlib.metadata").version("bequest")
    if name not in _HOMES:
        raise AttributeError(f"module 'bequest' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
