"""Recolouring of images, shared by views, transforms and coloured data sets."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from bequest.data.affine import check_images
from bequest.errors import DataError

CHANNELS = 3
SECTORS = 6
"""Hues run along six edges of the colour cube."""


def intensity(x: Tensor) -> Float[Tensor, "n 1 h w"]:
    """The brightest channel of each pixel, V of HSV, which recolouring preserves.

    Raises:
        DataError: If ``x`` is not a batch of images.
    """
    check_images(x)
    return x.amax(1, keepdim=True)


def rgb(hue: Float[Tensor, " n"], saturation: float = 1.0) -> Float[Tensor, "n 3"]:
    """Red, green and blue in [0, 1] of colours of full value.

    Args:
        hue: In turns: 0 is red, 1/3 green, 2/3 blue, 1 red again.
        saturation: In [0, 1]; at 0 every hue is white.

    Source: Smith 1978, "Color gamut transform pairs", the hexcone model.

    >>> rgb(torch.tensor([0.0, 0.5])).tolist()
    [[1.0, 0.0, 0.0], [0.0, 1.0, 1.0]]
    """
    # Offsets of red, green and blue in sectors: each channel is the same trapezoid of the hue, shifted.
    turns = torch.tensor([5.0, 3.0, 1.0], device=hue.device, dtype=hue.dtype)
    sector = torch.remainder(turns + SECTORS * hue[:, None], SECTORS)
    return 1 - saturation * torch.minimum(sector, 4 - sector).clamp(0, 1)


def tinted(x: Tensor, hue: Float[Tensor, " n"], saturation: float = 1.0) -> Float[Tensor, "n 3 h w"]:
    """``x`` with all its pixels in one colour of the same brightness: intensity · rgb(hue).

    Args:
        x: (N, 1, H, W) or (N, 3, H, W).
        hue: In turns, one per sample.
        saturation: In [0, 1].

    Raises:
        DataError: If ``x`` is neither grey nor of three channels.
    """
    if x.ndim > 1 and x.shape[1] not in (1, CHANNELS):
        raise DataError("only grey and RGB images have a colour", expected="1 or 3 channels", got=x.shape[1])
    return intensity(x) * rgb(hue.to(x.dtype), saturation)[:, :, None, None]
