"""Affine transforms of images: one sampler for views, shifted splits and corruptions.

Pixel (row i, column j) lies at (x, y) = (j, i): x grows to the right, y downwards; the centre of an image
is ((W-1)/2, (H-1)/2). Every parameter is one number or one per sample. Whole-pixel moves copy pixels
exactly; the others interpolate bilinearly with products and sums only, so that the result for an image does
not depend on its batch.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from bequest.errors import DataError

Number = float | int
Images = Float[Tensor, "n c h w"]

Fill = Literal["zeros", "edge", "reflect", "wrap"]
"""Pixels outside an image: black, its border, its mirror image (border not repeated), or periodic."""


def translate(
    x: Tensor, dx: int | Int[Tensor, " n"], dy: int | Int[Tensor, " n"], *, fill: Fill = "zeros"
) -> Images:
    """``x`` moved ``dx`` pixels to the right and ``dy`` pixels down, exactly.

    >>> translate(torch.tensor([[[[1.0, 2.0, 3.0]]]]), 1, 0)
    tensor([[[[0., 1., 2.]]]])
    """
    check_images(x)
    height, width = x.shape[-2:]
    rows = torch.arange(height, device=x.device) - _column(dy, x).long()
    columns = torch.arange(width, device=x.device) - _column(dx, x).long()
    return pick(x, rows, columns, fill=fill)


def mirror(x: Tensor, flipped: Bool[Tensor, " n"]) -> Images:
    """``x`` with left and right exchanged in the samples that are ``flipped``."""
    check_images(x)
    at = flipped.nonzero()[:, 0]
    return x.index_copy(0, at, x.index_select(0, at).flip(3))


def affine(
    x: Tensor,
    *,
    angle: Number | Float[Tensor, " n"] = 0.0,
    scale: Number | Float[Tensor, " n"] = 1.0,
    shear: Number | Float[Tensor, " n"] = 0.0,
    dx: Number | Float[Tensor, " n"] = 0.0,
    dy: Number | Float[Tensor, " n"] = 0.0,
    fill: Fill = "zeros",
) -> Images:
    """``x`` scaled, sheared and turned about its centre, then moved.

    A point at (u, v) from the centre goes to R(angle) · [[1, shear], [0, 1]] · scale · (u, v) + (dx, dy).

    Args:
        x: (N, C, H, W).
        angle: Degrees; positive turns counter-clockwise as one looks at the image.
        scale: Factor; below 1 the content shrinks.
        shear: Columns that the content moves to the right for each row downwards.
        dx: Pixels to the right.
        dy: Pixels down.
        fill: What lies outside.

    Returns:
        As ``x``; bilinear. With no argument given, ``x`` exactly.

    Raises:
        DataError: If ``x`` is not a batch of images.
    """
    check_images(x)
    height, width = x.shape[-2:]
    turn = _grid(angle, x) * (math.pi / 180)
    # The inverse map: each output pixel looks up where it comes from, so that none is left empty.
    cos, sin = torch.cos(turn), torch.sin(turn)
    middle_x, middle_y = (width - 1) / 2, (height - 1) / 2
    u = torch.arange(width, device=x.device, dtype=torch.float32) - middle_x - _grid(dx, x)
    v = torch.arange(height, device=x.device, dtype=torch.float32)[:, None] - middle_y - _grid(dy, x)
    back_v = u * sin + v * cos
    back_u = u * cos - v * sin - _grid(shear, x) * back_v
    factor = _grid(scale, x)
    shape = (len(x), height, width)
    columns, rows = back_u / factor + middle_x, back_v / factor + middle_y
    return interpolate(x, rows.expand(shape), columns.expand(shape), fill=fill)


def pick(
    x: Images, rows: Int[Tensor, "_ h2"], columns: Int[Tensor, "_ w2"], *, fill: Fill
) -> Float[Tensor, "n c h2 w2"]:
    """Output pixel (i, j) of each sample is its pixel (rows[i], columns[j]); exact.

    Args:
        x: (N, C, H, W).
        rows: (N or 1, H'), any integers.
        columns: (N or 1, W'), any integers.
        fill: What lies outside.

    Returns:
        (N, C, H', W').
    """
    height, width = x.shape[-2:]
    if fill == "zeros":
        # One black row and column: an index outside becomes one of theirs. A mask would cost more than the
        # gather itself (decisions/2026-11-21-views.md).
        x = functional.pad(x, (0, 1, 0, 1))
        rows, columns = _or_black(rows, height), _or_black(columns, width)
    else:
        rows, columns = _within(rows, height, fill), _within(columns, width, fill)
    index = (rows * x.shape[-1])[:, :, None] + columns[:, None, :]
    shape = (*x.shape[:2], *index.shape[1:])
    return torch.gather(x.flatten(2), 2, index.flatten(1)[:, None].expand(*shape[:2], -1)).view(shape)


def interpolate(
    x: Images, rows: Float[Tensor, "n h2 w2"], columns: Float[Tensor, "n h2 w2"], *, fill: Fill = "zeros"
) -> Float[Tensor, "n c h2 w2"]:
    """Output pixel (i, j) is ``x`` at (rows[i, j], columns[i, j]), bilinearly between its four neighbours.

    Args:
        x: (N, C, H, W), of less than 2²⁴ pixels.
        rows: (N, H', W') in pixels.
        columns: (N, H', W') in pixels.
        fill: What lies outside.

    Returns:
        (N, C, H', W'), in the type of ``x``; exact at whole pixels.
    """
    height, width = x.shape[-2:]
    before, after = (1, 2) if fill == "zeros" else (0, 2)  # all four neighbours then exist
    padded = _wrapped(x) if fill == "wrap" else functional.pad(x, (before, after, before, after))
    rows, columns = _within(rows, height, fill) + before, _within(columns, width, fill) + before
    # Not grid_sample, which is not exact at whole pixels and cannot wrap.
    top, left = torch.floor(rows), torch.floor(columns)
    line = padded.shape[-1]
    index = (top * line + left).long().flatten(1)[:, None].expand(-1, x.shape[1], -1)
    source = padded.flatten(2)
    down, right = (rows - top).flatten(1)[:, None], (columns - left).flatten(1)[:, None]
    upper, lower = (_across(source[:, :, skip:], index, right) for skip in (0, line))
    out = upper + (lower - upper) * down
    return out.view(*x.shape[:2], *rows.shape[1:]).to(x.dtype)


def _across(source: Tensor, index: Tensor, right: Tensor) -> Tensor:
    """Between the pixel at ``index`` and its right neighbour."""
    left = torch.gather(source, 2, index)
    return left + (torch.gather(source[:, :, 1:], 2, index) - left) * right


def _wrapped(x: Tensor) -> Tensor:
    """``x`` with its first two rows and columns once more at its end."""
    x = torch.cat([x, x[:, :, [0, min(1, x.shape[2] - 1)]]], 2)
    return torch.cat([x, x[:, :, :, [0, min(1, x.shape[3] - 1)]]], 3)


def _within(at: Tensor, size: int, fill: Fill) -> Tensor:
    """The coordinate inside the (padded) axis for ``at``; with zeros, one on the black border if outside."""
    if fill == "zeros":
        return at.clamp(-1, size)
    if fill == "wrap":
        return torch.remainder(at, size)
    if fill == "reflect" and size > 1:
        at = torch.remainder(at, 2 * (size - 1))
        return torch.minimum(at, 2 * (size - 1) - at)
    return at.clamp(0, size - 1)


def _or_black(index: Tensor, size: int) -> Tensor:
    """``index``, or that of the black line after the last one if it is outside."""
    return torch.where((index < 0) | (index > size), size, index)


def _column(value: int | Tensor, x: Tensor) -> Tensor:
    """One number, or one per sample, as (1 or N, 1)."""
    return torch.as_tensor(value, device=x.device).view(-1, 1)


def _grid(value: Number | Tensor, x: Tensor) -> Tensor:
    """One number, or one per sample, as float32 (1 or N, 1, 1)."""
    return torch.as_tensor(value, device=x.device, dtype=torch.float32).view(-1, 1, 1)


def check_move(x: Tensor, dx: int, dy: int, fill: Fill = "zeros") -> None:
    """Refuse a move that shifts every pixel of the images ``x`` out of view.

    Raises:
        DataError: If ``x`` is not a batch of images, or the move is as wide or as high as they are, and they
            do not come in again by ``fill``.
    """
    check_images(x)
    height, width = x.shape[-2:]
    if fill in ("zeros", "edge") and (abs(dx) >= width or abs(dy) >= height):
        raise DataError(
            "a move takes every pixel out of the image",
            expected=f"fewer than {width} pixels to a side and {height} up or down",
            got=f"{dx} to the right and {dy} down",
            remedy='choose a smaller move, or fill = "wrap"',
        )


def check_images(x: Tensor) -> None:
    """Refuse inputs that are not a batch of images.

    Raises:
        DataError: If ``x`` is no float tensor (N, C, H, W).
    """
    if x.ndim != 4 or not x.is_floating_point():
        raise DataError(
            "this view needs images",
            expected="a float tensor (N, C, H, W)",
            got=f"{x.dtype} of shape {tuple(x.shape)}",
            remedy="for tokens use views of words, such as word_dropout; for flat pixels reshape to images",
        )
