"""Named activations: what a network computes on the way to its answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from bequest.errors import ModelError
from bequest.models.modes import evaluating
from bequest.registry import unknown

PENULTIMATE = "penultimate"


def head_of(model: nn.Module) -> tuple[str, nn.Linear]:
    """The last linear layer of ``model``, with its name.

    Raises:
        ModelError: If it has none.
    """
    found = [(name, module) for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    if not found:
        raise ModelError(
            "the model has no linear layer, so it has no penultimate activation",
            remedy="name a layer instead",
        )
    return found[-1]


def known_activations(model: nn.Module) -> list[str]:
    """The names under which :func:`tapped` finds something in ``model``."""
    names = [name for name, _ in model.named_modules() if name]
    return [PENULTIMATE, *names] if any(isinstance(m, nn.Linear) for m in model.modules()) else names


@contextmanager
def tapped(model: nn.Module, names: Sequence[str]) -> Iterator[dict[str, Tensor]]:
    """Fill a dictionary with the named activations at every forward pass inside the block.

    ``penultimate`` is what enters the last linear layer; every other name is a submodule, and stands for
    what leaves it (the first of several outputs).

    Raises:
        UnknownName: If there is no such submodule; shows the nearest names.
        ModelError: From the forward pass, if what leaves a submodule is no tensor.
    """
    modules = dict(model.named_modules())
    caught: dict[str, Tensor] = {}
    handles = []
    try:
        for name in names:
            if name == PENULTIMATE:
                handles.append(head_of(model)[1].register_forward_pre_hook(_catch_input(caught)))
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
    model: nn.Module, x: Tensor, names: Sequence[str] = (PENULTIMATE,), *, batch: int = 500
) -> dict[str, Tensor]:
    """Named activations of ``model`` in eval mode, (N, ...) each; its modes are left as they were."""
    with evaluating(model), tapped(model, names) as caught:
        pieces: dict[str, list[Tensor]] = {name: [] for name in names}
        for chunk in torch.split(x, batch):
            model(chunk)
            for name in names:
                pieces[name].append(caught[name].clone())
    return {name: torch.cat(piece) for name, piece in pieces.items()}


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
    found = value[0] if isinstance(value, tuple | list) and value else value
    if not isinstance(found, Tensor):
        raise ModelError(
            f"the activation {name!r} is no tensor",
            expected="a layer that returns a tensor, or several, of which the first counts",
            got=type(found).__name__,
            remedy="name a layer inside of it",
        )
    return found
