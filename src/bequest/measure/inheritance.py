"""How much of a teacher's property its student inherited."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np

from bequest.measure.arrays import Floats, Values, at_least, one_of, same_length, vector
from bequest.measure.intervals import (
    DRAWS,
    Estimate,
    bootstrap_means,
    paired_interval,
    t_quantile,
    undefined_mean,
    without_interval,
)
from bequest.measure.ratios import ratio_ends, ratio_remark
from bequest.measure.undefined import Undefined, code_of, reason_of
from bequest.measures import Reason

RatioMethod = Literal["fieller", "bootstrap"]
RATIO_METHODS = ("fieller", "bootstrap")


def inheritance(
    taught: Values,
    control: Values,
    teacher: Values,
    *,
    level: float = 0.95,
    method: RatioMethod = "fieller",
    resolution: float = 0.0,
    draws: int = DRAWS,
    seed: int = 0,
) -> Estimate:
    """(P(taught) − P(control)) / (P(teacher) − P(control)), means over seeds, with an interval of the ratio.

    0: no nearer to the teacher than the control; 1: the whole gap is closed; values outside [0, 1] occur and
    are not clipped. Lower values of P may be better. For a similarity to the teacher, ``teacher`` is the
    ceiling: another seed of its family.

    ``"fieller"``: the set of ratios r that a t-test of taught − control − r·(teacher − control) does not
    reject, an interval whenever the gap is significant (Fieller 1954). ``"bootstrap"``: percentiles of the
    ratio over resamples of the seeds, the three values of a seed kept together; too narrow below about ten
    seeds.

    Args:
        taught: (N,), the property of the taught student at each seed.
        control: (N,), that of its control at the same seeds.
        teacher: (N,), that of its teacher at the same seeds; repeat it if one teacher taught all.
        level: Confidence level, of the interval and of the test whether there is a gap.
        method: ``"fieller"`` or ``"bootstrap"``.
        resolution: The step in which values can differ, 1/N for a share of N samples: the spread in Fieller's
            interval is at least the rounding error. 0 if there is no step.
        draws: Resamples of the bootstrap.
        seed: Seed of the bootstrap.

    Returns:
        ``value`` is NaN, with a reason and its code, if the paired interval of teacher − control contains 0
        (``Reason.NO_GAP``) or does not exist (``Reason.ONE_SEED``: one seed cannot tell). For Fieller's
        interval that of teacher − control is taken with the rounding error, if one is added.

    Raises:
        DataError: If lengths differ, or level or method is unknown.

    >>> result = inheritance([0.50, 0.54, 0.49], [0.10, 0.12, 0.11], [0.90, 0.93, 0.92])
    >>> round(result.value, 3), round(result.low, 3), round(result.high, 3)
    (0.496, 0.434, 0.558)
    """
    one_of(method, RATIO_METHODS, "method")
    at_least(draws, 1, "draws")
    p, c, t = vector(taught, "taught"), vector(control, "control"), vector(teacher, "teacher")
    same_length(taught=p, control=c, teacher=t)
    missing = _no_ratio(p - c, t - c, paired_interval(t, c, level=level, resolution=resolution))
    if missing is not None:
        return without_interval(missing, len(p), level, method)
    gained, gap = p - c, t - c
    if method == "fieller":
        ends = _fieller(gained, gap, level, resolution)
        if isinstance(ends, Undefined):
            return without_interval(ends, len(p), level, method)
    else:
        ends = _bootstrap(gained, gap, level, draws, seed)
    note = ratio_remark(*ends)
    value = float(gained.mean() / gap.mean())
    return Estimate(value, len(p), *ends, level, method, reason_of(note), code_of(note))


def inheritance_profile(
    properties: Mapping[str, tuple[Values, Values, Values]],
    *,
    level: float = 0.95,
    method: RatioMethod = "fieller",
) -> dict[str, Estimate]:
    """The inheritance of each property from its (taught, control, teacher) values; undefined ones stay in.

    >>> profile = inheritance_profile({"accuracy": ([0.5, 0.6], [0.1, 0.2], [0.9, 1.0])})
    >>> round(profile["accuracy"].value, 3)
    0.5
    """
    return {name: inheritance(*values, level=level, method=method) for name, values in properties.items()}


def _no_ratio(gained: Floats, gap: Floats, gap_found: Estimate) -> Undefined | None:
    """Why the ratio is undefined; None if it is defined."""
    missing = undefined_mean(gained + gap, "seed")
    if missing is not None:
        return missing
    if len(gap) == 1:
        return Undefined("one seed cannot tell whether teacher and control differ", Reason.ONE_SEED)
    if not gap_found.excludes_zero:
        return _no_gap(gap_found.value, gap_found.low, gap_found.high, gap_found.n)
    return None


def _no_gap(gap: float, low: float, high: float, seeds: int) -> Undefined:
    reason = f"teacher and control do not differ: {gap:.3g} [{low:.3g}, {high:.3g}] over {seeds} seeds"
    return Undefined(reason, Reason.NO_GAP)


def _fieller(gained: Floats, gap: Floats, level: float, resolution: float) -> tuple[float, float] | Undefined:
    """Ends of Fieller's interval; undefined if the gap is not significant with the covariance used here."""
    n = len(gap)
    covariance = np.cov(gained, gap)
    # Each of the three values is rounded by up to ±resolution/2, with variance resolution²/12; the control is
    # a part of both differences, hence the covariance.
    rounding = resolution**2 / 12 * np.array([[2.0, 1.0], [1.0, 2.0]])
    if (np.diag(covariance) < np.diag(rounding)).any():
        covariance = covariance + rounding
    squared, mean = covariance * t_quantile(level, n) ** 2 / n, float(gap.mean())
    half = float(np.sqrt(squared[1, 1]))
    # Rounding that is added because the gains hardly spread may hide a gap whose plain interval excludes 0:
    # the ratios that are not rejected are then no interval.
    if abs(mean) <= half:
        return _no_gap(mean, mean - half, mean + half, n)
    return ratio_ends(np.array([gained.mean(), mean]), squared)


def _bootstrap(gained: Floats, gap: Floats, level: float, draws: int, seed: int) -> tuple[float, float]:
    means = bootstrap_means(np.stack([gained, gap], axis=1), draws, seed)
    # A gap that changes sign among resamples makes ratios run through infinity: no percentile means anything.
    if (means[:, 1] * gap.mean() <= 0).any():
        return np.nan, np.nan
    low, high = np.quantile(means[:, 0] / means[:, 1], [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
