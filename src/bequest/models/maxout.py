"""Convolutional networks with maxout."""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from bequest.errors import ModelError
from bequest.models.catalogue import MODELS

IMAGE_AXES = 3


class Maxout(nn.Module):
    """The maximum over each group of ``pieces`` neighbouring channels.

    Source: Goodfellow et al. 2013, "Maxout networks", section 3.
    """

    def __init__(self, pieces: int) -> None:
        super().__init__()
        self.pieces = pieces

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k h w"]:
        """``x`` with one channel for each group of ``pieces``."""
        shape = (x.shape[0], -1, self.pieces, *x.shape[2:])
        return x.reshape(shape).amax(2)


@MODELS.register("maxout_cnn")
def maxout_cnn(
    input_shape: Sequence[int],
    classes: int,
    *,
    channels: Sequence[int] = (128, 64, 64),
    maxout: int = 16,
    pools: Sequence[int] = (1, 2, 2),
    dropout: float = 0.3,
) -> nn.Sequential:
    """Convolutional network with maxout: 3×3 convolutions, BatchNorm, ReLU, global mean, a linear head.

    Each convolution, without padding, is followed by BatchNorm, ReLU, a maximum pool and dropout; the
    channels of the last are first reduced by :class:`Maxout`. On 28×28 images with the default options
    it is the CNN of Abnar et al. 2020 (113,002 numbers, the statistics of BatchNorm counted).

    Args:
        input_shape: (channels, height, width) of one image.
        classes: Width of the logits.
        channels: Width of each convolution.
        maxout: Channels that are left of the last convolution's.
        pools: Side of the maximum pool after each convolution; 1 for none.
        dropout: Dropout rate after each pool.

    Raises:
        ModelError: If one input is not an image, or the options do not fit each other.
    """
    if len(input_shape) != IMAGE_AXES:
        raise ModelError("a maxout_cnn needs images", expected="inputs (C, H, W)", got=tuple(input_shape))
    if len(pools) != len(channels) or not channels or maxout < 1 or channels[-1] % maxout:
        raise ModelError(
            "the options of a maxout_cnn do not fit each other",
            expected="a pool for each convolution, and last channels that maxout divides",
            got=f"channels {list(channels)}, pools {list(pools)}, maxout {maxout}",
        )
    layers: list[nn.Module] = []
    width, smallest = input_shape[0], min(input_shape[1:])
    for index, (size, pool) in enumerate(zip(channels, pools, strict=True)):
        layers.append(nn.Conv2d(width, size, 3))
        last = index == len(channels) - 1
        layers += [Maxout(size // maxout)] if last else []
        width = maxout if last else size
        layers += [nn.BatchNorm2d(width), nn.ReLU()]
        layers += [nn.MaxPool2d(pool)] if pool > 1 else []
        layers += [nn.Dropout(dropout)] if dropout else []
        # A 3×3 convolution without padding takes two pixels off, and pooling drops an incomplete window.
        smallest = (smallest - 2) // pool
    if smallest < 1:
        raise ModelError("the images are too small for so many pools", got=tuple(input_shape))
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, classes))
