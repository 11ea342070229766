"""Estimates over seeds as records."""

from __future__ import annotations

import numpy as np

from bequest.measure import Estimate, reason_of, seed_interval
from bequest.records import Measurement


def from_estimate(
    found: Estimate, per_seed: dict[int, float], *, measure: str, arm: str, **where: str | None
) -> Measurement:
    """A measurement out of an estimate over seeds."""
    return Measurement(
        measure=measure,
        arm=arm,
        value=found.value,
        n=found.n,
        low=found.low,
        high=found.high,
        level=found.level,
        method=found.method,
        reason=found.reason,
        per_seed={str(seed): value for seed, value in per_seed.items()},
        **where,
    )


def over_seeds(values: dict[int, float], *, measure: str, arm: str, **where: str | None) -> Measurement:
    """The mean of one value a seed; where one is undefined, the reason says why."""
    found = seed_interval(list(values.values()))
    undefined = [reason_of(value) for value in values.values() if np.isnan(value)]
    if undefined and found.reason:
        found = Estimate(
            found.value,
            found.n,
            found.low,
            found.high,
            found.level,
            found.method,
            f"{found.reason}: {undefined[0]}",
        )
    return from_estimate(found, values, measure=measure, arm=arm, **where)
