"""Jackknives: over networks, for pairs that share members, and over groups of samples."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import special

from bequest.measure.arrays import Floats, Integers, Values, at_least, share, vector
from bequest.measure.bounds import logit_ends
from bequest.measure.intervals import Estimate, alone, undefined_mean, without_interval
from bequest.measure.undefined import Undefined, no_samples
from bequest.measures import Reason
from bequest.seeding import numpy_generator

METHOD = "jackknife over networks of a ring"


def ring_interval(values: Values, *, level: float = 0.95) -> Estimate:
    """The mean over the pairs (i, i + 1) of n networks in a ring, with an interval for other networks.

    Neighbouring pairs share a network, so that a t-interval over pairs is too narrow: a network that is
    unlike all others lowers two of them. The jackknife leaves out one network, with both its pairs, at a
    time: V = (n − 1)/n · Σ_i (mean without i − mean)². On a ring it is too large by a factor that depends on
    n alone; V is divided by it, and has the degrees of freedom of that quadratic form (both for networks with
    effects of their own, value(i, j) = mean + a_i + a_j; if pairs vary on their own the interval is wider
    than necessary: at n = 3 by a factor of 2, at n = 5 of 1.3).

    Args:
        values: (n,), the value of the pair (i, i + 1) at index i and of (n − 1, 0) at the last: ceilings,
            barriers, likenesses, or their differences between two arms.
        level: Confidence level.

    Returns:
        ``n`` counts networks. NaN with a reason for fewer than 3.

    Source: Efron & Stein (1981), "The jackknife estimate of variance" (its direction of bias).

    >>> estimate = ring_interval([0.80, 0.84, 0.82, 0.85, 0.79])
    >>> estimate.low < 0.82 < estimate.high, estimate.n
    (True, 5)
    """
    share(level, "level")
    pairs = vector(values, "values")
    count = len(pairs)
    missing = undefined_mean(pairs, "pair")
    if missing is not None:
        return without_interval(missing, count, level, METHOD)
    value = float(pairs.mean())
    if count < 3:
        few = Undefined("two networks make one pair, not a ring", Reason.TOO_FEW)
        return without_interval(value, count, level, METHOD, alone("pair") if count == 1 else few)
    if (pairs == pairs[0]).all():
        reason = "all pairs are equal"
        return Estimate(value, count, value, value, level, METHOD, reason, Reason.NO_WIDTH)
    weights = _weights(count)
    # Satterthwaite's degrees of freedom of a weighted sum of χ² variables, the weights being the eigenvalues.
    freedom = weights.sum() ** 2 / (weights**2).sum()
    error = ring_values(pairs).std(ddof=1) / np.sqrt(count)
    half = float(special.stdtrit(freedom, (1 + level) / 2) * error)
    return Estimate(value, count, value - half, value + half, level, METHOD)


def ring_values(values: Values) -> Floats:
    """One number per network of a ring, (n,), with the mean of its pairs and the spread of that mean.

    The jackknife's pseudo-values, scaled such that their variance over n is the variance of
    :func:`ring_interval`: input for formulas that need independent values instead of pairs with shared
    members.

    Args:
        values: (n,), as :func:`ring_interval` takes them, n ≥ 3.

    >>> pairs = np.array([0.80, 0.84, 0.82, 0.85, 0.79])
    >>> bool(np.isclose(ring_values(pairs).mean(), pairs.mean()))
    True
    """
    pairs = vector(values, "values")
    count = at_least(len(pairs), 3, "networks of a ring")
    value = pairs.mean()
    without = (pairs.sum() - pairs - np.roll(pairs, 1)) / (count - 2)
    # (n − 1)/n · Σ (without − mean)² times 4/n over its expectation (n − 1)/(n(n − 2)²) · Σ weights, both in
    # units of var(a), is the variance of the mean; n(n − 1) times it is the sum of squares of these values.
    scale = 2 * (count - 2) * np.sqrt((count - 1) / _weights(count).sum())
    network: Floats = value + scale * (value - without)
    return network


def group_interval(
    statistic: Callable[[Integers], float],
    count: int,
    *,
    groups: int = 20,
    level: float = 0.95,
    bounds: tuple[float, float] | None = None,
    seed: int = 0,
) -> Estimate:
    """A statistic that is no mean over samples, with a jackknife over random groups of the samples.

    For similarities of representations: a bootstrap draws samples twice, and equal rows are alike in any
    representation. V = (G − 1)/G · Σ_g (statistic without group g − their mean)², with G − 1 degrees of
    freedom; for smooth statistics of many samples, not for medians.

    Args:
        statistic: Maps row numbers (N,) to the statistic of those rows.
        count: How many samples there are.
        groups: G, at most ``count``.
        level: Confidence level.
        bounds: The bounds of the statistic by definition, such as (−1, 1); see :func:`seed_interval`.
        seed: Seed of the groups.

    Returns:
        ``value`` is the statistic of all samples; only the interval is NaN, with a reason, for fewer than two
        samples or if the statistic without a group is undefined.

    Source: Efron (1982), "The Jackknife, the Bootstrap and Other Resampling Plans", chapter 2.

    >>> values = np.arange(40.0)
    >>> estimate = group_interval(lambda rows: float(values[rows].mean()), 40)
    >>> estimate.value, estimate.low < 19.5 < estimate.high
    (19.5, True)
    """
    share(level, "level")
    at_least(groups, 2, "groups")
    method = "jackknife over groups of samples"
    rows = np.arange(count)
    value = statistic(rows) if count else no_samples()
    if np.isnan(value):
        return without_interval(value, count, level, method)
    used = min(groups, count)
    if used < 2:
        return without_interval(float(value), count, level, method, alone("sample"))
    group_of = numpy_generator(seed, "jackknife groups").permutation(rows % used)
    without = np.array([statistic(rows[group_of != group]) for group in range(used)])
    if np.isnan(without).any():
        why = Undefined("undefined without a part of the samples", Reason.UNDEFINED_RESAMPLE)
        return without_interval(float(value), count, level, method, why)
    error = np.sqrt((used - 1) / used * ((without - without.mean()) ** 2).sum())
    half = np.array([float(special.stdtrit(used - 1, (1 + level) / 2) * error)])
    centre = np.array([float(value)])
    low, high = (centre - half, centre + half) if bounds is None else logit_ends(centre, half, half, *bounds)
    return Estimate(float(value), count, float(low[0]), float(high[0]), level, method)


def disjoint_pairs(count: int) -> list[tuple[int, int]]:
    """Pairs of ``count`` networks without shared members: a plain t-interval over them is valid.

    >>> disjoint_pairs(7)
    [(0, 1), (2, 3), (4, 5)]
    """
    return [(k, k + 1) for k in range(0, count - 1, 2)]


def _weights(count: int) -> Floats:
    """Eigenvalues of Σ_i (a_{i−1} + 2a_i + a_{i+1} − 4ā)², a circulant form in the networks' effects a."""
    angles = 2 * np.pi * np.arange(1, count) / count
    eigenvalues: Floats = (2 + 2 * np.cos(angles)) ** 2
    return eigenvalues
