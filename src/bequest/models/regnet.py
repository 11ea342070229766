"""RegNetY, the convolutional teacher of DeiT and Co-advise."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from typing_extensions import override

from bequest.errors import ModelError
from bequest.models.catalogue import MODELS

IMAGE_AXES = 3
STEM = 32


class RegNetBlock(nn.Module):
    """1×1, grouped 3×3, a gate on channels, 1×1, each with BatchNorm; and a shortcut.

    The gate is a squeeze-and-excitation of a quarter of the block's input channels.
    """

    def __init__(self, width_in: int, width: int, stride: int, group: int) -> None:
        super().__init__()
        self.first = _convolution(width_in, width, 1)
        self.second = _convolution(width, width, 3, stride=stride, groups=width // group)
        # A quarter of the block's input, not of its own width, as published.
        squeezed = width_in // 4
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(width, squeezed, 1),
            nn.ReLU(),
            nn.Conv2d(squeezed, width, 1),
            nn.Sigmoid(),
        )
        self.third = _convolution(width, width, 1)
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or width_in != width:
            self.shortcut = _convolution(width_in, width, 1, stride=stride)

    @override
    def forward(self, x: Float[Tensor, "n a h w"]) -> Float[Tensor, "n b hh ww"]:
        """The block's output."""
        out = torch.relu(self.second(torch.relu(self.first(x))))
        return torch.relu(self.third(out * self.gate(out)) + self.shortcut(x))


class RegNet(nn.Module):
    """A stem at half of the size, four stages that halve it again, a mean over positions, a linear head."""

    def __init__(
        self, channels: int, classes: int, widths: Sequence[int], depths: Sequence[int], group: int
    ) -> None:
        super().__init__()
        self.stem = nn.Sequential(_convolution(channels, STEM, 3, stride=2), nn.ReLU())
        width_in = STEM
        for number, (width, depth) in enumerate(zip(widths, depths, strict=True), 1):
            blocks = [RegNetBlock(width_in, width, 2, group)]
            blocks += [RegNetBlock(width, width, 1, group) for _ in range(depth - 1)]
            self.add_module(f"layer{number}", nn.Sequential(*blocks))
            width_in = width
        self.linear = nn.Linear(width_in, classes)

    @override
    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k"]:
        """Logits (N, C) of images (N, channels, H, W)."""
        x = self.stem(x)
        for number in range(1, 5):
            x = self.get_submodule(f"layer{number}")(x)
        logits: Tensor = self.linear(x.mean((2, 3)))
        return logits


@MODELS.register("regnety_032")
def regnety_032(input_shape: Sequence[int], classes: int) -> RegNet:
    """RegNetY-3.2GF of Radosavovic et al. 2020, 19.4 M parameters for 1,000 classes."""
    return RegNet(_channels(input_shape), classes, (72, 216, 576, 1512), (2, 5, 13, 1), 24)


@MODELS.register("regnety_040")
def regnety_040(input_shape: Sequence[int], classes: int) -> RegNet:
    """RegNetY-4.0GF of Radosavovic et al. 2020, 20.6 M parameters for 1,000 classes."""
    return RegNet(_channels(input_shape), classes, (128, 192, 512, 1088), (2, 6, 12, 2), 64)


def _convolution(width_in: int, width: int, size: int, *, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """A convolution with BatchNorm that keeps the size, or divides it by ``stride``."""
    return nn.Sequential(
        nn.Conv2d(width_in, width, size, stride=stride, padding=size // 2, groups=groups, bias=False),
        nn.BatchNorm2d(width),
    )


def _channels(input_shape: Sequence[int]) -> int:
    if len(input_shape) != IMAGE_AXES:
        raise ModelError("a regnet needs images", expected="inputs (C, H, W)", got=tuple(input_shape))
    return input_shape[0]
