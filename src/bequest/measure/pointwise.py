"""Mean and interval over seeds at every point of a curve."""

from __future__ import annotations

import numpy as np
from scipy import special

from bequest.errors import DataError
from bequest.measure.arrays import Array, Floats, plain, share
from bequest.measure.bounds import logit_ends


def seed_intervals(
    table: Array,
    *,
    level: float = 0.95,
    bounds: tuple[float, float] | None = None,
) -> tuple[Floats, Floats, Floats]:
    """Mean, low and high over seeds at every point of a curve, each (P,): :func:`seed_interval` of columns.

    Args:
        table: (S, P), one row per seed; NaN if a seed has no value at a point, where it is then left out.
        level: Confidence level of each point, not of the whole curve.
        bounds: As in :func:`seed_interval`.

    Returns:
        ``low`` and ``high`` are NaN at points where fewer than two seeds have a value, and the mean where
        none has one.

    Raises:
        DataError: If ``table`` is not (S, P).

    >>> mean, low, high = seed_intervals(np.array([[0.1, 0.90], [0.1, 0.92], [0.1, 0.94]]))
    >>> mean.round(3).tolist(), low.round(3).tolist(), high.round(3).tolist()
    ([0.1, 0.92], [0.1, 0.87], [0.1, 0.97])
    """
    share(level, "level")
    values = plain(table, "table").astype(np.float64)
    if values.ndim != 2:
        raise DataError("table has the wrong shape", expected="(seeds, points)", got=values.shape)
    present = ~np.isnan(values)
    count = present.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(present, values, 0.0).sum(axis=0) / count
        spread = np.sqrt((np.where(present, values - mean, 0.0) ** 2).sum(axis=0) / (count - 1))
        half = special.stdtrit(np.maximum(count - 1, 1), (1 + level) / 2) * spread / np.sqrt(count)
    half[count < 2] = np.nan
    low, high = (mean - half, mean + half) if bounds is None else logit_ends(mean, half, half, *bounds)
    return mean, low, high
