"""Corruptions that change brightness and contrast, or hide a part."""

from __future__ import annotations

import torch
from torch import Tensor

from bequest.data.corruptions.corruption import corruption
from bequest.data.views import Key

GREY = 0.5


@corruption("brightness", levels=(0.1, 0.2, 0.3, 0.4, 0.5), published=5)
def brightness(x: Tensor, key: Key, amount: float) -> Tensor:
    """The value of HSV grows by .1 to .5: hue and saturation stay, black becomes grey."""
    del key
    value = x.amax(dim=1, keepdim=True)
    brighter = (value + amount).clamp(max=1.0)
    return torch.where(value > 0, x * (brighter / value.clamp(min=1e-6)), brighter)


@corruption("contrast", levels=(0.4, 0.3, 0.2, 0.1, 0.05))
def contrast(x: Tensor, key: Key, share: float) -> Tensor:
    """Differences from the image's mean (of each channel) shrink to .4 to .05."""
    del key
    # Summed in double and rounded once: the order of a float32 sum may depend on the batch.
    mean = x.flatten(2).double().mean(dim=2).float()[:, :, None, None]
    return (x - mean) * share + mean


@corruption("occlusion", levels=(0.2, 0.3, 0.4, 0.5, 0.6))
def occlusion(x: Tensor, key: Key, share: float) -> Tensor:
    """A grey square somewhere, its sides .2 to .6 of the image's."""
    drawn = key.uniform("corner", 2)
    hidden = torch.ones(len(x), 1, 1, dtype=torch.bool)
    for axis, size in enumerate(x.shape[-2:]):
        length = max(round(share * size), 1)
        first = (drawn[:, axis] * (size - length + 1)).long()[:, None]
        along = torch.arange(size)
        inside = (along >= first) & (along < first + length)
        hidden = hidden & (inside[:, :, None] if axis == 0 else inside[:, None, :])
    return torch.where(hidden[:, None], GREY, x)


@corruption("stripe", published=1)
def stripe(x: Tensor, key: Key, level: None) -> Tensor:
    """The outer quarters of the columns are inverted."""
    del key, level
    column = torch.arange(x.shape[3])
    outer = (4 * column < x.shape[3]) | (4 * column >= 3 * x.shape[3])
    return torch.where(outer, 1 - x, x)
