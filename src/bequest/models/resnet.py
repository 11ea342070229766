"""Residual networks for small images, with shortcuts that have no parameters."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from bequest.errors import ModelError
from bequest.models.catalogue import MODELS

IMAGE_AXES = 3
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
STAGES = (16, 32, 64)


class Normalise(nn.Module):
    """(x - mean) / std per channel; both are buffers, so that digests of the network include them."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1))

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """``x`` normalised."""
        return (x - self.mean) / self.std


class Block(nn.Module):
    """Two 3×3 convolutions and a shortcut, which subsamples pixels and adds zero channels if sizes differ."""

    def __init__(self, width_in: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width_in, width, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.stride = stride
        self.added = width - width_in

    def forward(self, x: Float[Tensor, "n a h w"]) -> Float[Tensor, "n b hh ww"]:
        """The block's output."""
        out = functional.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        if self.stride > 1 or self.added:
            # Option A of the paper; published CIFAR weights need half of the zero channels on each side.
            before = self.added // 2
            x = functional.pad(
                x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, before, self.added - before)
            )
        return functional.relu(out + x)


class ResNet(nn.Module):
    """A 3×3 convolution, three stages of blocks, a mean over positions, a linear head.

    Parameters have the names of published CIFAR weights.
    """

    def __init__(self, channels: int, classes: int, blocks: int, normalise: Normalise | None) -> None:
        super().__init__()
        self.normalise = nn.Identity() if normalise is None else normalise
        self.conv1 = nn.Conv2d(channels, STAGES[0], 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(STAGES[0])
        self.layer1 = _stage(STAGES[0], STAGES[0], blocks, stride=1)
        self.layer2 = _stage(STAGES[0], STAGES[1], blocks, stride=2)
        self.layer3 = _stage(STAGES[1], STAGES[2], blocks, stride=2)
        self.linear = nn.Linear(STAGES[2], classes)

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k"]:
        """Logits (N, C) of images (N, channels, H, W)."""
        x = functional.relu(self.bn1(self.conv1(self.normalise(x))))
        x = self.layer3(self.layer2(self.layer1(x)))
        logits: Tensor = self.linear(x.mean((2, 3)))
        return logits


def resnet(
    input_shape: Sequence[int],
    classes: int,
    *,
    depth: int = 20,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> ResNet:
    """Residual network of 6n + 2 layers for small images.

    Args:
        input_shape: (channels, height, width) of one image.
        classes: Width of the logits.
        depth: 8, 20, 32, 44, 56, ...: 6n + 2.
        mean: Subtracted from each channel of the pixels; with ``std``. None: no normalisation.
        std: Divides each channel.

    Raises:
        ModelError: If one input is not an image, the depth is not 6n + 2, or mean and std do not fit.

    Source: He et al. 2016, "Deep residual learning for image recognition", section 4.2, shortcuts of kind A.
    """
    if len(input_shape) != IMAGE_AXES:
        raise ModelError("a resnet needs images", expected="inputs (C, H, W)", got=tuple(input_shape))
    if depth < 8 or (depth - 2) % 6:
        raise ModelError("a resnet for small images has 6n + 2 layers", expected="20, 32, 44, 56", got=depth)
    channels = input_shape[0]
    if (mean is None) != (std is None) or {len(each) for each in (mean, std) if each is not None} - {
        channels
    }:
        raise ModelError(
            "mean and std must be given together", expected=f"{channels} numbers each", got=(mean, std)
        )
    normalise = Normalise(mean, std) if mean is not None and std is not None else None
    return ResNet(channels, classes, (depth - 2) // 6, normalise)


@MODELS.register("resnet8")
def resnet8(
    input_shape: Sequence[int],
    classes: int,
    *,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> ResNet:
    """Residual network of 8 layers for small images, 0.08 M parameters; see :func:`resnet`."""
    return resnet(input_shape, classes, depth=8, mean=mean, std=std)


@MODELS.register("resnet20")
def resnet20(
    input_shape: Sequence[int],
    classes: int,
    *,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> ResNet:
    """Residual network of 20 layers for small images, 0.27 M parameters; see :func:`resnet`."""
    return resnet(input_shape, classes, depth=20, mean=mean, std=std)


@MODELS.register("resnet32")
def resnet32(
    input_shape: Sequence[int],
    classes: int,
    *,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> ResNet:
    """Residual network of 32 layers for small images, 0.46 M parameters; see :func:`resnet`."""
    return resnet(input_shape, classes, depth=32, mean=mean, std=std)


@MODELS.register("resnet44")
def resnet44(
    input_shape: Sequence[int],
    classes: int,
    *,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> ResNet:
    """Residual network of 44 layers for small images, 0.66 M parameters; see :func:`resnet`."""
    return resnet(input_shape, classes, depth=44, mean=mean, std=std)


@MODELS.register("resnet56")
def resnet56(
    input_shape: Sequence[int],
    classes: int,
    *,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> ResNet:
    """Residual network of 56 layers for small images, 0.85 M parameters; see :func:`resnet`."""
    return resnet(input_shape, classes, depth=56, mean=mean, std=std)


def _stage(width_in: int, width: int, blocks: int, *, stride: int) -> nn.Sequential:
    first = Block(width_in, width, stride)
    return nn.Sequential(first, *(Block(width, width, 1) for _ in range(blocks - 1)))
