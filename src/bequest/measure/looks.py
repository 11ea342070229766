"""Interim looks at a growing study: the error that each may spend, and the effects that seeds can detect."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from jaxtyping import Float
from scipy import optimize, special

from bequest.errors import DataError
from bequest.measure.arrays import Floats, at_least, share
from bequest.measure.intervals import t_quantile


def look_levels(seeds: Sequence[int], *, level: float = 0.95) -> Float[np.ndarray, " k"]:
    """The confidence level of each look at a growing study, (K,), such that all together have ``level``.

    Look k may err with α·(n_k − n_{k−1}) / n_K, α = 1 − level: the error spent up to a look is its share of
    the planned seeds (linear spending; Lan & DeMets 1983, Kim & DeMets 1987 with exponent 1). Errors add up
    for any dependence between the looks, so that no joint distribution is assumed and stopping at any look is
    allowed. At look k judge the claims that no earlier look decided, at the level of that look
    (:func:`~bequest.measure.judge_family`): decided claims stay decided and leave the family.

    Args:
        seeds: (K,), the number of seeds at each look, increasing; the last is the most that the study may
            have. All looks are planned before the first.
        level: Confidence level of all looks together.

    Raises:
        DataError: If there is no look, or seeds do not rise.

    >>> look_levels([3, 5, 10]).round(4).tolist()
    [0.985, 0.99, 0.975]
    >>> look_levels([5]).tolist()
    [0.95]
    """
    share(level, "level")
    planned = np.asarray(seeds, dtype=np.float64)
    if planned.ndim != 1 or not len(planned) or planned[0] < 1 or (np.diff(planned) <= 0).any():
        raise DataError(
            "the seeds of the looks do not increase", expected="such as [3, 5, 8]", got=list(seeds)
        )
    spent = (1 - level) * planned / planned[-1]
    levels: Floats = 1 - np.diff(spent, prepend=0.0)
    return levels


def detectable_effect(n: int, *, sd: float = 1.0, level: float = 0.95, power: float = 0.8) -> float:
    """The smallest mean difference that ``n`` pairs of seeds tell from a margin with probability ``power``.

    The effect δ at which the t-interval of n differences with standard deviation ``sd`` lies beyond the
    margin with probability ``power``: P(T > t_{n−1}) = power for a noncentral T with shift √n·δ/sd.

    Args:
        n: Seeds.
        sd: Standard deviation of the differences over seeds.
        level: Confidence level of the verdict, such as 1 − .05/20 within a family of 20 claims.
        power: Probability of a verdict.

    Returns:
        In the units of ``sd``; inf with one seed.

    Raises:
        DataError: If a number is out of range.

    >>> [round(detectable_effect(n), 2) for n in (3, 5, 10)], round(detectable_effect(3, level=0.9975), 1)
    ([3.26, 1.68, 1.0], 14.6)
    """
    _in_range(sd, level, power)
    if at_least(n, 1, "n") == 1:
        return float("inf")
    threshold = t_quantile(level, n)

    def lacking(shift: float) -> float:
        return _power(shift, threshold, n) - power

    highest = 1.0
    while lacking(highest) < 0:
        highest *= 2
    return sd * float(optimize.brentq(lacking, 0.0, highest, xtol=1e-9)) / float(np.sqrt(n))


def seeds_needed(
    effect: float, *, sd: float = 1.0, level: float = 0.95, power: float = 0.8, most: int = 10_000
) -> int | None:
    """The fewest seeds whose :func:`detectable_effect` is at most ``effect``; None if ``most`` are too few.

    Args:
        effect: Distance from the margin, in the units of ``sd``.
        sd: Standard deviation of the differences over seeds.
        level: Confidence level of the verdict.
        power: Probability of a verdict.
        most: The most seeds that are tried.

    >>> seeds_needed(1.0), seeds_needed(1.0, level=0.9975)
    (10, 20)
    """
    _in_range(sd, level, power)
    size = abs(effect) / sd

    def enough(n: int) -> bool:
        threshold = t_quantile(level, n)
        return _power(float(np.sqrt(n)) * size, threshold, n) >= power

    if size == 0 or most < 2 or not enough(most):
        return None
    low, high = 1, most  # bisection: power rises with n
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def _power(shift: float, threshold: float, n: int) -> float:
    """P(T > threshold) of Student's T with n − 1 degrees of freedom and noncentrality ``shift``.

    Integrated over the sample's standard deviation: SciPy's noncentral t loses digits far out in the tail.
    """
    return float(special.ndtr(shift - threshold * _deviations(n - 1)).mean())


@lru_cache(maxsize=64)  # every claim needs the same few n, and the quantiles take a millisecond
def _deviations(freedom: int) -> Floats:
    """2,000 equally likely standard deviations of a sample whose true one is 1."""
    nodes = (np.arange(2000) + 0.5) / 2000
    quantiles: Floats = np.sqrt(2 * special.gammaincinv(freedom / 2, nodes) / freedom)
    return quantiles


def _in_range(sd: float, level: float, power: float) -> None:
    share(level, "level")
    share(power, "power")
    if not sd > 0:
        raise DataError("sd is out of range", expected="above 0", got=sd)
