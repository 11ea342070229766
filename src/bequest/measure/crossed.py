"""Intervals of means over seeds and samples, for other seeds and other samples.

Model: value(s, i) = mean + seed effect a_s + sample effect b_i + rest e_si, all independent (two-way random
effects, one value per cell). Then var(grand mean) = var(a)/S + var(b)/N + var(e)/(S·N), and

* the variance of the S seed means, divided by S, estimates var(a)/S + var(e)/(S·N), with S − 1 degrees of
  freedom;
* the variance of the N sample means minus var(e)/S, divided by N, estimates var(b)/N.

An interval over seeds alone covers the first part only: it says nothing about other test samples.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import optimize, special

from bequest.errors import DataError
from bequest.measure.arrays import Array, Floats, features, share
from bequest.measure.intervals import Estimate, alone, bounded, without_interval
from bequest.measure.ratios import ratio_remark
from bequest.measure.undefined import Undefined, code_of, no_samples, reason_of
from bequest.measures import Reason

METHOD = "crossed over seeds and samples"

ROUNDING = np.array([[2.0, 1.0], [1.0, 2.0]])
"""Covariance of taught − control and teacher − control if each of the three has a rounding error of variance
1."""
FURTHEST = 1e15
"""A ratio further than this from the estimated one counts as infinite."""


@dataclass(frozen=True, slots=True)
class _Parts:
    """K grand means, and their covariances by source, (K, K) each."""

    means: Floats
    by_seed: Floats
    by_sample: Floats
    shape: tuple[int, int]


def crossed_interval(
    values: Array,
    *,
    level: float = 0.95,
    bounds: tuple[float, float] | None = None,
    resolution: float = 0.0,
) -> Estimate:
    """The mean over seeds and samples with an interval for other seeds and other samples.

    With the two variance components of this module, the half-width is the mean of two: that of Graybill &
    Wang (1980), √(t²_{S−1}·V_seed + z²·V_sample), which is slightly too wide, and that of Satterthwaite
    (1946), t_ν·√(V_seed + V_sample) with ν = V²/(V_seed²/(S−1) + V_sample²/(N−1)), which is too narrow by as
    much (``benchmarks/verdicts.py``); they are equal if one component is 0. Above 95 % the second is
    increasingly too narrow, since its ν takes an estimated component whose true value is 0 for certain: its
    weight falls from a half at 95 % with 1 − level. The seed-only interval of the same table is
    :func:`~bequest.measure.seed_interval` of its row means.

    Args:
        values: (S, N), one number for each seed and sample, such as 1.0 for right and 0.0 for wrong, or the
            difference of two models' at the same seed and sample.
        level: Confidence level.
        bounds: The bounds of the values by definition, such as (0, 1) for a share; see
            :func:`~bequest.measure.seed_interval`.
        resolution: The step in which seeds can differ, 1/N for a share of N samples: a spread over seeds
            below the rounding error of a difference (resolution/√6) counts as rounding. If all seeds and
            samples are equal the interval is at least ± one step. 0 if there is no step.

    Returns:
        ``n`` counts seeds. The interval alone is NaN, with a reason, with one seed or one sample.

    Raises:
        DataError: If ``values`` is not (S, N), or a number is not finite.

    Source: Searle, Casella & McCulloch (1992), "Variance Components", chapter 4 (the estimators); Owen
    (2007), "The pigeonhole bootstrap" (why resampling seeds alone, or cells, is wrong).

    >>> table = np.random.default_rng(0).normal(size=(5, 200))
    >>> estimate = crossed_interval(table)
    >>> estimate.low < estimate.value < estimate.high, estimate.n
    (True, 5)
    """
    share(level, "level")
    table = features(values, "values")
    missing = _too_little(table)
    if missing is not None:
        value = missing if not table.size else float(table.mean())
        return without_interval(value, len(table), level, METHOD, missing)
    parts = _parts(table[None])
    value = float(parts.means[0])
    half = _half_width(parts, np.ones(1), level)
    equal = half <= 1e-12 * float(np.abs(table).max())  # means of equal rows may differ in the last digit
    if resolution > 0:
        half = _half_width(_rounded(parts, np.full((1, 1), resolution**2 / 6)), np.ones(1), level)
    elif equal:
        half = 0.0
    reason, code = None, None
    if equal:
        reason, code = "all seeds and samples are equal", Reason.NO_WIDTH
        if resolution > 0:
            reason += f"; the interval is that of their resolution, {resolution:.2g}"
            half, code = max(half, resolution), Reason.AT_RESOLUTION
    estimate = Estimate(value, len(table), value - half, value + half, level, METHOD, reason, code)
    return estimate if bounds is None else bounded(estimate, *bounds)


def crossed_inheritance(
    taught: Array, control: Array, teacher: Array, *, level: float = 0.95, resolution: float = 0.0
) -> Estimate:
    """The inheritance of a mean over samples, with an interval for other seeds and other samples.

    (mean of taught − control) / (mean of teacher − control), as :func:`~bequest.measure.inheritance`; its
    interval is Fieller's with the crossed variance: the ratios r at which the :func:`crossed_interval` of
    taught − control − r·(teacher − control) contains 0.

    Args:
        taught: (S, N), the property of the taught student at each seed and sample.
        control: (S, N), that of its control at the same seeds and samples.
        teacher: (S, N), that of its teacher; repeat the row if one teacher taught all.
        level: Confidence level, of the interval and of the test whether there is a gap.
        resolution: The step in which seeds can differ; see :func:`~bequest.measure.inheritance`.

    Returns:
        ``value`` is NaN, with a reason, if the crossed interval of teacher − control contains 0 or does not
        exist. An end is infinite if that interval excludes 0 by less than rounding.

    Raises:
        DataError: If shapes differ, or a number is not finite.

    >>> rng = np.random.default_rng(0)
    >>> control, teacher = (rng.random((5, 300)) < p for p in (0.2, 0.9))
    >>> taught = np.where(rng.random((5, 300)) < 0.5, control, teacher)
    >>> estimate = crossed_inheritance(*(1.0 * side for side in (taught, control, teacher)))
    >>> estimate.low < 0.5 < estimate.high
    True
    """
    share(level, "level")
    method = "fieller, crossed"
    tables = [
        features(side, name)
        for side, name in ((taught, "taught"), (control, "control"), (teacher, "teacher"))
    ]
    p, c, t = tables
    if not p.shape == c.shape == t.shape:
        raise DataError(
            "taught, control and teacher differ in shape",
            expected="(S, N), the same seeds and samples",
            got=", ".join(str(side.shape) for side in tables),
        )
    missing = _too_little(p)
    if missing is not None:
        return without_interval(missing, len(p), level, method)
    # The gap is tested with the covariances of the ratio. Made positive for both differences together they
    # are not those of the gap alone, and ratios form an interval only if the gap excludes 0 with them.
    parts = _rounded(_parts(np.stack([p - c, t - c])), resolution**2 / 12 * ROUNDING)
    gap, half = float(parts.means[1]), _half_width(parts, np.array([0.0, 1.0]), level)
    if abs(gap) <= half:
        reason = (
            f"teacher and control do not differ: {gap:.3g} [{gap - half:.3g}, {gap + half:.3g}] "
            f"over {len(p)} seeds and {p.shape[1]} samples"
        )
        return without_interval(Undefined(reason, Reason.NO_GAP), len(p), level, method)
    value = float(parts.means[0] / parts.means[1])
    ends = _end(parts, value, level, -1), _end(parts, value, level, 1)
    remark = ratio_remark(*ends)
    return Estimate(value, len(p), *ends, level, method, reason_of(remark), code_of(remark))


def _parts(tables: Floats) -> _Parts:
    """From (K, S, N): the grand means, and the parts of their covariances from seeds and from samples."""
    _, seeds, count = tables.shape
    means = tables.mean(axis=(1, 2))
    rows, columns = tables.mean(axis=2), tables.mean(axis=1)
    rest = tables - rows[:, :, None] - columns[:, None, :] + means[:, None, None]
    within = np.einsum("ksi,lsi->kl", rest, rest) / ((seeds - 1) * (count - 1))
    # The means of samples still hold 1/S of the rest's variance.
    by_sample = np.atleast_2d(np.cov(columns)) - within / seeds
    by_seed = np.atleast_2d(np.cov(rows)) / seeds
    return _Parts(means, by_seed, _positive(by_sample) / count, (seeds, count))


def _rounded(parts: _Parts, rounding: Floats) -> _Parts:
    """The parts, with ``rounding`` (K, K) of one seed added if seeds spread by less than that."""
    least = rounding / parts.shape[0]
    if (np.diag(parts.by_seed) >= np.diag(least)).all():
        return parts
    return replace(parts, by_seed=parts.by_seed + least)


def _positive(covariance: Floats) -> Floats:
    """The nearest covariance matrix: an estimated variance component below 0 is set to 0."""
    sizes, axes = np.linalg.eigh(covariance)
    nearest: Floats = (axes * np.maximum(sizes, 0.0)) @ axes.T
    return nearest


def _half_width(parts: _Parts, weights: Floats, level: float) -> float:
    """Half the width of the interval of the weighted sum of means; see :func:`crossed_interval`."""
    seeds, count = parts.shape
    by_seed, by_sample = float(weights @ parts.by_seed @ weights), float(weights @ parts.by_sample @ weights)
    total = by_seed + by_sample
    if total <= 0:
        return 0.0
    tail = (1 + level) / 2
    wide = np.sqrt(special.stdtrit(seeds - 1, tail) ** 2 * by_seed + special.ndtri(tail) ** 2 * by_sample)
    freedom = total**2 / (by_seed**2 / (seeds - 1) + by_sample**2 / (count - 1))
    narrow = special.stdtrit(freedom, tail) * np.sqrt(total)
    # The simulations behind this weight are in docs/negative-results.md ("Half of Satterthwaite's interval").
    weight = min(0.5, 0.5 * (1 - level) / 0.05)
    return float((1 - weight) * wide + weight * narrow)


def _end(parts: _Parts, ratio: float, level: float, side: int) -> float:
    """The ratio on one side of the estimated one at which the interval of a − r·b begins to exclude 0."""

    def outside(other: float) -> float:
        weights = np.array([1.0, -other])
        return abs(float(weights @ parts.means)) - _half_width(parts, weights, level)

    if outside(ratio) >= 0:
        return ratio  # zero width: a and b have the same ratio at every seed and sample
    step = max(abs(ratio), 1.0) * 1e-3
    # The interval of b alone excludes 0, so that the one of a − r·b does so for large enough r.
    while outside(ratio + side * step) < 0:
        if step > FURTHEST:
            return side * np.inf
        step *= 2
    near, far = sorted([ratio, ratio + side * step])
    return float(optimize.brentq(outside, near, far, xtol=1e-12))


def _too_little(table: Floats) -> Undefined | None:
    if not table.size:
        return no_samples("seeds" if not len(table) else "samples")
    if 1 in table.shape:
        return alone("seed" if len(table) == 1 else "sample")
    return None
