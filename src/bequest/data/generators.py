"""Queries without data: inputs made from noise, of the shape of the data."""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from typing_extensions import override

from bequest.data.datasets import Split
from bequest.data.queries import Generate
from bequest.errors import DataError
from bequest.variants import Variant, strict

BLOCK_ROWS = 4096


class Generator(Variant, kind="generator"):
    """Makes inputs like those of a split: ``{name = "normal"}`` in TOML, ``Normal()`` in Python."""

    @abstractmethod
    def bind(self, split: Split) -> Generate:
        """``generate(rows, generator)``, which makes inputs of the shape of ``split``'s.

        Raises:
            DataError: If the split's inputs are tokens.
        """


@strict
class Uniform(Generator, name="uniform"):
    """Every number uniform in [``low``, ``high``), independently; default: the range of the data."""

    low: float | None = None
    high: float | None = None

    @override
    def bind(self, split: Split) -> Generate:
        """See :meth:`Generator.bind`."""
        shape = _shape(split)
        low = float(split.x.min()) if self.low is None else self.low
        high = float(split.x.max()) if self.high is None else self.high
        if low > high:
            raise DataError("this range is empty", expected="low ≤ high", got=f"{low:g} to {high:g}")
        return lambda rows, generator: low + (high - low) * torch.rand(rows, *shape, generator=generator)


@strict
class Normal(Generator, name="normal"):
    """Normal numbers, independently; default: with the data's mean and standard deviation at each place.

    ``scale`` multiplies the standard deviation; ``clip`` keeps inputs within the range of the data.
    """

    mean: float | None = None
    std: Annotated[float, Field(ge=0)] | None = None
    scale: Annotated[float, Field(ge=0)] = 1.0
    clip: bool = False

    @override
    def bind(self, split: Split) -> Generate:
        """See :meth:`Generator.bind`."""
        shape = _shape(split)
        mean, deviation = _moments(split.x)
        mean = mean if self.mean is None else torch.full(shape, self.mean)
        deviation = (deviation if self.std is None else torch.full(shape, self.std)) * self.scale
        low, high = float(split.x.min()), float(split.x.max())

        def generate(rows: int, generator: torch.Generator) -> Tensor:
            x = mean + deviation * torch.randn(rows, *shape, generator=generator)
            return x.clamp(low, high) if self.clip else x

        return generate


def _shape(split: Split) -> tuple[int, ...]:
    if not split.x.is_floating_point():
        raise DataError("noise cannot stand for tokens", expected="images or vectors", got=split.x.dtype)
    return tuple(split.x.shape[1:])


def _moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation over samples at each place, float32; a memory map is not copied."""
    total, squares = (
        torch.zeros(x.shape[1:], dtype=torch.float64),
        torch.zeros(x.shape[1:], dtype=torch.float64),
    )
    for block in torch.split(x, BLOCK_ROWS):
        total += block.double().sum(0)
    mean = total / len(x)
    for block in torch.split(x, BLOCK_ROWS):
        squares += (block.double() - mean).square().sum(0)
    return mean.float(), (squares / len(x)).sqrt().float()
