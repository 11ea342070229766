"""Transforms of a teacher's inputs, so that a network trained on other resolutions or scales can teach."""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated, Any, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor
from torch.nn.functional import interpolate

from bequest.errors import ModelError
from bequest.variants import Listed, Variant, strict

IMAGE_AXES = 4
Positive = Annotated[float, Field(gt=0)]


class Adapter(Variant, kind="adapter"):
    """A change of inputs, (N, C, H, W) in and out: ``adapter(x)``. A list of adapters is applied in order."""

    @abstractmethod
    def __call__(self, x: Tensor) -> Tensor:
        """``x`` as the teacher expects it."""

    @classmethod
    def _join(cls, parts: tuple[Adapter, ...], where: str) -> Adapter:
        del where
        return parts[0] if len(parts) == 1 else Adapters(parts)


@strict
class Adapters(Adapter, name="adapters"):
    """Several adapters, one after another."""

    adapters: Listed[Adapter]

    def spec(self) -> Any:
        """A list of specs, one per adapter."""
        return [adapter.spec() for adapter in self.adapters]

    def __call__(self, x: Tensor) -> Tensor:
        """``x`` after all adapters, in order."""
        for adapter in self.adapters:
            x = adapter(x)
        return x


@strict
class Normalise(Adapter, name="normalise"):
    """(x - mean) / std, channel by channel.

    >>> Normalise([0.5], [0.25])(torch.ones(1, 1, 1, 1)).item()
    2.0
    """

    mean: Listed[float]
    std: Listed[Positive]

    @model_validator(mode="after")
    def _as_many(self) -> Normalise:
        if len(self.mean) != len(self.std):
            raise ValueError(f"{len(self.mean)} means need as many standard deviations, not {len(self.std)}")
        return self

    def __call__(self, x: Tensor) -> Tensor:
        """``x`` normalised.

        Raises:
            ModelError: If ``x`` has another number of channels.
        """
        _check_images(x, self.name)
        if len(self.mean) not in (1, x.shape[1]):
            raise ModelError(
                "the normalisation of the teacher's inputs does not fit them",
                expected=f"{len(self.mean)} channels",
                got=f"{x.shape[1]} channels",
                remedy="repeat or merge channels first (channels)",
            )
        mean, std = (x.new_tensor(values).view(1, -1, 1, 1) for values in (self.mean, self.std))
        return (x - mean) / std


@strict
class Resize(Adapter, name="resize"):
    """Images resized; with antialiasing unless ``mode`` is ``nearest``."""

    height: Annotated[int, Field(ge=1)]
    width: Annotated[int, Field(ge=1)] | None = None
    mode: Literal["bilinear", "bicubic", "nearest"] = "bilinear"

    def __call__(self, x: Tensor) -> Tensor:
        """``x`` resized to ``height`` × ``width``; square without a width."""
        _check_images(x, self.name)
        size = (self.height, self.width or self.height)
        if self.mode == "nearest":
            return interpolate(x, size=size, mode="nearest")
        return interpolate(x, size=size, mode=self.mode, align_corners=False, antialias=True)


@strict
class Channels(Adapter, name="channels"):
    """Grey images repeated in ``count`` channels, or colour images averaged into one channel."""

    count: Annotated[int, Field(ge=1)] = 3

    def __call__(self, x: Tensor) -> Tensor:
        """``x`` with ``count`` channels.

        Raises:
            ModelError: If neither ``x`` nor the result has one channel.
        """
        _check_images(x, self.name)
        if x.shape[1] == self.count:
            return x
        if self.count == 1:
            return x.mean(1, keepdim=True)
        if x.shape[1] != 1:
            raise ModelError(
                f"{x.shape[1]} channels cannot become {self.count}", expected="one channel on either side"
            )
        return x.expand(-1, self.count, -1, -1)


def parse_adapter(spec: object, where: str = "adapter") -> Adapter:
    """The adapter that ``spec`` describes: a table with ``name``, a bare name, a list, or an adapter.

    >>> parse_adapter(["channels", {"name": "resize", "height": 224}]).spec()[0]
    {'name': 'channels', 'count': 3}

    Raises:
        ConfigError: Lists every fault.
    """
    return Adapter.parse(spec, where)


def _check_images(x: Tensor, name: str) -> None:
    if x.ndim != IMAGE_AXES or not torch.is_floating_point(x):
        raise ModelError(
            f"the adapter {name!r} needs images",
            expected="float (N, C, H, W)",
            got=f"{x.dtype} {tuple(x.shape)}",
        )
