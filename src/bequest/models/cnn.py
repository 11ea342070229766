"""Convolutional networks."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from bequest.errors import ModelError
from bequest.models.catalogue import MODELS
from bequest.models.grey import Grey

IMAGE_AXES = 3


@MODELS.register("cnn")
def cnn(
    input_shape: Sequence[int],
    classes: int,
    *,
    channels: Sequence[int] = (32, 32, 64),
    pool_after: Sequence[int] = (2,),
    dropout: float = 0.0,
    grey: bool = False,
) -> nn.Sequential:
    """Convolutional network: 3×3 convolutions with ReLU, global maximum over positions, a linear head.

    Args:
        input_shape: (channels, height, width) of one image.
        classes: Width of the logits.
        channels: Width of each convolution.
        pool_after: The convolutions (1-based) that are followed by 2×2 maximum pooling.
        dropout: Dropout rate before the head.
        grey: Reduce each pixel to its brightest channel, so that the network is blind to hue.

    Raises:
        ModelError: If one input is not an image, or there is no convolution to pool after.
    """
    if len(input_shape) != IMAGE_AXES:
        raise ModelError("a cnn needs images", expected="inputs (C, H, W)", got=tuple(input_shape))
    outside = [place for place in pool_after if not 1 <= place <= len(channels)]
    if outside:
        raise ModelError(
            "pool_after names a convolution that a cnn does not have",
            expected=f"1..{len(channels)}",
            got=outside[0],
        )
    layers: list[nn.Module] = [Grey()] if grey else []
    width = 1 if grey else input_shape[0]
    for index, size in enumerate(channels, 1):
        layers += [nn.Conv2d(width, size, 3, padding=1), nn.ReLU()]
        if index in pool_after:
            layers.append(nn.MaxPool2d(2))
        width = size
    layers += [nn.AdaptiveMaxPool2d(1), nn.Flatten()]
    if dropout:
        layers.append(nn.Dropout(dropout))
    return nn.Sequential(*layers, nn.Linear(width, classes))
