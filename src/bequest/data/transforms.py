"""Fixed transforms of images, for splits with a distribution shift."""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated, Any

from pydantic import Field
from torch import Tensor

from bequest.data.affine import affine, check_move, translate
from bequest.data.colour import tinted
from bequest.variants import Variant, strict


class Transform(Variant, kind="transform"):
    """The same change of every image: ``transform(x)``, (N, C, H, W) in and out."""

    @abstractmethod
    def __call__(self, x: Tensor) -> Tensor:
        """``x``, transformed."""


@strict
class Translate(Transform, name="translate"):
    """Moved ``dx`` pixels to the right and ``dy`` pixels down; pixels from outside are black."""

    dx: int = 0
    dy: int = 0

    def __call__(self, x: Tensor) -> Tensor:
        """``x`` moved.

        Raises:
            DataError: If the move shifts every pixel out of the images.
        """
        check_move(x, self.dx, self.dy)
        return translate(x, self.dx, self.dy)


@strict
class Scale(Transform, name="scale"):
    """Scaled about the centre by ``factor``, bilinearly."""

    factor: Annotated[float, Field(gt=0)]

    def __call__(self, x: Tensor) -> Tensor:
        """``x`` scaled."""
        return affine(x, scale=self.factor)


@strict
class Rotate(Transform, name="rotate"):
    """Turned about the centre by ``angle`` degrees, counter-clockwise, bilinearly."""

    angle: float

    def __call__(self, x: Tensor) -> Tensor:
        """``x`` turned."""
        return affine(x, angle=self.angle)


@strict
class Tint(Transform, name="tint"):
    """All pixels in one colour of the same brightness; ``hue`` in turns, grey at a ``saturation`` of 0."""

    hue: float = 0.0
    saturation: Annotated[float, Field(ge=0, le=1)] = 1.0

    def __call__(self, x: Tensor) -> Tensor:
        """``x`` in the colour, with three channels."""
        return tinted(x, x.new_full((len(x),), self.hue), self.saturation)


def parse_transform(spec: Any) -> Transform:
    """The transform that ``spec`` (``{name = "translate", dx = 2, dy = 2}``) describes.

    Raises:
        ConfigError: Lists every fault.
    """
    return Transform.parse(spec)
