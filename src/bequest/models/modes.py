"""Training and eval mode of every submodule, kept and given back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


def modes_of(model: nn.Module) -> dict[nn.Module, bool]:
    """Which submodules are in training mode."""
    return {module: module.training for module in model.modules()}


def set_modes(modes: dict[nn.Module, bool]) -> None:
    """Give submodules the modes back that :func:`modes_of` found."""
    for module, mode in modes.items():
        module.training = mode


@contextmanager
def evaluating(model: nn.Module) -> Iterator[nn.Module]:
    """``model`` in eval mode inside the block; every submodule gets its own mode back after it.

    >>> model = nn.Sequential(nn.Dropout(), nn.BatchNorm1d(2).eval())
    >>> with evaluating(model):
    ...     model[0].training
    False
    >>> model[0].training, model[1].training
    (True, False)
    """
    modes = modes_of(model)
    model.eval()
    try:
        yield model
    finally:
        set_modes(modes)
