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
from bequest.data.rows import blocks_of
from bequest.errors import DataError
from bequest.seeding import torch_generator
from bequest.variants import Variant, strict

BLOCK_ROWS = 4096

LARGEST_WIDTH = 4096
"""Largest input for which the covariance matrix is built: 134 MB in double precision."""


class Generator(Variant, kind="generator"):
    """Makes inputs like those of a split: ``{name = "normal"}`` in TOML, ``Normal()`` in Python."""

    @abstractmethod
    def bind(self, split: Split) -> Generate:
        """A function ``generate(rows, generator)`` that makes inputs shaped like those of ``split``.

        Raises:
            DataError: If the split's inputs are tokens.
        """


@strict
class Uniform(Generator, name="uniform"):
    """Every number uniform in [``low``, ``high``), independently.

    Attributes:
        low: Default: the smallest number of the data.
        high: Default: the largest.
    """

    low: float | None = None
    high: float | None = None

    @override
    def bind(self, split: Split) -> Generate:
        """See :meth:`Generator.bind`."""
        shape = _shape(split)
        lowest, highest = _range(split.x)
        low = lowest if self.low is None else self.low
        high = highest if self.high is None else self.high
        if low > high:
            raise DataError("low is above high", expected="low ≤ high", got=f"{low:g} to {high:g}")
        return lambda rows, generator: low + (high - low) * torch.rand(rows, *shape, generator=generator)


@strict
class Normal(Generator, name="normal"):
    """Normal numbers, independently.

    Attributes:
        mean: Default: the data's mean at each place.
        std: Default: the data's standard deviation at each place.
        scale: Factor on the standard deviation.
        clip: Keep inputs within the range of the data.
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
        low, high = _range(split.x)

        def generate(rows: int, generator: torch.Generator) -> Tensor:
            x = mean + deviation * torch.randn(rows, *shape, generator=generator)
            return x.clamp(low, high) if self.clip else x

        return generate


@strict
class Unvaried(Generator, name="unvaried"):
    """Normal noise along the directions in which the data vary least, about their mean.

    It is 0 along the first principal components of the data, and has one standard deviation along all others.
    By the theory of queries (docs/theory.md) these queries are the most informative: they vary what training
    does not, and nothing else.

    Attributes:
        explained: Leave out the components that explain this share of the data's variance.
        scale: Root mean square distance of an input from the mean, as a multiple of the data's.
    """

    explained: Annotated[float, Field(ge=0, lt=1)] = 0.99
    scale: Annotated[float, Field(ge=0)] = 1.0

    @override
    def bind(self, split: Split) -> Generate:
        """See :meth:`Generator.bind`.

        Raises:
            DataError: Also if an input has more than 4,096 numbers, or the components leave no direction.
        """
        shape = _shape(split)
        mean, variances, components = _principal_components(split.x)
        if not float(variances.sum()) > 0:
            raise DataError("the data do not vary, so there is no variance for noise to match")
        free = len(variances) - _components_needed(variances, self.explained)
        if free < 1:
            raise DataError(
                "the data vary in every direction, so none is left for noise", remedy="lower `explained`"
            )
        basis = components[:, :free]
        # As much variance in all as the data have.
        deviation = self.scale * float((variances.sum() / free).sqrt())

        def generate(rows: int, generator: torch.Generator) -> Tensor:
            noise = torch.randn(rows, free, generator=generator) @ basis.T
            return mean + deviation * noise.view(rows, *shape)

        return generate


def generated_split(generator: Generator, like: Split, count: int, *, seed: int, name: str) -> Split:
    """A pool of ``count`` generated inputs without labels, which follows from (seed, name).

    Args:
        generator: The generator.
        like: The samples whose shape and range they get.
        count: Number of inputs; their ids are 0, 1, 2 ...
        seed: Seeds the inputs.
        name: Seeds them too.

    Raises:
        DataError: If the samples are tokens.
    """
    x = generator.bind(like)(count, torch_generator(seed, "generated pool", name))
    return Split(x, None, torch.arange(count))


def _components_needed(variances: Tensor, explained: float) -> int:
    """How many of the largest ``variances``, which rise, make up the share ``explained`` of their sum."""
    shares = variances.flip(0).cumsum(0) / variances.sum().clamp(min=torch.finfo(variances.dtype).tiny)
    return int((shares < explained).sum()) + 1 if explained > 0 else 0


def _principal_components(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean (of the shape of an input), variances in rising order (double), and directions as columns."""
    mean, _ = _moments(x)
    width = mean.numel()
    if width > LARGEST_WIDTH:
        raise DataError(
            "inputs are too large for their principal components",
            expected=f"at most {LARGEST_WIDTH} numbers",
            got=width,
        )
    covariance = torch.zeros(width, width, dtype=torch.float64)
    for block in torch.split(x, BLOCK_ROWS):
        centred = (block.double() - mean).flatten(1)
        covariance += centred.T @ centred
    variances, directions = torch.linalg.eigh(covariance / len(x))
    return mean, variances.clamp(min=0), directions.float()


def _shape(split: Split) -> tuple[int, ...]:
    if not split.x.is_floating_point():
        raise DataError("noise cannot replace tokens", expected="images or vectors", got=split.x.dtype)
    return tuple(split.x.shape[1:])


def _range(x: Tensor) -> tuple[float, float]:
    """The smallest and the largest number, computed block by block."""
    ends = [(float(block.min()), float(block.max())) for block in blocks_of(x)]
    return min(low for low, _ in ends), max(high for _, high in ends)


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
        # Two passes: the one-pass formula subtracts two large numbers, and loses digits if the mean is large.
        squares += (block.double() - mean).square().sum(0)
    return mean.float(), (squares / len(x)).sqrt().float()
