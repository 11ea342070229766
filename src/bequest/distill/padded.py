"""Padding that a network is told of: attention masks, for networks whose forward takes them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import Tensor, nn

from bequest.models import masks

ATTENTION_MASK = "attention_mask"


def asking(model: nn.Module, padding: int | None) -> Callable[[Tensor], object]:
    """How to ask ``model`` about inputs in which the token ``padding`` fills sequences up.

    A network whose ``forward`` has a parameter ``attention_mask``, as those of transformers have, gets one:
    see :func:`bequest.models.masks.call_with_mask`. Any other is asked as it is, and so are all without
    padding.
    """
    if padding is None or not masks.takes(model, ATTENTION_MASK):
        return model
    return partial(masks.call_with_mask, model, padding=padding)


def attention_mask(model: nn.Module, x: Tensor, padding: int | None) -> Tensor | None:
    """The mask that :func:`asking` passes for the tokens ``x`` (N, L); None where ``model`` takes none."""
    if padding is None or x.is_floating_point() or not masks.takes(model, ATTENTION_MASK):
        return None
    return masks.attention_mask(x, padding)
