"""Whether two representations agree on the nearest neighbours of samples."""

from __future__ import annotations

from typing import Literal

import numpy as np

from bequest.measure.alignment import blocks
from bequest.measure.arrays import Array, Floats, Integers, at_least, features, one_of, same_length
from bequest.measure.undefined import Undefined
from bequest.measures import Reason

Metric = Literal["cosine", "euclidean"]
METRICS = ("cosine", "euclidean")


def mutual_neighbours(x: Array, y: Array, *, k: int = 10, metric: Metric = "cosine") -> float:
    """The mean share of a sample's k nearest neighbours in x that are neighbours in y too, in [0, 1].

    It is local while CKA is global: distances beyond the neighbours do not count. Two unrelated
    representations share k / (N − 1). Ties are broken by the order of rows.

    Args:
        x: (N, ...), features of N samples; further axes are flattened.
        y: (N, ...), other features of the same samples in the same order.
        k: Number of neighbours, without the sample itself.
        metric: ``"cosine"`` or ``"euclidean"``.

    Returns:
        NaN with a reason for fewer than k + 2 samples, all of which would be neighbours, or if a sample has
        no direction (``"cosine"``).

    Raises:
        DataError: If lengths differ or a number is not finite.

    Source: Huh, Cheung, Wang & Isola (2024), "The Platonic Representation Hypothesis", appendix A.

    >>> x = np.random.default_rng(0).normal(size=(50, 5))
    >>> mutual_neighbours(x, -2 * x)
    1.0
    """
    one_of(metric, METRICS, "metric")
    at_least(k, 1, "k")
    one, other = features(x, "x"), features(y, "y")
    count = same_length(x=one, y=other)
    if count < k + 2:
        return Undefined(f"{count} samples; {k} neighbours need {k + 2} or more", Reason.TOO_FEW)
    sides = []
    for name, side in (("x", one), ("y", other)):
        if metric == "cosine":
            lengths = np.linalg.norm(side, axis=1, keepdims=True)
            if not lengths.all():
                row = int(np.flatnonzero(lengths[:, 0] == 0)[0])
                reason = f"the features of {name} are zero in sample {row}, which has no direction"
                return Undefined(reason, Reason.CONSTANT)
            side = side / lengths
        sides.append(side)
    shared = 0
    # In blocks: all N² distances at once would fill the memory.
    for rows in blocks(count, count):
        near = [_nearest(side, rows, k) for side in sides]
        shared += sum(len(np.intersect1d(a, b)) for a, b in zip(*near, strict=True))
    return shared / (k * count)


def _nearest(side: Floats, rows: slice, k: int) -> Integers:
    """The k nearest other rows of each of ``rows``, (R, k)."""
    # Squared distances without the row's own norm, which does not change the order within a row.
    distances = (side**2).sum(axis=1) - 2 * side[rows] @ side.T
    start = rows.start or 0
    places = np.arange(len(distances))
    distances[places, start + places] = np.inf
    order: Integers = np.argsort(distances, axis=1, kind="stable")[:, :k]
    return order
