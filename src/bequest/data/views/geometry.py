"""Views that move pixels: shift, crop, flip, rotate, scale, shear."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from pydantic import Field, model_validator
from torch import Tensor
from typing_extensions import override

from bequest.data.affine import Fill, affine, check_images, check_move, interpolate, mirror, translate
from bequest.data.views.view import Key, View
from bequest.variants import Listed, strict

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Move = Annotated[tuple[int, int], Field(strict=False)]
"""Pixels to the right and down."""


@strict
class Shift(View, name="shift"):
    """Moved by whole pixels, uniformly in [-pixels, pixels] on each axis.

    Attributes:
        pixels: The largest move.
        fill: What comes in at the border: black (``zeros``), its pixels again (``edge``), the image mirrored
            (``reflect``) or from the other side (``wrap``).
    """

    pixels: Annotated[int, Field(ge=0)]
    fill: Fill = "zeros"

    @override
    def apply(self, x: Tensor, key: Key) -> Tensor:
        return _shifted(x, key, self.pixels, self.fill)


@strict
class ShiftEach(View, name="shift_each"):
    """View v moves every sample by the v-th of some moves, so that a pool has each sample in each of them.

    With as many views as moves (``view_count``) the pool has every sample in every move once; later views
    repeat the moves.

    Attributes:
        pixels: All moves by up to so many pixels on each axis, except no move: 24 for 2.
        moves: Or these: [[1, 0], [0, -1]] is one pixel to the right, one pixel up.
        fill: What comes in at the border: black (``zeros``), its pixels again (``edge``), the image mirrored
            (``reflect``) or from the other side (``wrap``).
    """

    pixels: Annotated[int, Field(ge=1)] | None = None
    moves: Listed[Move] | None = None
    fill: Fill = "zeros"

    @model_validator(mode="after")
    def _one_way(self) -> ShiftEach:
        if (self.pixels is None) == (not self.moves):
            raise ValueError("give pixels, or a list of moves")
        return self

    @property
    def every_move(self) -> tuple[tuple[int, int], ...]:
        """The moves in the order of the views."""
        if self.moves:
            return self.moves
        reach = range(-(self.pixels or 0), (self.pixels or 0) + 1)
        return tuple((dx, dy) for dx in reach for dy in reach if (dx, dy) != (0, 0))

    @override
    def apply(self, x: Tensor, key: Key) -> Tensor:
        moves = self.every_move
        dx, dy = moves[key.view_id % len(moves)]
        check_move(x, dx, dy, self.fill)
        return translate(x, dx, dy, fill=self.fill)


@strict
class ShiftAmong(View, name="shift_among"):
    """Moved by one of a list of moves, each equally likely, for queries that leave other moves unasked.

    Attributes:
        moves: Pixels to the right and down of each move, such as ``[[1, 0], [-2, 1]]``.
        fill: What comes in at the border: black (``zeros``), its pixels again (``edge``), the image mirrored
            (``reflect``) or from the other side (``wrap``).
    """

    moves: Annotated[Listed[Move], Field(min_length=1)]
    fill: Fill = "zeros"

    @override
    def apply(self, x: Tensor, key: Key) -> Tensor:
        # All moves, not only those drawn: otherwise the seed would decide whether there is an error.
        for dx, dy in self.moves:
            check_move(x, dx, dy, self.fill)
        drawn = key.integers("shift_among", 1, low=0, high=len(self.moves) - 1)[:, 0]
        by = torch.tensor(self.moves, device=x.device)[drawn]
        return translate(x, by[:, 0], by[:, 1], fill=self.fill)


@strict
class Crop(View, name="crop"):
    """Padded on all sides and cropped to its size at a random place, which is a :class:`Shift`.

    Attributes:
        padding: Pixels per side.
        fill: What comes in at the border: black (``zeros``), its pixels again (``edge``), the image mirrored
            (``reflect``) or from the other side (``wrap``).
    """

    padding: Annotated[int, Field(ge=0)] = 4
    fill: Fill = "zeros"

    @override
    def apply(self, x: Tensor, key: Key) -> Tensor:
        return _shifted(x, key, self.padding, self.fill)


@strict
class ResizedCrop(View, name="resized_crop"):
    """A random window, bilinearly resized to the whole image (without antialiasing).

    The window's share of the area is uniform in [smallest, 1], its aspect log-uniform in [1/aspect, aspect]
    times the image's; a side that would exceed the image is cut to it.
    """

    smallest: Annotated[float, Field(gt=0, le=1)] = 0.25
    aspect: Annotated[float, Field(ge=1)] = 4 / 3

    @override
    def apply(self, x: Tensor, key: Key) -> Tensor:
        check_images(x)
        share, aspect, right, down = key.uniform("resized_crop", 4)[:, :, None].unbind(1)
        # Uniform in the logarithm, so that windows are as often wide as high.
        stretch = torch.exp((aspect - 0.5) * math.log(self.aspect))
        side = torch.sqrt(self.smallest + (1 - self.smallest) * share)
        height, width = x.shape[-2:]
        # A stretched window can be longer than the image.
        rows = _window(height, (side * stretch).clamp(max=1), down)
        columns = _window(width, (side / stretch).clamp(max=1), right)
        shape = (len(x), height, width)
        return interpolate(x, rows[:, :, None].expand(shape), columns[:, None].expand(shape), fill="edge")


@strict
class Flip(View, name="flip"):
    """Left and right exchanged, in a share ``rate`` of the samples."""

    rate: Share = 0.5

    @override
    def apply(self, x: Tensor, key: Key) -> Tensor:
        return mirror(x, key.uniform("flip", 1)[:, 0] < self.rate)


@strict
class Rotate(View, name="rotate"):
    """Turned about the centre by an angle that is uniform in [-degrees, degrees].

    Attributes:
        degrees: The largest angle.
        fill: What comes in at the border: black (``zeros``), its pixels again (``edge``), the image mirrored
            (``reflect``) or from the other side (``wrap``).
    """

    degrees: Annotated[float, Field(ge=0, le=180)]
    fill: Fill = "zeros"

    @override
    def apply(self, x: Tensor, key: Key) -> Tensor:
        return affine(x, angle=_symmetric(key, "rotate", self.degrees), fill=self.fill)


@strict
class Scale(View, name="scale"):
    """Scaled about the centre by a factor that is uniform in [low, high]; below 1 the content shrinks.

    Attributes:
        low: The smallest factor.
        high: The largest.
        fill: What comes in at the border: black (``zeros``), its pixels again (``edge``), the image mirrored
            (``reflect``) or from the other side (``wrap``).
    """

    low: Positive
    high: Positive
    fill: Fill = "zeros"

    @model_validator(mode="after")
    def _ordered(self) -> Scale:
        if self.low > self.high:
            raise ValueError(f"low must not exceed high, got {self.low:g} and {self.high:g}")
        return self

    @override
    def apply(self, x: Tensor, key: Key) -> Tensor:
        drawn = key.uniform("scale", 1)[:, 0]
        return affine(x, scale=self.low + (self.high - self.low) * drawn, fill=self.fill)


@strict
class Shear(View, name="shear"):
    """Each row moved sideways in proportion to its height, by up to ``amount`` columns per row either way.

    Attributes:
        amount: The largest shear, in columns per row.
        fill: What comes in at the border: black (``zeros``), its pixels again (``edge``), the image mirrored
            (``reflect``) or from the other side (``wrap``).
    """

    amount: NotNegative
    fill: Fill = "zeros"

    @override
    def apply(self, x: Tensor, key: Key) -> Tensor:
        return affine(x, shear=_symmetric(key, "shear", self.amount), fill=self.fill)


def _symmetric(key: Key, name: str, most: float) -> Tensor:
    """One number per sample, uniform in [-most, most)."""
    return (2 * key.uniform(name, 1)[:, 0] - 1) * most


def _shifted(x: Tensor, key: Key, pixels: int, fill: Fill) -> Tensor:
    check_move(x, pixels, pixels, fill)
    by = key.integers("shift", 2, low=-pixels, high=pixels)
    return translate(x, by[:, 0], by[:, 1], fill=fill)


def _window(size: int, share: Tensor, place: Tensor) -> Tensor:
    """The ``size`` sampling points of a window that covers ``share`` of an axis, (N, size)."""
    length = share * size
    # Through the centres of pixels (+ 0.5, - 0.5): a window of the whole image is then the image itself.
    steps = torch.arange(size, device=share.device, dtype=torch.float32) + 0.5
    return (size - length) * place + steps * (length / size) - 0.5
