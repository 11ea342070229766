"""Fine-tuning by depth: which layer a parameter belongs to, its learning rate, and when it joins."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

CONTAINERS = (nn.Sequential, nn.ModuleList)


def layers_of(model: nn.Module) -> list[list[str]]:
    """Names of parameters, layer by layer from the inputs to the head.

    A layer is a child of the model that has parameters. Sequences, and modules with a single child that has
    parameters, are split into their children. A module with vectors alone, such as a normalisation, belongs
    to the layer before it.

    >>> layers_of(nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.ReLU(), nn.Linear(3, 2, bias=False)))
    [['0.weight', '0.bias', '1.weight', '1.bias'], ['3.weight']]
    """
    layers: list[list[str]] = []
    for name, module in _pieces(model, ""):
        named = dict(module.named_parameters(name.removesuffix(".")))
        vectors = all(parameter.ndim < 2 for parameter in named.values())
        if vectors and layers:
            layers[-1] += named
        else:
            layers.append(list(named))
    # Parameters of the model itself, such as a class token, are used from the input on: the first layer.
    loose = [name for name, _ in model.named_parameters() if not any(name in layer for layer in layers)]
    if loose:
        layers = [[*loose, *layers[0]], *layers[1:]] if layers else [loose]
    return layers


def heights_of(model: nn.Module) -> dict[str, int]:
    """The number of layers between each parameter and the output: 0 for the head.

    >>> heights_of(nn.Sequential(nn.Linear(2, 3, bias=False), nn.Linear(3, 2, bias=False)))
    {'0.weight': 1, '1.weight': 0}
    """
    layers = layers_of(model)
    return {name: len(layers) - 1 - depth for depth, layer in enumerate(layers) for name in layer}


def start_of(height: int, top: int, over: float) -> float:
    """The share of the run after which a layer of this height starts to learn: ``over`` · height / top.

    The head learns from the start; the layer next to the inputs (height ``top``) joins at ``over``.

    Source: Howard & Ruder 2018, "Universal language model fine-tuning", section 3.3 (gradual unfreezing).
    """
    return over * height / max(1, top)


def _pieces(module: nn.Module, name: str) -> Iterator[tuple[str, nn.Module]]:
    children = [
        (key, child) for key, child in module.named_children() if any(True for _ in child.parameters())
    ]
    holds_some = any(True for _ in module.parameters(recurse=False))
    apart = not holds_some and (not name or isinstance(module, CONTAINERS) or len(children) == 1)
    if not (apart and children):
        yield name, module
        return
    for key, child in children:
        yield from _pieces(child, f"{name}{key}.")
