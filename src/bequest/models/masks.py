"""Attention masks and token types for networks that take them, by the signature of ``forward``."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor, nn

from bequest.errors import ModelError

TOKEN_AXES = 2
"""Axes of a batch of sequences: rows and positions."""


def attention_mask(x: Int[Tensor, "n l"], padding: int) -> Int[Tensor, "n l"]:
    """1 at words, 0 at padding; a row of padding alone has a 1 in its first column.

    Attention with everything masked is undefined, and some implementations return NaN.

    >>> attention_mask(torch.tensor([[5, 6, 0], [0, 0, 0]]), 0).tolist()
    [[1, 1, 0], [1, 0, 0]]
    """
    mask = x != padding
    first = torch.arange(x.shape[1], device=x.device) == 0
    return (mask | (first & ~mask.any(1, keepdim=True))).to(x.dtype)


def token_types(x: Int[Tensor, "n l"], padding: int, separator: int) -> Int[Tensor, "n l"]:
    """Which text of a pair each token belongs to, as BERT numbers them.

    0 up to and including the first separator and at padding, 1 after it.

    >>> token_types(torch.tensor([[1, 5, 2, 6, 2, 0], [1, 5, 2, 0, 0, 0]]), padding=0, separator=2).tolist()
    [[0, 0, 0, 1, 1, 0], [0, 0, 0, 0, 0, 0]]
    """
    separators = (x == separator).cumsum(1)
    # Shifted by one, so that the separator itself belongs to the text that it ends.
    before = torch.nn.functional.pad(separators, (1, 0))[:, :-1]
    return ((before > 0) & (x != padding)).to(x.dtype)


def takes(model: nn.Module, name: str) -> bool:
    """Whether ``forward`` of ``model``, or of the network that it wraps, has a parameter ``name``.

    >>> takes(nn.Linear(2, 2), "input"), takes(nn.Linear(2, 2), "attention_mask")
    (True, False)
    """
    wrapped = getattr(model, "_orig_mod", None)
    if isinstance(wrapped, nn.Module):
        return takes(wrapped, name)
    if isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
        return takes(model.module, name)
    # The function without its instance: a cached bound method would keep the network alive.
    forward = model.forward
    return name in _parameters(getattr(forward, "__func__", forward))


def call_with_mask(model: nn.Module, x: Tensor, padding: int | None, *, separator: int | None = None) -> Any:
    """The output of ``model`` for ``x``, with the mask and token types that its signature takes.

    Args:
        model: Any network. If its ``forward`` has a parameter ``attention_mask``, it gets
            :func:`attention_mask`; for ``token_type_ids``, :func:`token_types`; else ``x`` alone.
        x: Inputs; only integer tokens (N, L) get a mask.
        padding: The padding token; None for inputs without padding.
        separator: The token that ends each text of a pair; None for single texts.

    Raises:
        ModelError: If the network has another padding token (its attribute ``padding``).
    """
    if padding is None or x.ndim != TOKEN_AXES or x.is_floating_point():
        return model(x)
    _check_padding(model, padding)
    options: dict[str, Tensor] = {}
    if takes(model, "attention_mask"):
        options["attention_mask"] = attention_mask(x, padding)
    if separator is not None and takes(model, "token_type_ids"):
        options["token_type_ids"] = token_types(x, padding, separator)
    return model(x, **options)


@functools.lru_cache(maxsize=256)
def _parameters(forward: Callable[..., Any]) -> frozenset[str]:
    try:
        return frozenset(inspect.signature(forward).parameters)
    except (TypeError, ValueError):  # a forward pass in C, such as TorchScript's
        return frozenset()


def _check_padding(model: nn.Module, padding: int) -> None:
    of_network = getattr(model, "padding", None)
    if isinstance(of_network, int) and of_network != padding:
        raise ModelError(
            "the network uses a different padding token from the data",
            expected=f"padding = {padding}",
            got=f"padding = {of_network}",
            remedy="build the network with the padding of the data",
        )
