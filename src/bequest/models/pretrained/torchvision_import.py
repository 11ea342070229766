"""Import torchvision with a CPU build of PyTorch, for which the package index has no Linux wheel that loads.

Its Linux wheels link against CUDA. With a CPU build the compiled part is skipped, and the import then fails
at two operators that only the compiled part declares: non-maximum suppression, which image classifiers do not
use. Declaring them here without an implementation lets the import succeed; calls of them still raise.
"""

from __future__ import annotations

import importlib
import importlib.util
from types import ModuleType

import torch

OPERATORS = ("nms", "qnms")
SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_declared: list[torch.library.Library] = []  # a declaration lasts as long as its Library object


def import_torchvision() -> ModuleType:
    """The package torchvision.

    Raises:
        ImportError: If it is not installed.
        RuntimeError: If it does not load, for another reason than the missing CUDA libraries.
    """
    try:
        return importlib.import_module("torchvision")
    except RuntimeError:
        if torch.version.cuda is not None or _declared:
            raise
    _declare_operators()
    return importlib.import_module("torchvision")


def prepare_torchvision() -> None:
    """Make torchvision importable, if installed, for libraries that import it themselves."""
    if importlib.util.find_spec("torchvision") is not None:
        import_torchvision()


def _declare_operators() -> None:
    library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
    for name in OPERATORS:
        library.define(f"{name}{SCHEMA}")  # type: ignore[no-untyped-call]
    _declared.append(library)
