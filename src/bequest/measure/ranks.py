"""Ranks of values, as rank statistics count them."""

from __future__ import annotations

import numpy as np

from bequest.measure.arrays import Floats


def mean_ranks(values: Floats) -> Floats:
    """Each value's place in ascending order, from 1, (N,); equal values share the mean of their places.

    What ``scipy.stats.rankdata`` returns, whose module takes half a second to import.

    >>> mean_ranks(np.array([0.3, 0.1, 0.3, 0.2])).tolist()
    [3.5, 1.0, 3.5, 2.0]
    """
    _, group, sizes = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(sizes)
    ranks: Floats = (last - (sizes - 1) / 2)[group]
    return ranks
