"""Intervals of bounded quantities, such as shares."""

from __future__ import annotations

import numpy as np
from scipy import special

from bequest.measure.arrays import Floats


def logit_ends(
    mean: Floats, below: Floats, above: Floats, least: float, most: float
) -> tuple[Floats, Floats]:
    """Mean − below and mean + above, moved so that they lie between ``least`` and ``most``, (P,) each.

    The half-widths are transformed to the scale of the logit of (mean − least)/(most − least) by its
    derivative (delta method), and the ends back again. A mean that equals a bound keeps its interval, cut off
    at the bounds.

    >>> low, high = logit_ends(np.array([0.98]), np.array([0.05]), np.array([0.05]), 0.0, 1.0)
    >>> low.round(3).tolist(), high.round(3).tolist()
    ([0.793], [0.998])
    """
    place = (mean - least) / (most - least)
    inside = (place > 0) & (place < 1)
    safe = np.where(inside, place, 0.5)  # any inner point: these rows are replaced below
    slope = safe * (1 - safe) * (most - least)
    low = least + (most - least) * special.expit(special.logit(safe) - below / slope)
    high = least + (most - least) * special.expit(special.logit(safe) + above / slope)
    cut_low, cut_high = np.clip(mean - below, least, most), np.clip(mean + above, least, most)
    undefined = np.isnan(mean) | np.isnan(below)
    low, high = np.where(inside, low, cut_low), np.where(inside, high, cut_high)
    return np.where(undefined, np.nan, low), np.where(undefined, np.nan, high)
