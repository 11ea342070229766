"""Fieller's interval of a ratio of two means."""

from __future__ import annotations

import numpy as np

from bequest.measure.arrays import Floats
from bequest.measure.undefined import Undefined
from bequest.measures import Reason


def ratio_ends(means: Floats, squared_half_width: Floats) -> tuple[float, float]:
    """The smallest and largest r with (a − r·b)² ≤ h(r): an interval if that of b alone excludes 0.

    Args:
        means: (2,), a and b.
        squared_half_width: (2, 2), the form H with h(r) = (1, −r) H (1, −r)ᵀ, such as t²·cov(a, b).

    >>> low, high = ratio_ends(np.array([1.0, 2.0]), 0.01 * np.eye(2))
    >>> round(low, 3), round(high, 3)
    (0.445, 0.557)
    """
    a, b = means
    square, middle = b**2 - squared_half_width[1, 1], a * b - squared_half_width[0, 1]
    constant = a**2 - squared_half_width[0, 0]
    # Below 0 by rounding only: the ratio of the means itself always solves the inequality.
    root = np.sqrt(max(middle**2 - square * constant, 0.0))
    return float((middle - root) / square), float((middle + root) / square)


def ratio_remark(low: float, high: float) -> float:
    """The remark on a ratio's interval as an ``Undefined`` with its reason; 0 if there is none."""
    if np.isnan(low) or np.isnan(high):
        return Undefined("the gap changes sign among resamples", Reason.UNDEFINED_RESAMPLE)
    return Undefined("the interval has no width", Reason.NO_WIDTH) if low == high else 0.0
