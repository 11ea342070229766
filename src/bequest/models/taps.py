"""Named activations of the layers of a network."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from bequest.errors import ModelError
from bequest.models.devices import device_of, to_device
from bequest.models.masks import call_with_mask
from bequest.models.modes import evaluating
from bequest.models.network_checks import explained
from bequest.models.weights import require_memory
from bequest.registry import unknown

PENULTIMATE = "penultimate"
POSITION_AXES = 3


def head_of(model: nn.Module) -> tuple[str, nn.Linear]:
    """The last linear layer of ``model``, with its name.

    Raises:
        ModelError: If it has none.
    """
    linear = [(name, module) for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    if not linear:
        _check_layers(model)
        raise ModelError(
            "the model has no linear layer, so it has no penultimate activation",
            remedy="name a layer instead",
        )
    return linear[-1]


def known_activations(model: nn.Module) -> list[str]:
    """The names of activations that :func:`tapped` accepts for ``model``."""
    names = [name for name, _ in model.named_modules() if name]
    return [PENULTIMATE, *names] if any(isinstance(m, nn.Linear) for m in model.modules()) else names


@contextmanager
def tapped(model: nn.Module, names: Sequence[str]) -> Iterator[dict[str, Tensor]]:
    """Fill a dictionary with the named activations at every forward pass inside the block.

    ``penultimate`` is the input of the last linear layer; every other name is a submodule, and means its
    output (the first of several).

    Raises:
        UnknownName: If there is no such submodule; shows the nearest names.
        ModelError: If the model is a TorchScript program, whose layers take no hooks; from the forward pass,
            if the output of a submodule is not a tensor.
    """
    _check_layers(model)
    modules = dict(model.named_modules())
    caught: dict[str, Tensor] = {}
    handles = []
    try:
        for name in names:
            if name == PENULTIMATE:
                handles.append(head_of(model)[1].register_forward_pre_hook(_catch_input(caught)))
            # The empty name is the model itself, whose output the caller has.
            elif name in modules and name:
                handles.append(modules[name].register_forward_hook(_catch_output(caught, name)))
            else:
                raise unknown("activation", name, [PENULTIMATE, *filter(None, modules)])
        yield caught
    finally:
        for handle in handles:
            handle.remove()


@torch.no_grad()
def activations(
    model: nn.Module,
    x: Tensor,
    names: Sequence[str] = (PENULTIMATE,),
    *,
    batch: int = 500,
    padding: int | None = None,
) -> dict[str, Tensor]:
    """Named activations of ``model`` in eval mode, (N, ...) each; its modes are restored.

    They are computed on the network's device and returned on that of ``x``. With the padding token
    ``padding``, a network that takes an attention mask gets one; positions that a network drops from a batch
    of short sequences are zero.

    Raises:
        UnknownName: If there is no such layer.
        ModelError: If the model does not take ``x``, has no memory (the meta device), or a layer did not run.
    """
    require_memory(model)
    device = device_of(model)
    with evaluating(model), tapped(model, names) as caught:
        pieces: dict[str, list[Tensor]] = {name: [] for name in names}
        for chunk in torch.split(x, batch):
            with explained(model, x):
                call_with_mask(model, to_device(chunk, device), padding)
            for name in names:
                if name not in caught:
                    raise ModelError(
                        f"the layer {name!r} does not run in a forward pass", remedy="name another layer"
                    )
                pieces[name].append(caught[name].to(x.device, copy=True))
    return {name: _joined(piece) for name, piece in pieces.items()}


def _joined(pieces: Sequence[Tensor]) -> Tensor:
    """Batches of activations joined; those (N, L, F) of shorter sequences are padded with zeros."""
    if pieces[0].ndim == POSITION_AXES:
        length = max(piece.shape[1] for piece in pieces)
        pieces = [nn.functional.pad(piece, (0, 0, 0, length - piece.shape[1])) for piece in pieces]
    return torch.cat(list(pieces))


def _catch_input(caught: dict[str, Tensor]) -> Callable[[nn.Module, tuple[object, ...]], None]:
    def hook(_module: nn.Module, inputs: tuple[object, ...]) -> None:
        caught[PENULTIMATE] = _tensor(inputs, PENULTIMATE)

    return hook


def _catch_output(
    caught: dict[str, Tensor], name: str
) -> Callable[[nn.Module, tuple[object, ...], object], None]:
    def hook(_module: nn.Module, _inputs: tuple[object, ...], output: object) -> None:
        caught[name] = _tensor(output, name)

    return hook


def _tensor(value: object, name: str) -> Tensor:
    """``value``, or the first of several."""
    first = value[0] if isinstance(value, tuple | list) and value else value
    if not isinstance(first, Tensor):
        raise ModelError(
            f"the activation {name!r} is not a tensor",
            expected="a layer that returns a tensor, or several, of which the first counts",
            got=type(first).__name__,
            remedy="name a layer inside of it",
        )
    return first


def _check_layers(model: nn.Module) -> None:
    if isinstance(model, torch.jit.ScriptModule):
        raise ModelError(
            "the layers of a TorchScript program cannot be read",
            remedy="use the nn.Module that it was made from",
        )
