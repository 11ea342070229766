"""Confidence intervals over seeds, samples, both, and pairs of either."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import sqrt
from typing import Literal

import numpy as np
from scipy import special

from bequest.errors import DataError
from bequest.measure.arrays import (
    Array,
    Floats,
    Integers,
    Values,
    at_least,
    features,
    flags,
    one_of,
    same_length,
    share,
    vector,
)
from bequest.measure.bounds import logit_ends
from bequest.measure.undefined import Undefined, code_of, no_samples, reason_of
from bequest.measures import Reason
from bequest.seeding import numpy_generator

Method = Literal["t", "bootstrap"]
METHODS = ("t", "bootstrap")
DRAWS = 9_999
BLOCK = 1 << 17
"""Numbers that are resampled at once: 1 MiB of float64, which fits into the processor's cache."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its n and its interval.

    Attributes:
        value: The estimate; NaN if it is undefined.
        n: The number of seeds, pairs or samples.
        low: Lower end of the interval; NaN if there is none.
        high: Upper end.
        level: Confidence level, such as 0.95.
        method: The kind of interval.
        reason: Why the value or its interval is undefined or has zero width; None otherwise.
        code: The reason as a code.
    """

    value: float
    n: int
    low: float
    high: float
    level: float
    method: str
    reason: str | None = None
    code: Reason | None = None

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval exists and lies on one side of zero."""
        return self.low > 0 or self.high < 0


def seed_interval(
    values: Values,
    *,
    level: float = 0.95,
    method: Method = "t",
    bounds: tuple[float, float] | None = None,
    resolution: float = 0.0,
    draws: int = DRAWS,
    seed: int = 0,
) -> Estimate:
    """The mean over seeds with an interval for the mean over all possible seeds.

    ``"t"``: mean ± t_{n−1}·s/√n, exact for normal values. ``"bootstrap"``: percentiles of the means of
    ``draws`` resamples of the seeds; too narrow below about ten seeds.

    Args:
        values: (N,), one number per seed; NaN if it is undefined at a seed.
        level: Confidence level.
        method: ``"t"`` or ``"bootstrap"``.
        bounds: The bounds of the values by definition, such as (0, 1) for a share: the interval is then made
            on the logit of the mean (delta method) and stays between them. None for a mean without bounds.
        resolution: The step in which values can differ, 1/N for a share of N samples: a spread below the
            rounding error (resolution/√12) counts as rounding. 0 if there is no step.
        draws: Resamples of the bootstrap.
        seed: Seed of the bootstrap.

    Returns:
        ``value`` is NaN, with a reason, without seeds or if a seed is undefined; with one seed only the
        interval is NaN.

    Raises:
        DataError: If level or method is unknown, or a value infinite.

    >>> result = seed_interval([0.90, 0.92, 0.94])
    >>> round(result.value, 3), round(result.low, 3), round(result.high, 3)
    (0.92, 0.87, 0.97)
    """
    seeds = vector(values, "values")
    estimate = _mean(seeds, "seed", level, method, draws, seed, resolution, resolution / sqrt(12))
    return estimate if bounds is None else bounded(estimate, *bounds)


def paired_interval(
    treated: Values,
    control: Values,
    *,
    level: float = 0.95,
    method: Method = "t",
    resolution: float = 0.0,
    draws: int = DRAWS,
    seed: int = 0,
) -> Estimate:
    """The mean of ``treated − control`` over pairs, with its interval.

    Pairing (by seed or by sample) removes the variance that both share; see :func:`seed_interval` for the
    methods.

    Args:
        treated: (N,), one number per pair.
        control: (N,), the other of each pair, in the same order.
        level: Confidence level.
        method: ``"t"`` or ``"bootstrap"``.
        resolution: The step in which values can differ, as in :func:`seed_interval`; a difference of two has
            a rounding error of resolution/√6. Equal differences get at least ± one step instead of an
            interval of zero width.
        draws: Resamples of the bootstrap.
        seed: Seed of the bootstrap.

    Raises:
        DataError: If lengths differ, or as :func:`seed_interval`.

    >>> result = paired_interval([0.5, 0.7, 0.9], [0.4, 0.5, 0.6])
    >>> round(result.value, 3), round(result.low, 3), round(result.high, 3), result.n
    (0.2, -0.048, 0.448, 3)
    """
    first, second = vector(treated, "treated"), vector(control, "control")
    same_length(treated=first, control=second)
    least = resolution / sqrt(6)
    return _mean(first - second, "pair", level, method, draws, seed, resolution, least)


