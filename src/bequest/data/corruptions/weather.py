"""Corruptions by fog and spatter."""

from __future__ import annotations

import torch
from torch import Tensor

from bequest.data.corruptions.blur import smooth
from bequest.data.corruptions.corruption import corruption
from bequest.data.views import Key

PLASMA_SIZE = 256
PLASMA_HEIGHT = 100.0
MUD = 63 / 255
BATCH = 16


@corruption("fog", levels=((1.5, 2.0), (2.0, 2.0), (2.5, 1.7), (2.5, 1.5), (3.0, 1.4)), published=5)
def fog(x: Tensor, key: Key, strength: tuple[float, float]) -> Tensor:
    """A corner of a plasma cloud lies over the image; both fade so that white stays white."""
    density, decay = strength
    clouds = [
        plasma(key.at(rows), x.shape[2], x.shape[3], decay)
        # A cloud has 256 × 256 points, many more than the image: few at a time.
        for rows in torch.split(torch.arange(len(x)), BATCH)
    ]
    brightest = x.flatten(1).amax(dim=1)[:, None, None, None]
    return (x + density * torch.cat(clouds)[:, None]) * (brightest / (brightest + density))


def plasma(key: Key, height: int, width: int, decay: float) -> Tensor:
    """The corner of a height map for each sample by diamonds and squares on a torus, (N, H, W), in [0, 1].

    The map has 256 by 256 points (more for images beyond 128 pixels). Each halving of the step fills the
    middles of squares and then of their sides with the mean of four neighbours and a uniform number in
    ±wibble²; ``decay`` divides the wibble. The last halving, half a percent of the range, is done in the
    corner alone, so that the scale to [0, 1] comes from every second point.
    """
    size = PLASMA_SIZE
    while size < 2 * max(height, width):
        size *= 2
    grid, wibble = torch.zeros(len(key.ids), 1, 1), PLASMA_HEIGHT
    while grid.shape[1] < size // 2:
        grid = _halved(grid, key, "plasma", wibble)
        wibble /= decay
    corner = grid.roll((1, 1), (1, 2))[:, : height // 2 + 3, : width // 2 + 3]
    corner = _halved(corner, key, "plasma corner", wibble)[:, 2 : height + 2, 2 : width + 2]
    ends = [
        torch.cat([points.flatten(1).aminmax(dim=1)[k][:, None] for points in (grid, corner)], 1)
        for k in (0, 1)
    ]
    low, high = ends[0].amin(1)[:, None, None], ends[1].amax(1)[:, None, None]
    return (corner - low) / (high - low)


def _halved(grid: Tensor, key: Key, name: str, wibble: float) -> Tensor:
    """The height map with half the step: (N, H, W) to (N, 2H, 2W), on a torus."""
    count, height, width = grid.shape
    drawn = key.uniform(f"{name} {height}", 3 * height * width).view(count, 3, height, width)
    drawn = (2 * drawn - 1) * wibble**2
    right, down = grid.roll(-1, 2), grid.roll(-1, 1)
    centre = (grid + right + down + right.roll(-1, 1)) / 4 + drawn[:, 0]
    finer = torch.empty(count, 2 * height, 2 * width)
    finer[:, ::2, ::2], finer[:, 1::2, 1::2] = grid, centre
    finer[:, ::2, 1::2] = (grid + right + centre + centre.roll(1, 1)) / 4 + drawn[:, 1]
    finer[:, 1::2, ::2] = (grid + down + centre + centre.roll(1, 2)) / 4 + drawn[:, 2]
    return finer


@corruption(
    "spatter",
    levels=(
        (0.65, 0.3, 4.0, 0.69, 0.6),
        (0.65, 0.3, 3.0, 0.68, 0.6),
        (0.65, 0.3, 2.0, 0.68, 0.5),
        (0.65, 0.3, 1.0, 0.65, 1.5),
        (0.67, 0.4, 1.0, 0.65, 1.5),
    ),
    published=4,
)
def spatter(x: Tensor, key: Key, strength: tuple[float, float, float, float, float]) -> Tensor:
    """Dark grey splashes, where smoothed noise is high, cover the image."""
    mean, spread, deviation, threshold, softness = strength
    noise = mean + spread * key.normal("liquid", x.shape[2] * x.shape[3])
    liquid = smooth(noise.view(len(x), 1, *x.shape[2:]), deviation)
    cover = smooth((liquid > threshold).float(), softness)
    cover = torch.where(cover < 0.8, 0.0, cover)
    return x * (1 - cover) + MUD * cover
