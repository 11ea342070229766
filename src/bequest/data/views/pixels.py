"""Views that change pixel values: erase, brightness, contrast, noise, colour."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from pydantic import Field, model_validator
from torch import Tensor
from typing_extensions import override

from bequest.data.affine import check_images
from bequest.data.colour import CHANNELS, tinted
from bequest.data.views.boxes import boxes
from bequest.data.views.view import Key, View
from bequest.errors import DataError
from bequest.variants import Listed, strict

Share = Annotated[float, Field(ge=0, le=1)]
NotNegative = Annotated[float, Field(ge=0)]


@strict
class Erase(View, name="erase"):
    """A random rectangle set to ``value``, in a share ``rate`` of the samples.

    Its area is uniform in [smallest, largest] of the image's, its aspect log-uniform in [1/aspect, aspect].

    Source: Zhong et al. 2020, "Random erasing data augmentation", algorithm 1, with a constant value.
    """

    rate: Share = 0.25
    smallest: Share = 0.02
    largest: Share = 1 / 3
    aspect: Annotated[float, Field(ge=1)] = 10 / 3
    value: float = 0.0

    @model_validator(mode="after")
    def _ordered(self) -> Erase:
        if self.smallest > self.largest:
            raise ValueError(f"smallest must not exceed largest, got {self.smallest:g} and {self.largest:g}")
        return self

    @override
    def apply(self, x: Tensor, key: Key) -> Tensor:
        check_images(x)
        height, width = x.shape[-2:]
        chosen, share, aspect, down, right = key.uniform("erase", 5).unbind(1)
        stretch = torch.exp((aspect - 0.5) * math.log(self.aspect))
        side = torch.sqrt(self.smallest + (self.largest - self.smallest) * share)
        rows = torch.round(side * stretch * height).long().clamp(1, height)
        columns = torch.round(side / stretch * width).long().clamp(1, width)
        top, left = (down * (height - rows + 1)).long(), (right * (width - columns + 1)).long()
        inside = boxes(top, left, rows, columns, (height, width))
        return x.masked_fill(inside & (chosen < self.rate)[:, None, None, None], self.value)


@strict
class Brightness(View, name="brightness"):
    """One number added to all pixels of a sample, uniform in [-amount, amount], in units of the pixels."""

    amount: NotNegative

    @override
    def apply(self, x: Tensor, key: Key) -> Tensor:
        check_images(x)
        return x + _each((2 * key.uniform("brightness", 1) - 1) * self.amount, x)


@strict
class Contrast(View, name="contrast"):
    """Differences from ``pivot`` multiplied by a factor that is uniform in [1 - amount, 1 + amount].

    The pivot is a constant, 0 for normalised images and 0.5 for pixels in [0, 1]: the rounding of a sample's
    own mean would depend on the batch.
    """

    amount: Share
    pivot: float = 0.0

    @override
    def apply(self, x: Tensor, key: Key) -> Tensor:
        check_images(x)
        return (x - self.pivot) * _each(
            1 + (2 * key.uniform("contrast", 1) - 1) * self.amount, x
        ) + self.pivot


@strict
class Noise(View, name="noise"):
    """Normal noise of standard deviation ``std`` added to every pixel."""

    std: NotNegative

    @override
    def apply(self, x: Tensor, key: Key) -> Tensor:
        check_images(x)
        return x + key.normal("noise", x[0].numel()).view(x.shape).to(x.dtype) * self.std


@strict
class Recolour(View, name="recolour"):
    """All pixels of a sample in one colour of the same brightness, its hue drawn from ``hues``.

    See :func:`bequest.data.colour.tinted`. Images must have three channels.

    Attributes:
        hues: In turns: 0 is red, 1/3 green, 2/3 blue. Default: every hue, uniformly.
        saturation: 1 for pure colours; at 0 every image is grey.
    """

    hues: Annotated[Listed[float], Field(min_length=1)] | None = None
    saturation: Share = 1.0

    @override
    def apply(self, x: Tensor, key: Key) -> Tensor:
        check_images(x)
        if x.shape[1] != CHANNELS:
            raise DataError("a view keeps the shape", expected="images of 3 channels", got=tuple(x.shape[1:]))
        if self.hues is None:
            return tinted(x, key.uniform("recolour", 1)[:, 0], self.saturation)
        drawn = key.integers("recolour", 1, low=0, high=len(self.hues) - 1)[:, 0]
        return tinted(x, torch.tensor(self.hues, device=x.device)[drawn], self.saturation)


def _each(numbers: Tensor, x: Tensor) -> Tensor:
    """(N, 1) numbers in the type of ``x``, shaped to broadcast over it."""
    return numbers.to(x.dtype)[:, :, None, None]
