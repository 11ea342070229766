"""Attention masks from the padding token, for networks whose ``forward`` takes them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import Tensor, nn

from bequest.models import masks

ATTENTION_MASK = "attention_mask"


def asking(model: nn.Module, padding: int | None) -> Callable[[Tensor], object]:
    """A function that calls ``model`` on inputs that may be padded with the token ``padding``.

    A network whose ``forward`` has a parameter ``attention_mask``, as those of transformers, gets one; see
    :func:`bequest.models.masks.call_with_mask`. Any other network is called with the inputs alone, and so are
    all networks if ``padding`` is None.
    """
    if padding is None or not masks.takes(model, ATTENTION_MASK):
        return model
    return partial(masks.call_with_mask, model, padding=padding)


def attention_mask(model: nn.Module, x: Tensor, padding: int | None) -> Tensor | None:
    """The mask that :func:`asking` passes for tokens ``x`` (N, L); None if ``model`` takes none."""
    if padding is None or x.is_floating_point() or not masks.takes(model, ATTENTION_MASK):
        return None
    return masks.attention_mask(x, padding)
