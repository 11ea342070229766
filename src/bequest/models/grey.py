"""A first layer that removes colour."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn


class Grey(nn.Module):
    """The brightest channel of each pixel, (N, C, H, W) to (N, 1, H, W): what follows is blind to hue."""

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n 1 h w"]:
        """The brightest channel of each pixel, (N, 1, H, W)."""
        return x.amax(1, keepdim=True)
