"""A network of another library with the normalisation that its weights were trained with."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from bequest.errors import ModelError
from bequest.models.resnet import Normalise
from bequest.models.tokens import logits_of

IMAGE_AXES = 3


class Normalised(nn.Module):
    """A network for pixels in [0, 1]: the logits of ``network((x - mean) / std)``.

    Mean and std are buffers, so that they are saved with the weights.
    """

    def __init__(self, network: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.normalise = Normalise(mean, std)
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, C) of pixels (N, C, H, W) in [0, 1]."""
        return logits_of(self.network(self.normalise(x)))


def check_input(input_shape: Sequence[int], mean: Sequence[float], what: str) -> None:
    """Refuse inputs that are not images with the number of channels that the weights expect.

    Raises:
        ModelError: If they are not.
    """
    if len(input_shape) != IMAGE_AXES or input_shape[0] != len(mean):
        raise ModelError(
            f"{what} needs images of {len(mean)} channels",
            expected=f"inputs ({len(mean)}, H, W)",
            got=tuple(input_shape),
            remedy="load images of your own with channels = 3, or use another network",
        )
