"""Training and eval modes of all submodules, saved and restored."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from bequest.errors import ModelError


def modes_of(model: nn.Module) -> dict[nn.Module, bool]:
    """The training mode of every submodule."""
    return {module: module.training for module in model.modules()}


def set_modes(modes: dict[nn.Module, bool]) -> None:
    """Restore the modes that :func:`modes_of` returned."""
    for module, mode in modes.items():
        # Not train(mode), which would set all of the module's children too.
        module.training = mode


@contextmanager
def evaluating(model: nn.Module) -> Iterator[nn.Module]:
    """``model`` in eval mode inside the block; afterwards every submodule has its former mode.

    >>> model = nn.Sequential(nn.Dropout(), nn.BatchNorm1d(2).eval())
    >>> with evaluating(model):
    ...     model[0].training
    False
    >>> model[0].training, model[1].training
    (True, False)

    Raises:
        ModelError: If the model is an exported program, which cannot change its mode.
    """
    modes = modes_of(model)
    try:
        model.eval()
    except NotImplementedError as error:
        raise ModelError(
            "the network is an exported program, whose training or eval mode was fixed when it was exported",
            remedy="use the nn.Module that it was exported from",
        ) from error
    try:
        yield model
    finally:
        set_modes(modes)


@contextmanager
def buffers_restored(model: nn.Module) -> Iterator[None]:
    """Restore the buffers of ``model`` after the block, also after an error.

    >>> model = nn.BatchNorm1d(1)
    >>> with buffers_restored(model):
    ...     _ = model(torch.tensor([[1.0], [3.0]]))
    >>> model.running_mean.item(), model.num_batches_tracked.item()
    (0.0, 0)
    """
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    try:
        yield
    finally:
        with torch.no_grad():
            for name, buffer in model.named_buffers():  # by name, as a module may have replaced the tensor
                buffer.copy_(before[name])
