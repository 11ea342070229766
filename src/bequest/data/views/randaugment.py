"""A few random changes out of many, with a common strength."""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated

from pydantic import Field
from torch import Tensor
from typing_extensions import override

from bequest.data.affine import check_images
from bequest.data.views.geometry import Rotate, Scale, Shear, Shift
from bequest.data.views.pixels import Brightness, Contrast, Erase, Noise
from bequest.data.views.view import Choice, Compose, Identity, Key, View
from bequest.variants import strict


@strict
class Randaugment(View, name="randaugment"):
    """``count`` changes in a row, each drawn from one list, at a ``magnitude`` from 0 to 10.

    The list, at magnitude 10: none, shift (up to 0.3 of the side), rotate (30°), scale (by 0.5), shear (0.3),
    brightness and contrast (0.5), noise (0.2), erase (up to a quarter of the area). It follows RandAugment
    in spirit: changes that need pixels in 0..255, such as posterising, are left out.

    Source: Cubuk et al. 2020, "RandAugment", section 3.
    """

    count: Annotated[int, Field(ge=0)] = 2
    magnitude: Annotated[float, Field(ge=0, le=10)] = 9.0

    @override
    def apply(self, x: Tensor, key: Key) -> Tensor:
        check_images(x)
        return changes(self.count, self.magnitude / 10, min(x.shape[-2:])).apply(x, key)


@lru_cache(maxsize=64)
def changes(count: int, strength: float, side: int) -> View:
    """The composition of choices that a :class:`Randaugment` applies, at a strength in [0, 1]."""
    one = Choice(
        (
            Identity(),
            Shift(round(0.3 * strength * side)),
            Rotate(30.0 * strength),
            Scale(1 - 0.5 * strength, 1 + 0.5 * strength),
            Shear(0.3 * strength),
            Brightness(0.5 * strength),
            Contrast(0.5 * strength),
            Noise(0.2 * strength),
            Erase(rate=1.0, smallest=0.0, largest=0.25 * strength),
        )
    )
    return Compose((one,) * count)
