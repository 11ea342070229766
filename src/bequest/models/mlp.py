"""Multilayer perceptrons."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from torch import nn

from bequest.errors import ModelError
from bequest.models.catalogue import MODELS
from bequest.models.grey import Grey
from bequest.models.tokens import TokenHeads


@MODELS.register("mlp")
def mlp(
    input_shape: Sequence[int],
    classes: int,
    *,
    hidden: Sequence[int] = (256, 256),
    batch_norm: bool = False,
    dropout: float = 0.0,
    tokens: int = 1,
    grey: bool = False,
) -> nn.Sequential:
    """Multilayer perceptron: flatten, hidden layers with ReLU, a linear head.

    Args:
        input_shape: Shape of one input.
        classes: Width of the logits.
        hidden: Widths of the hidden layers.
        batch_norm: Put BatchNorm after each ReLU.
        dropout: Dropout rate after each hidden layer.
        tokens: Heads; with more than one the network returns :class:`bequest.models.tokens.Tokens`, so that
            each head can learn from a teacher of its own.
        grey: Reduce each pixel of images (C, H, W) to its brightest channel: blind to hue.

    Raises:
        ModelError: If a hidden layer has no units, or there is no head.
    """
    if any(size < 1 for size in hidden) or tokens < 1:
        raise ModelError(
            "an mlp cannot be built with these sizes",
            expected="widths of hidden layers and tokens of 1 or more",
            got=f"hidden {list(hidden)}, tokens {tokens}",
        )
    layers: list[nn.Module] = [*([Grey()] if grey else []), nn.Flatten()]
    width = prod(input_shape[1:] if grey else input_shape)
    for size in hidden:
        layers += [nn.Linear(width, size), nn.ReLU()]
        if batch_norm:
            layers.append(nn.BatchNorm1d(size))
        if dropout:
            layers.append(nn.Dropout(dropout))
        width = size
    head = nn.Linear(width, classes) if tokens == 1 else TokenHeads(width, classes, tokens)
    return nn.Sequential(*layers, head)
