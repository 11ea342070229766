"""Corruptions by blur, pixelation and compression."""

from __future__ import annotations

import io
import math
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, interpolate
from torch.nn.functional import pad as padded_by

from bequest.data.affine import pick
from bequest.data.corruptions.corruption import PUBLISHED_SIZE, corruption
from bequest.data.views import Key

DOWN, ACROSS = 2, 3
TRUNCATE = 4.0
"""Standard deviations after which a Gaussian is cut off, as in SciPy."""


def smooth(
    x: Tensor,
    deviation: float,
    *,
    border: Literal["edge", "black"] = "edge",
    axes: tuple[int, ...] = (DOWN, ACROSS),
) -> Tensor:
    """``x`` blurred by a Gaussian of ``deviation`` pixels; outside the border is its edge, or black.

    Sums and products only: convolution routines add in an order that depends on the batch.
    """
    reach = int(TRUNCATE * deviation + 0.5)
    weights = [math.exp(-0.5 * (k / deviation) ** 2) for k in range(-reach, reach + 1)]
    weights = [weight / sum(weights) for weight in weights]
    mode = "replicate" if border == "edge" else "constant"
    for axis in axes:
        sides = (reach, reach, 0, 0) if axis == ACROSS else (0, 0, reach, reach)
        padded, size = padded_by(x, sides, mode=mode), x.shape[axis]
        total = padded.narrow(axis, reach, size) * weights[reach]
        for k in range(reach):
            # The weights are symmetric: half of the products.
            pair = padded.narrow(axis, k, size) + padded.narrow(axis, 2 * reach - k, size)
            total = total + pair * weights[k]
        x = total
    return x


@corruption(
    "glass_blur", levels=((0.7, 1, 2), (0.9, 2, 1), (1.0, 2, 3), (1.1, 3, 2), (1.5, 4, 2)), published=1
)
def glass_blur(x: Tensor, key: Key, strength: tuple[float, int, int]) -> Tensor:
    """Blurred, then about half of the pixels are exchanged with nearby ones, then blurred again.

    Grey images are blurred along the columns only. MNIST-C's code calls a filter for colour images, which
    takes the columns of a grey image for channels and does not blur across them.
    """
    deviation, reach, rounds = strength
    axes = (DOWN,) if x.shape[1] == 1 else (DOWN, ACROSS)
    mixed = _shuffled(smooth(x, deviation, axes=axes), key, reach, rounds)
    return smooth(mixed, deviation, axes=axes)


def _shuffled(x: Tensor, key: Key, reach: int, rounds: int) -> Tensor:
    """Exchange pixels, from the far corner on, each with one from ``reach`` before to ``reach`` − 1 after.

    The exchanges of one image follow one another; the images of a batch go side by side, along the last axis.
    """
    height, width = x.shape[-2:]
    places = [(i, j) for i in range(height - reach, reach, -1) for j in range(width - reach, reach, -1)]
    span = 2 * reach
    # One number holds the row, the column and the coin of an exchange: 2 · span · span values.
    drawn = key.integers("swap", len(places) * rounds, low=0, high=2 * span * span - 1).T
    down, right = drawn % span - reach, drawn // span % span - reach
    step = torch.where(drawn < span * span, down * width + right, 0)
    order = torch.arange(height * width)[:, None].repeat(1, len(x))
    for turn, (i, j) in enumerate(places * rounds):
        here = i * width + j
        partner = (step[turn] + here)[None]
        held = order[here].clone()
        order[here] = order.gather(0, partner)[0]
        order.scatter_(0, partner, held[None])
    index = order.T[:, None].expand(-1, x.shape[1], -1)
    return torch.gather(x.flatten(2), 2, index).view_as(x)


@corruption("motion_blur", levels=((10, 3), (15, 5), (15, 8), (15, 12), (20, 15)), published=1)
def motion_blur(x: Tensor, key: Key, strength: tuple[int, int]) -> Tensor:
    """Motion blur in one direction between −45° and 45°, by half a Gaussian of up to 20 pixels."""
    radius, deviation = strength
    weights = [math.exp(-0.5 * (k / deviation) ** 2) for k in range(2 * radius + 1)]
    weights = [weight / sum(weights) for weight in weights]
    angle = (key.uniform("angle", 1) - 0.5) * (math.pi / 2)
    rows, columns = torch.arange(x.shape[2]), torch.arange(x.shape[3])
    total = torch.zeros_like(x)
    for k, weight in enumerate(weights):
        down = torch.ceil(k * torch.sin(angle) - 0.5).long()
        right = torch.ceil(k * torch.cos(angle) - 0.5).long()
        total = total + pick(x, rows + down, columns + right, fill="edge") * weight
    return total


@corruption("gaussian_blur", levels=(0.5, 0.75, 1.0, 1.5, 2.0))
def gaussian_blur(x: Tensor, key: Key, deviation: float) -> Tensor:
    """A Gaussian of .5 to 2 pixels in 28, scaled with the image."""
    del key
    return smooth(x, deviation * min(x.shape[-2:]) / PUBLISHED_SIZE)


@corruption("pixelate", levels=(0.6, 0.5, 0.4, 0.3, 0.25))
def pixelate(x: Tensor, key: Key, share: float) -> Tensor:
    """Averaged down to .6 to .25 of its size, and up again by repeating pixels."""
    del key
    height, width = (max(int(size * share), 1) for size in x.shape[-2:])
    return interpolate(adaptive_avg_pool2d(x, (height, width)), size=x.shape[-2:], mode="nearest-exact")


@corruption("jpeg", levels=(25, 18, 15, 10, 7))
def jpeg(x: Tensor, key: Key, quality: int) -> Tensor:
    """JPEG compression at quality 25 down to 7; in colour for three channels."""
    del key
    whole = x.shape[1] in (1, 3)
    # JPEG knows images of one or three channels; others are compressed channel by channel.
    flat = x if whole else x.flatten(0, 1)[:, None]
    pixels = (flat * 255).round().byte().permute(0, 2, 3, 1).numpy()
    out = np.stack([_through_jpeg(image, quality) for image in pixels])
    return (torch.from_numpy(out).float() / 255).permute(0, 3, 1, 2).reshape(x.shape)


def _through_jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer)).reshape(image.shape)
