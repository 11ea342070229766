"""Equal-width bins of probabilities, the same in every floating-point type."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bequest.measure.arrays import Floats, Integers


def edges(bins: int) -> Floats:
    """0, 1/B, …, 1: the floats nearest to k/B, as a literal such as 0.07 is, unlike linspace's; (B + 1,)."""
    return np.arange(bins + 1) / bins


def bin_of(probabilities: NDArray[Any], bins: int, *, precision: float) -> Integers:
    """The index of each probability's bin among ``bins`` bins (k/B, (k+1)/B]; 0 is in the first.

    A number that equals an edge up to rounding counts as that edge: float32's .8 is 1e-8 above .8 and still
    belongs to (.7, .8]. Otherwise the bins would depend on the floating-point type of the softmax.

    Args:
        probabilities: (...,), float64.
        bins: B.
        precision: Relative spacing of the type that they were computed in, such as
            ``np.finfo(np.float32).eps``.

    >>> bin_of(np.array([0.0, 0.07, 0.08, 1.0]), 100, precision=np.finfo(np.float64).eps).tolist()
    [0, 6, 7, 99]
    """
    inner = edges(bins)[1:-1]
    # Rounding to the nearest moves a number by half the spacing; float64 sums and logarithms by a few of it.
    slack = max(precision / 2, 4 * float(np.finfo(np.float64).eps))
    return np.searchsorted(inner * (1 + slack), probabilities, side="left").astype(np.int64)
