"""Padding that a network is told of: attention masks, for networks whose forward takes them."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import torch
from torch import Tensor, nn

ATTENTION_MASK = "attention_mask"


def asking(model: nn.Module, padding: int | None) -> Callable[[Tensor], object]:
    """How to ask ``model`` about inputs in which the token ``padding`` fills sequences up.

    A network whose ``forward`` has a parameter ``attention_mask``, as those of transformers have, gets one:
    int64 (N, L), 1 at tokens and 0 at padding. Any other is asked as it is, and so are all without padding.
    """
    if padding is None or not _takes_mask(type(model)):
        return model

    def masked(x: Tensor) -> object:
        return model(x, attention_mask=attention_mask(model, x, padding))

    return masked


def attention_mask(model: nn.Module, x: Tensor, padding: int | None) -> Tensor | None:
    """The mask that :func:`asking` passes for the tokens ``x`` (N, L); None where ``model`` takes none."""
    if padding is None or x.is_floating_point() or not _takes_mask(type(model)):
        return None
    return torch.ne(x, padding).long()


def _takes_mask(kind: type[nn.Module]) -> bool:
    try:
        return ATTENTION_MASK in inspect.signature(kind.forward).parameters
    except (TypeError, ValueError):  # a forward without a signature, as of compiled networks
        return False
