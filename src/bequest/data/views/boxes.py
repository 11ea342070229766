"""Rectangles in images, one per sample, for erasing and CutMix."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


def boxes(
    top: Int[Tensor, " n"],
    left: Int[Tensor, " n"],
    height: Int[Tensor, " n"],
    width: Int[Tensor, " n"],
    size: tuple[int, int],
) -> Bool[Tensor, "n 1 h w"]:
    """True inside each sample's rectangle, clipped to the image.

    Args:
        top: First row, may be negative.
        left: First column, may be negative.
        height: Rows.
        width: Columns.
        size: Height and width of the images.
    """
    rows = _between(size[0], top, height)
    columns = _between(size[1], left, width)
    return (rows[:, :, None] & columns[:, None, :])[:, None]


def covered(inside: Bool[Tensor, "n 1 h w"]) -> Float[Tensor, " n"]:
    """The share of the image's pixels that each rectangle covers."""
    return inside.sum((1, 2, 3)).float() / inside.shape[1:].numel()


def _between(size: int, first: Tensor, count: Tensor) -> Bool[Tensor, "n s"]:
    at = torch.arange(size, device=first.device)
    return (at >= first[:, None]) & (at < (first + count)[:, None])
