"""Corruptions that add noise, pixel by pixel."""

from __future__ import annotations

import torch
from torch import Tensor

from bequest.data.corruptions.corruption import corruption
from bequest.data.views import Key


@corruption("shot_noise", levels=(60, 25, 12, 5, 3), published=5)
def shot_noise(x: Tensor, key: Key, photons: int) -> Tensor:
    """Poisson noise of 60 down to 3 photons per white pixel."""
    drawn = key.uniform("photons", x[0].numel()).view_as(x)
    rate = x * photons
    chance = torch.exp(-rate)
    below, count = chance.clone(), torch.zeros_like(x)
    # By inversion of the Poisson distribution. Counts beyond ``photons`` are white and clipped anyway.
    for k in range(1, photons + 1):
        count += drawn >= below
        chance = chance * rate / k
        below += chance
    return count / photons


@corruption("impulse_noise", levels=(0.03, 0.06, 0.09, 0.17, 0.27), published=4)
def impulse_noise(x: Tensor, key: Key, rate: float) -> Tensor:
    """A share of the pixels (.03 to .27) becomes black or white."""
    drawn = key.uniform("impulse", x[0].numel()).view_as(x)
    return torch.where(drawn < rate, (drawn < rate / 2).float(), x)


@corruption("gaussian_noise", levels=(0.08, 0.12, 0.18, 0.26, 0.38))
def gaussian_noise(x: Tensor, key: Key, deviation: float) -> Tensor:
    """Normal noise of standard deviation .08 to .38."""
    return x + deviation * key.normal("noise", x[0].numel()).view_as(x)
