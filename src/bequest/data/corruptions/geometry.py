"""Corruptions that move pixels. Images keep their centre; pixels from outside are black."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from bequest.data.affine import interpolate
from bequest.data.affine import translate as moved
from bequest.data.corruptions.corruption import PUBLISHED_SIZE, corruption, signs
from bequest.data.views import Key

ANGLES = (0.2, 0.4, 0.6, 0.8, 1.0)


@corruption("shear", levels=ANGLES, published=2)
def shear(x: Tensor, key: Key, angle: float) -> Tensor:
    """Slanted by an angle (.2 to 1 radians) to the left or right, and stretched by its cosine."""
    sign = signs(key, "sign", 1)[:, 0]
    one = torch.ones_like(sign)
    return _warped(x, one, -math.sin(angle) * sign, 0 * one, math.cos(angle) * one)


@corruption("rotate", levels=ANGLES, published=2)
def rotate(x: Tensor, key: Key, angle: float) -> Tensor:
    """Turned by an angle (.2 to 1 radians), one way or the other."""
    sign = signs(key, "sign", 1)[:, 0]
    cos, sin = math.cos(angle) * torch.ones_like(sign), math.sin(angle) * sign
    return _warped(x, cos, -sin, sin, cos)


@corruption("scale", levels=(0.9, 0.8, 0.7, 0.6, 0.5), published=3)
def scale(x: Tensor, key: Key, factor: float) -> Tensor:
    """Shrunk about the centre, to .9 down to .5 of its size."""
    back = torch.full((len(key.ids),), 1 / factor)
    return _warped(x, back, 0 * back, 0 * back, back)


@corruption("translate", levels=(1, 2, 3, 4, 5), published=3)
def translate(x: Tensor, key: Key, pixels: int) -> Tensor:
    """Moved 1 to 5 pixels of 28 on each axis, left or right, up or down; whole pixels on any size."""
    by = signs(key, "sign", 2).long()
    height, width = (math.ceil(pixels * size / PUBLISHED_SIZE) for size in x.shape[-2:])
    return moved(x, by[:, 0] * width, by[:, 1] * height)


def _warped(x: Tensor, xx: Tensor, xy: Tensor, yx: Tensor, yy: Tensor) -> Tensor:
    """Output pixel (u, v) from the centre shows what lies at (xx·u + xy·v, yx·u + yy·v); bilinear."""
    height, width = x.shape[-2:]
    u = torch.arange(width, dtype=torch.float32) - (width - 1) / 2
    v = torch.arange(height, dtype=torch.float32)[:, None] - (height - 1) / 2
    xx, xy, yx, yy = (entry[:, None, None] for entry in (xx, xy, yx, yy))
    return interpolate(x, yx * u + yy * v + (height - 1) / 2, xx * u + xy * v + (width - 1) / 2)
