"""Multiple comparisons: p-values and their adjustment."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from bequest.errors import DataError
from bequest.measure.arrays import Values, at_least, same_length, share, vector
from bequest.measure.undefined import Undefined
from bequest.measures import Reason


def paired_p_value(treated: Values, control: Values) -> float:
    """The two-sided p-value of Student's paired t-test that the mean difference is 0, in [0, 1].

    It is below 1 − level exactly where :func:`~bequest.measure.paired_interval` at that level excludes 0.

    Args:
        treated: (N,), one number per pair.
        control: (N,), the other of each pair, in the same order.

    Returns:
        NaN with a reason for fewer than two pairs, or if a value is undefined.

    Raises:
        DataError: If lengths differ.

    >>> round(paired_p_value([0.5, 0.7, 0.9], [0.4, 0.5, 0.6]), 4)
    0.0742
    """
    first, second = vector(treated, "treated"), vector(control, "control")
    if same_length(treated=first, control=second) < 2:
        return Undefined(
            f"{len(first)} pairs; a test needs 2 or more",
            Reason.ONE_SEED if len(first) else Reason.NO_SAMPLES,
        )
    gaps = first - second
    if np.isnan(gaps).any():
        reason = f"undefined in {int(np.isnan(gaps).sum())} of {len(gaps)} pairs"
        return Undefined(reason, Reason.UNDEFINED_SEED)
    # Without a spread t is 0/0 or infinite, for which SciPy warns.
    if (gaps == gaps[0]).all():
        return 1.0 if gaps[0] == 0 else 0.0
    from scipy import stats  # slow to import, and needed here alone

    return float(stats.ttest_1samp(gaps, 0.0).pvalue)


def holm(p_values: Values) -> Float[np.ndarray, " m"]:
    """p-values adjusted for their number, (M,): any false one is below α with a probability of at most α.

    Holm (1979): the k-th smallest is multiplied by M − k + 1, and the results are made non-decreasing. It
    holds for any dependence between the comparisons.

    Args:
        p_values: (M,), in [0, 1]; NaN for an undefined comparison, which stays NaN and is not counted.

    Raises:
        DataError: If a value is not in [0, 1].

    >>> holm([0.01, 0.04, 0.03]).tolist()
    [0.03, 0.06, 0.06]
    """
    adjusted = vector(p_values, "p_values")
    defined = np.flatnonzero(~np.isnan(adjusted))
    if (adjusted[defined] < 0).any() or (adjusted[defined] > 1).any():
        raise DataError("p-values are out of range", expected="0..1", got=adjusted[defined].tolist())
    order = defined[np.argsort(adjusted[defined], kind="stable")]
    factors = np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(adjusted[order] * factors), 1.0)
    return adjusted


def simultaneous_level(level: float, comparisons: int) -> float:
    """The level of each of ``comparisons`` intervals that all hold together at ``level`` (Bonferroni).

    >>> round(simultaneous_level(0.95, 10), 6)
    0.995
    """
    share(level, "level")
    at_least(comparisons, 1, "comparisons")
    return 1 - (1 - level) / comparisons