def sample_interval(
    values: Values, *, level: float = 0.95, method: Method = "bootstrap", draws: int = DRAWS, seed: int = 0
) -> Estimate:
    """The mean over samples of one model, with an interval for the mean over all such samples.

    Args:
        values: (N,), one number per sample, such as its loss; for right or wrong see
            :func:`proportion_interval`.
        level: Confidence level.
        method: ``"bootstrap"`` (percentiles) or ``"t"``.
        draws: Resamples of the bootstrap.
        seed: Seed of the bootstrap.

    >>> result = sample_interval(np.arange(101.0))
    >>> result.value, 43 < result.low < 46, 54 < result.high < 57
    (50.0, True, True)
    """
    return _mean(vector(values, "values"), "sample", level, method, draws, seed)


def proportion_interval(correct: Array, *, level: float = 0.95) -> Estimate:
    """The share of right samples with Wilson's (1927) interval, whose width is not zero at 0 and 1.

    Args:
        correct: bool, (N,).
        level: Confidence level.

    >>> result = proportion_interval(np.array([True] * 10))
    >>> result.value, round(result.low, 3), result.high
    (1.0, 0.722, 1.0)
    """
    hits = flags(correct, "correct")
    share(level, "level")
    if not len(hits):
        return without_interval(no_samples(), 0, level, "wilson")
    from scipy.stats import binomtest  # slow to import, and needed here alone

    interval = binomtest(int(hits.sum()), len(hits)).proportion_ci(level, method="wilson")
    return Estimate(float(hits.mean()), len(hits), float(interval.low), float(interval.high), level, "wilson")


def bootstrap_interval(
    statistic: Callable[[Integers], float],
    count: int,
    *,
    level: float = 0.95,
    draws: int = 999,
    seed: int = 0,
) -> Estimate:
    """A statistic of all samples, with the percentiles of that statistic over resamples of them.

    For statistics that are no means: calibration errors, kappa, CKA. Percentiles are not corrected for bias:
    an ECE is biased upwards, and its resamples are biased twice.

    Args:
        statistic: Maps row numbers (N,) to the statistic of those rows.
        count: How many samples there are.
        level: Confidence level.
        draws: Resamples.
        seed: Seed of the resamples.

    Returns:
        ``value`` is the statistic of all samples; only the interval is NaN, with a reason, if the statistic
        of a resample is undefined.

    >>> values = np.arange(50.0)
    >>> result = bootstrap_interval(lambda rows: float(np.median(values[rows])), 50)
    >>> result.low < result.value < result.high
    True
    """
    share(level, "level")
    at_least(draws, 1, "draws")
    value = statistic(np.arange(count)) if count else no_samples()
    if np.isnan(value):
        return without_interval(value, count, level, "bootstrap")
    generator = numpy_generator(seed, "bootstrap")
    resampled = np.array([statistic(generator.integers(0, count, size=count)) for _ in range(draws)])
    missing = int(np.isnan(resampled).sum())
    if missing:
        why = Undefined(f"undefined in {missing} of {draws} resamples", Reason.UNDEFINED_RESAMPLE)
        return without_interval(float(value), count, level, "bootstrap", why)
    low, high = _percentiles(resampled, level)
    return Estimate(float(value), count, low, high, level, "bootstrap")


def seed_sample_interval(
    values: Array, *, level: float = 0.95, draws: int = DRAWS, seed: int = 0
) -> Estimate:
    """The mean over seeds and samples, with an interval for other seeds and other samples.

    Each resample draws seeds, then samples. All its seeds see the same drawn samples, as all models see one
    test set, so that the variance from samples does not average out over seeds. Too narrow below about ten
    seeds.

    Args:
        values: (S, N), one number for each seed and sample, such as 1.0 for right and 0.0 for wrong.
        level: Confidence level.
        draws: Resamples.
        seed: Seed of the bootstrap.

    Returns:
        ``n`` counts seeds. With one seed or one sample the interval is NaN, with a reason.

    Raises:
        DataError: If ``values`` is not (S, N), or a number is not finite.

    >>> result = seed_sample_interval(np.random.default_rng(0).normal(size=(5, 200)))
    >>> result.low < result.value < result.high, result.n
    (True, 5)
    """
    share(level, "level")
    at_least(draws, 1, "draws")
    table, method = features(values, "values"), "bootstrap over seeds, then samples"
    if not table.size:
        missing = no_samples("seeds" if not len(table) else "samples")
        return without_interval(missing, len(table), level, method)
    value = float(table.mean())
    if 1 in table.shape:
        return without_interval(
            value, len(table), level, method, alone("seed" if len(table) == 1 else "sample")
        )
    low, high = _percentiles(_crossed_means(table, draws, seed), level)
    return Estimate(value, len(table), low, high, level, method)


