"""torchvision beside a CPU build of PyTorch, for which the package index has no Linux wheel that loads.

Its Linux wheels link against CUDA. Beside a CPU build the compiled part is skipped, and then the import fails
at two operators that only the compiled part declares: non-maximum suppression, which image classifiers do not
use. Declared here without an implementation, they let the import go through; called, they still raise.
"""

from __future__ import annotations

import importlib
import importlib.util
from types import ModuleType

import torch

OPERATORS = ("nms", "qnms")
SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_declared: list[torch.library.Library] = []  # the declaration ends with the object that made it


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
    """Make torchvision importable for libraries that import it by themselves, where it is installed."""
    if importlib.util.find_spec("torchvision") is not None:
        import_torchvision()


def _declare_operators() -> None:
    library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
    for name in OPERATORS:
        library.define(f"{name}{SCHEMA}")  # type: ignore[no-untyped-call]
    _declared.append(library)
