"""Verdicts on the claims of one study, with an error of 5 % for the family instead of each claim."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.optimize import brentq

from bequest.measure.arrays import Floats, one_of, share
from bequest.measure.comparisons import holm
from bequest.measure.intervals import Estimate
from bequest.measure.undefined import Undefined
from bequest.measures import Reason

Direction = Literal["above", "below", "within"]
DIRECTIONS = ("above", "below", "within")
Word = Literal["upheld", "contradicted", "undecided"]
SMALLEST = 1e-12
"""The smallest p-value: float64 cannot represent levels much nearer to 1."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A claim about a number, with its interval at any level.

    Attributes:
        interval: Maps a level to an estimate; intervals of higher level contain those of lower level. For
            example ``lambda level: paired_interval(taught, control, level=level)``.
        direction: ``"above"`` or ``"below"`` the margin, or ``"within"`` ±margin.
        margin: The value that the interval is compared with.
        exact: The values are equal by construction, so that an interval of zero width may decide.
    """

    interval: Callable[[float], Estimate]
    direction: Direction
    margin: float = 0.0
    exact: bool = False


@dataclass(frozen=True, slots=True)
class Judged:
    """The verdict on one claim of a family.

    Attributes:
        verdict: ``"upheld"``, ``"contradicted"`` or ``"undecided"``, by the adjusted interval.
        plain: The estimate at the family's level.
        adjusted: The estimate at the claim's level within the family.
        p_value: 1 − the highest level at which the claim's interval gives a verdict; 1 if none does.
        adjusted_p_value: The same after Holm; there is a verdict if it is below 1 − level.
        reason: Why it is undecided at any level; None if the interval alone decides.
        code: The reason as a code.
    """

    verdict: Word
    plain: Estimate
    adjusted: Estimate
    p_value: float
    adjusted_p_value: float
    reason: str | None = None
    code: Reason | None = None


def verdict_of(direction: Direction, low: float, high: float, margin: float) -> Word:
    """The verdict of an interval; undecided if an end is NaN.

    ``above``: upheld if low > margin, contradicted if high < margin; ``below``: the reverse. ``within``:
    upheld if the interval lies inside ±margin (two one-sided tests; Schuirmann 1987), contradicted if it lies
    outside.

    >>> verdict_of("above", 0.1, 0.3, 0.0), verdict_of("above", -0.1, 0.3, 0.0)
    ('upheld', 'undecided')
    >>> verdict_of("within", 0.2, 0.3, 0.1), verdict_of("within", -0.05, 0.05, 0.1)
    ('contradicted', 'upheld')
    """
    one_of(direction, DIRECTIONS, "direction")
    if direction == "within":
        holds, fails = -margin < low and high < margin, low > margin or high < -margin
    elif direction == "above":
        holds, fails = low > margin, high < margin
    else:
        holds, fails = high < margin, low > margin
    return "upheld" if holds else "contradicted" if fails else "undecided"


def verdict_p_value(claim: Claim) -> float:
    """1 − the highest level at which the claim's interval gives a verdict, in [1e-12, 1].

    For ``above`` and ``below`` it is the two-sided p-value of the margin; for ``within`` twice the larger of
    the two one-sided p-values, or the two-sided one of the nearer margin if the value lies outside. It is
    two-sided since a claim can be upheld wrongly and contradicted wrongly.

    >>> from bequest.measure import paired_interval, paired_p_value
    >>> taught, control = [0.5, 0.7, 0.9], [0.4, 0.5, 0.6]
    >>> p = verdict_p_value(Claim(lambda level: paired_interval(taught, control, level=level), "above"))
    >>> round(p, 4), round(paired_p_value(taught, control), 4)
    (0.0742, 0.0742)
    """

    def clearance(log_p: float) -> float:
        return _clearance(claim, claim.interval(1 - float(np.exp(log_p))))

    # A search over levels serves every kind of interval, and no verdict can disagree with its interval. It is
    # over log(1 − level), since p-values of interest span twelve orders of magnitude.
    lowest, highest = float(np.log(SMALLEST)), float(np.log1p(-1e-9))
    # At a level of almost 0 the interval is almost a point: no verdict there means none at any level.
    if clearance(highest) <= 0:
        return 1.0
    if clearance(lowest) > 0:
        return SMALLEST
    return float(np.exp(brentq(clearance, lowest, highest, xtol=1e-6)))


def judge_family(claims: Sequence[Claim], *, level: float = 0.95) -> list[Judged]:
    """A verdict on each claim, such that the probability of any wrong one is at most 1 − level.

    Holm (1979) over :func:`verdict_p_value`, written as intervals: comparing the k-th smallest p-value of M
    with (1 − level)/(M − k + 1) is the claim's interval at level 1 − (1 − level)/(M − k + 1); after the first
    claim without a verdict all others keep that level. It holds for any dependence between the claims, which
    share controls and seeds. A claim with an undefined value is undecided and counts too: the size of a
    family must not depend on its data.

    An interval of zero width gives no verdict unless the claim is ``exact``: equal seeds show that the
    property is coarse, not that it is certain.

    Args:
        claims: The claims of one study that were made before its data.
        level: Confidence level of the family; at one of several looks, that of
            :func:`~bequest.measure.look_levels`.

    Raises:
        DataError: If a direction or the level is out of range.

    >>> from bequest.measure import seed_interval
    >>> strong, weak = [0.30, 0.31, 0.29, 0.30], [0.05, 0.15, 0.02, 0.13]
    >>> claims = [Claim(lambda level, v=v: seed_interval(v, level=level), "above") for v in (strong, weak)]
    >>> [(j.verdict, round(j.adjusted.level, 3)) for j in judge_family(claims)]
    [('upheld', 0.975), ('undecided', 0.95)]
    """
    share(level, "level")
    plain = [claim.interval(level) for claim in claims]
    silent = [_silence(claim, estimate) for claim, estimate in zip(claims, plain, strict=True)]
    p_values = np.array(
        [
            1.0 if why is not None else verdict_p_value(claim)
            for claim, why in zip(claims, silent, strict=True)
        ]
    )
    adjusted_p_values = holm(p_values)
    judged = []
    for k, (claim, why) in enumerate(zip(claims, silent, strict=True)):
        in_family = claim.interval(_level_within(adjusted_p_values, p_values, k, level))
        judged.append(
            Judged(
                "undecided" if why is not None else _verdict(claim, in_family),
                plain[k],
                in_family,
                float(p_values[k]),
                float(adjusted_p_values[k]),
                why.reason if why is not None else None,
                why.code if why is not None else None,
            )
        )
    return judged


def _verdict(claim: Claim, estimate: Estimate) -> Word:
    if estimate.low == estimate.high and not claim.exact:
        return "undecided"
    return verdict_of(claim.direction, estimate.low, estimate.high, claim.margin)


def _clearance(claim: Claim, estimate: Estimate) -> float:
    """The distance of an interval from giving no verdict, above 0 if it gives one; squashed to (−1, 1).

    Intervals at levels near 1 are longer by orders of magnitude, which would mislead a root finder.
    """
    low, high, margin = estimate.low, estimate.high, claim.margin
    if np.isnan(low) or np.isnan(high):
        return -1.0
    if claim.direction == "within":
        distance = max(min(margin - high, low + margin), low - margin, -margin - high)
    else:
        distance = max(low - margin, margin - high)
    return distance / (high - low + abs(distance)) if high > low else np.sign(distance)


def _silence(claim: Claim, estimate: Estimate) -> Undefined | None:
    """Why the claim gets no verdict at any level; None if its interval decides."""
    if np.isnan(estimate.value) or np.isnan(estimate.low) or np.isnan(estimate.high):
        return Undefined(estimate.reason or "no interval", estimate.code or Reason.OTHER)
    if estimate.low == estimate.high and not claim.exact:
        return Undefined(estimate.reason or "the interval has no width", Reason.NO_WIDTH)
    return None


def _level_within(adjusted: Floats, p_values: Floats, k: int, level: float) -> float:
    """The level of claim ``k`` in Holm's procedure: of its rank if decided, else of the first that is not."""
    decided = adjusted < 1 - level
    rank = int((decided & (p_values < p_values[k])).sum()) if decided[k] else int(decided.sum())
    return 1 - (1 - level) / max(len(p_values) - rank, 1)