def bootstrap_means(values: Floats, draws: int, seed: int) -> Floats:
    """Means of ``draws`` resamples of the rows of ``values``, (draws,) or (draws, K), computed in blocks."""
    generator = numpy_generator(seed, "bootstrap")
    count = len(values)
    step = max(BLOCK // max(values.size, 1), 1)
    blocks = []
    for start in range(0, draws, step):
        rows = generator.integers(0, count, size=(min(step, draws - start), count))
        blocks.append(values[rows].mean(axis=1))
    return np.concatenate(blocks)


def _crossed_means(table: Floats, draws: int, seed: int) -> Floats:
    """Means of ``draws`` resamples of rows and columns, (draws,), by counts of the columns, in blocks."""
    generator = numpy_generator(seed, "crossed bootstrap")
    seeds, count = table.shape
    step = max(BLOCK // count, 1)
    blocks = []
    for start in range(0, draws, step):
        size = min(step, draws - start)
        # Each draw counts in a range of its own, so that one bincount and one product serve the whole block.
        drawn = generator.integers(0, count, size=(size, count)) + count * np.arange(size)[:, None]
        often = np.bincount(drawn.ravel(), minlength=size * count).reshape(size, count)
        means = often.astype(np.float64) @ table.T / count
        rows = generator.integers(0, seeds, size=(size, seeds))
        blocks.append(np.take_along_axis(means, rows, axis=1).mean(axis=1))
    return np.concatenate(blocks)


def bounded(estimate: Estimate, least: float, most: float) -> Estimate:
    """The same estimate with its interval between two bounds; see :func:`seed_interval`."""
    mean, low, high = (np.array([number]) for number in (estimate.value, estimate.low, estimate.high))
    low, high = logit_ends(mean, mean - low, high - mean, least, most)
    return replace(estimate, low=float(low[0]), high=float(high[0]), method=f"{estimate.method}, logit")


def _mean(
    values: Floats,
    unit: str,
    level: float,
    method: str,
    draws: int,
    seed: int,
    resolution: float = 0.0,
    least: float = 0.0,
) -> Estimate:
    share(level, "level")
    one_of(method, METHODS, "method")
    at_least(draws, 1, "draws")
    if np.isinf(values).any():
        raise DataError("a value is infinite", expected="finite numbers, or NaN where undefined")
    missing = undefined_mean(values, unit)
    if missing is not None:
        return without_interval(missing, len(values), level, method)
    value = float(values.mean())
    if len(values) == 1:
        return without_interval(value, 1, level, method, alone(unit))
    if (values == values[0]).all():
        return _equal(value, len(values), unit, level, method, resolution, least)
    if method == "t":
        low, high = _t_ends(values, level, least)
    else:
        low, high = _bootstrap_ends(values, level, draws, seed)
    return Estimate(value, len(values), low, high, level, method)


def without_interval(
    value: float, n: int, level: float, method: str, why: Undefined | None = None
) -> Estimate:
    """A value without an interval: for the reason ``why``, or because the value itself is undefined."""
    cause = value if why is None else why
    return Estimate(value, n, np.nan, np.nan, level, method, reason_of(cause), code_of(cause))


def undefined_mean(values: Floats, unit: str) -> Undefined | None:
    """Why ``values`` have no mean; None if they have one."""
    if not len(values):
        return no_samples(f"{unit}s")
    missing = int(np.isnan(values).sum())
    if not missing:
        return None
    return Undefined(f"undefined in {missing} of {len(values)} {unit}s", Reason.UNDEFINED_SEED)


def alone(unit: str) -> Undefined:
    """Why one value has no interval: a spread needs two."""
    code = Reason.TOO_FEW if unit == "sample" else Reason.ONE_SEED
    return Undefined(f"one {unit} has no interval", code)


def _equal(
    value: float, n: int, unit: str, level: float, method: str, resolution: float, least: float
) -> Estimate:
    """The interval of equal values: of zero width, or as wide as their resolution requires."""
    reason = f"all {unit}s are equal"
    if resolution <= 0:
        return Estimate(value, n, value, value, level, method, reason, Reason.NO_WIDTH)
    # Values that round to the same step may differ by almost one step.
    half = max(t_quantile(level, n) * least / float(np.sqrt(n)), resolution)
    reason += f"; the interval is that of their resolution, {resolution:.2g}"
    return Estimate(value, n, value - half, value + half, level, method, reason, Reason.AT_RESOLUTION)


def _t_ends(values: Floats, level: float, least: float = 0.0) -> tuple[float, float]:
    half = t_quantile(level, len(values)) * max(values.std(ddof=1), least) / np.sqrt(len(values))
    return float(values.mean() - half), float(values.mean() + half)


def t_quantile(level: float, count: int) -> float:
    """The two-sided quantile of Student's t for the mean of ``count`` values."""
    # The core of scipy.stats.t.ppf without its 50 µs of checks: judging a family calls this often.
    return float(special.stdtrit(count - 1, (1 + level) / 2))


def _bootstrap_ends(values: Floats, level: float, draws: int, seed: int) -> tuple[float, float]:
    return _percentiles(bootstrap_means(values, draws, seed), level)


def _percentiles(values: Floats, level: float) -> tuple[float, float]:
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
