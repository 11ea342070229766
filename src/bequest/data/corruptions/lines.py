"""Corruptions that draw lines over an image, and the one that keeps only its edges.

Lines are drawn in 28ths of an image, so that other sizes get the same picture.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import pad

from bequest.data.corruptions.blur import smooth
from bequest.data.corruptions.corruption import PUBLISHED_SIZE, corruption
from bequest.data.views import Key

HALF_WIDTH = 2.3
ZIGZAG = 2.0
FIRST, LAST = 2.0, 25.0
LOW_EDGE, HIGH_EDGE = 0.1, 0.2


@corruption("dotted_line", published=1)
def dotted_line(x: Tensor, key: Key, level: None) -> Tensor:
    """A dotted white line from the left border to the right one."""
    del level
    ends = key.integers("ends", 2, low=0, high=26).float()
    drawn = _line(x, torch.zeros(len(x)), ends[:, 0], torch.full((len(x),), 27.0), ends[:, 1])
    return x + drawn * (_units(x.shape[3]) % 4 >= 2)


@corruption("zigzag", published=1)
def zigzag(x: Tensor, key: Key, level: None) -> Tensor:
    """A white zigzag from left to right, level or nearly so."""
    del level
    start = key.integers("start", 1, low=0, high=26)[:, 0].float()
    rise = key.integers("rise", 1, low=-5, high=4)[:, 0].float()
    along, across = _corners(rise)
    length = torch.hypot(rise, torch.tensor(LAST - FIRST))[:, None]
    cos, sin = (LAST - FIRST) / length, rise[:, None] / length
    columns = FIRST + cos * along - sin * across
    rows = start[:, None] + sin * along + cos * across
    total = x
    for k in range(along.shape[1] - 1):
        total = total + _line(x, columns[:, k], rows[:, k], columns[:, k + 1], rows[:, k + 1])
    return total


def _corners(rise: Tensor) -> tuple[Float[Tensor, "n k"], Float[Tensor, "n k"]]:
    """The corners of a zigzag along its axis and across it; the last one is where the original puts it."""
    length = torch.hypot(rise, torch.tensor(LAST - FIRST))
    turns = int((LAST - FIRST - ZIGZAG) // (2 * ZIGZAG)) + 1
    along = [0.0 * length, *(0.0 * length + (2 * k + 1) * ZIGZAG for k in range(turns)), length]
    across = [0.0 * length, *(0.0 * length + (-1) ** k * ZIGZAG for k in range(turns))]
    whole = 2 * ZIGZAG * torch.floor(length / (2 * ZIGZAG))
    across.append((-1) ** (turns - 1) * ZIGZAG / (2 * (length - whole)))
    return torch.stack(along, 1), torch.stack(across, 1)


def _line(x: Tensor, c0: Tensor, r0: Tensor, c1: Tensor, r1: Tensor) -> Float[Tensor, "n 1 h w"]:
    """A white line from column c0 to c1 that fades with the vertical distance d as 1 + log(1 − d/2.3)."""
    rows, columns = _units(x.shape[2])[:, None], _units(x.shape[3])
    c0, r0, c1, r1 = (end[:, None, None] for end in (c0, r0, c1, r1))
    away = (rows - ((r1 - r0) / (c1 - c0) * (columns - c0) + r0)).abs().clamp(max=HALF_WIDTH - 1e-6)
    shade = (torch.log(1 - away / HALF_WIDTH) + 1).clamp(min=0.0)
    within = (columns >= torch.floor(c0)) & (columns < torch.ceil(c1))
    return (shade * within)[:, None]


def _units(size: int) -> Float[Tensor, " _"]:
    return torch.arange(size, dtype=torch.float32) * (PUBLISHED_SIZE / size)


@corruption("canny_edges", published=1)
def canny_edges(x: Tensor, key: Key, level: None) -> Tensor:
    """White edges on black, by Canny (1986): Gaussian of 1 pixel, Sobel, thinning, thresholds .1 and .2."""
    del key, level
    grey = x.double().mean(dim=1, keepdim=True)
    # Divided by the weight inside the image, or the black outside would make edges along the border.
    inside = smooth(torch.ones_like(grey[:1]), 1.0, border="black")
    down, right = _sobel(smooth(grey, 1.0, border="black") / inside)
    # In double, from ``grey`` on: a threshold on float32 sums could fall either way.
    height = torch.hypot(down, right)
    ridge = _thinned(height, down, right)
    edges = _connected(ridge & (height >= LOW_EDGE), ridge & (height >= HIGH_EDGE))
    return edges.float().expand(-1, x.shape[1], -1, -1)


def _sobel(x: Tensor) -> tuple[Tensor, Tensor]:
    """Slopes downwards and to the right, by Sobel's masks; the border pixel is repeated outside."""
    p = pad(x, (1, 1, 1, 1), mode="replicate")
    rows = p[:, :, 2:] - p[:, :, :-2]
    columns = p[..., 2:] - p[..., :-2]
    down = rows[..., :-2] + 2 * rows[..., 1:-1] + rows[..., 2:]
    right = columns[:, :, :-2] + 2 * columns[:, :, 1:-1] + columns[:, :, 2:]
    return down, right


def _thinned(height: Tensor, down: Tensor, right: Tensor) -> Bool[Tensor, "n 1 h w"]:
    """Where the slope is no smaller than on either side along its own direction; never on the border."""
    steep = down.abs() >= right.abs()
    share = torch.minimum(down.abs(), right.abs()) / torch.maximum(down.abs(), right.abs()).clamp(min=1e-300)
    same = (down >= 0) == (right >= 0)
    keep = height > 0
    for side in (1, -1):
        vertical, horizontal = _neighbour(height, side, 0), _neighbour(height, 0, side)
        diagonal = torch.where(same, _neighbour(height, side, side), _crossed(height, side, steep))
        straight = torch.where(steep, vertical, horizontal)
        keep = keep & (diagonal * share + straight * (1 - share) <= height)
    keep[:, :, [0, -1]] = False
    keep[..., [0, -1]] = False
    return keep


def _crossed(height: Tensor, side: int, steep: Tensor) -> Tensor:
    """The diagonal neighbour where the slopes differ in sign: on the same side as the straight one."""
    return torch.where(steep, _neighbour(height, side, -side), _neighbour(height, -side, side))


def _neighbour(x: Tensor, down: int, right: int) -> Tensor:
    return x.roll((-down, -right), (2, 3))


def _connected(weak: Tensor, strong: Tensor) -> Bool[Tensor, "n 1 h w"]:
    """The weak edges that touch a strong one, directly or through others; corners touch."""
    while True:
        wide = strong | _shifted(strong, 3, 1) | _shifted(strong, 3, -1)
        grown = (wide | _shifted(wide, 2, 1) | _shifted(wide, 2, -1)) & weak
        if torch.equal(grown, strong):
            return strong
        strong = grown


def _shifted(x: Tensor, axis: int, by: int) -> Tensor:
    """``x`` one step along ``axis``; the border is no edge, so that nothing comes round."""
    return x.roll(by, axis)
