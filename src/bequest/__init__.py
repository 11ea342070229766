"""bequest: hand one model's inductive bias to another, and measure what was handed over."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bequest import measure
    from bequest.data.datasets import as_dataset, load_dataset
    from bequest.data.views import Shift
    from bequest.distill.fit import distill, fit
    from bequest.distill.fitted import Fitted, load
    from bequest.distill.objectives import (
        CKA,
        DIST,
        DKD,
        KD,
        OFA,
        CrossEntropy,
        Hard,
        JensenShannon,
        LogitMSE,
        ReverseKL,
        SkewKL,
        Standardised,
        Tokens,
        TotalVariation,
        VkD,
    )
    from bequest.distill.stores import build_store, open_store
    from bequest.errors import BequestError
    from bequest.runs.run import run

__all__ = [
    "CKA",
    "DIST",
    "DKD",
    "KD",
    "OFA",
    "BequestError",
    "CrossEntropy",
    "Fitted",
    "Hard",
    "JensenShannon",
    "LogitMSE",
    "ReverseKL",
    "Shift",
    "SkewKL",
    "Standardised",
    "Tokens",
    "TotalVariation",
    "VkD",
    "as_dataset",
    "build_store",
    "distill",
    "fit",
    "load",
    "load_dataset",
    "measure",
    "open_store",
    "run",
]

_OBJECTIVES = (
    "CKA",
    "DIST",
    "DKD",
    "KD",
    "OFA",
    "CrossEntropy",
    "Hard",
    "JensenShannon",
    "LogitMSE",
    "ReverseKL",
    "SkewKL",
    "Standardised",
    "Tokens",
    "TotalVariation",
    "VkD",
)

_HOMES = {
    **dict.fromkeys(_OBJECTIVES, "bequest.distill.objectives"),
    "BequestError": "bequest.errors",
    "Fitted": "bequest.distill.fitted",
    "Shift": "bequest.data.views",
    "build_store": "bequest.distill.stores",
    "open_store": "bequest.distill.stores",
    "fit": "bequest.distill.fit",
    "load": "bequest.distill.fitted",
    "as_dataset": "bequest.data.datasets",
    "load_dataset": "bequest.data.datasets",
    "run": "bequest.runs.run",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that ``bequest --help`` needs no torch."""
    if name in ("distill", "measure"):
        return import_module(f"bequest.{name}")
    if name == "__version__":
        return import_module("importlib.metadata").version("bequest")
    if name not in _HOMES:
        raise AttributeError(f"module 'bequest' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


# Without it, dir() and tab completion would miss every name that is imported lazily.
def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
