"""Estimates over seeds as records: measurements, and points of curves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from bequest.measure import Estimate, code_of, inheritance, reason_of, seed_interval
from bequest.records import Measurement, Point

BySeed = Mapping[int, float]
"""One value a seed."""

Number = float | int
"""Written out, since the tests check types strictly: an int is no float there."""


def measurement_of(
    estimate: Estimate, by_seed: BySeed, *, measure: str, arm: str, **where: Any
) -> Measurement:
    """A measurement out of an estimate over seeds; ``where`` gives split, teacher and layer."""
    return Measurement(
        measure=measure,
        arm=arm,
        value=estimate.value,
        n=estimate.n,
        low=estimate.low,
        high=estimate.high,
        level=estimate.level,
        method=estimate.method,
        reason=estimate.reason,
        reason_code=estimate.code,
        per_seed={str(seed): value for seed, value in by_seed.items()},
        **where,
    )


def over_seeds(by_seed: BySeed, *, measure: str, arm: str, **where: Any) -> Measurement:
    """The mean of one value a seed with its interval; where one is undefined, the reason says why."""
    values = list(by_seed.values())
    measurement = measurement_of(seed_interval(values), by_seed, measure=measure, arm=arm, **where)
    undefined = [value for value in values if np.isnan(value)]
    if undefined and measurement.reason:
        detail = {
            "reason": f"{measurement.reason}: {reason_of(undefined[0])}",
            "reason_code": code_of(undefined[0]),
        }
        measurement = measurement.model_copy(update=detail)
    return measurement


def inherited(name: str, by_role: Sequence[BySeed], *, arm: str, **where: Any) -> Measurement:
    """The inheritance of a property, from values by seed of taught student, control and teacher."""
    taught, control, teacher = by_role
    seeds = [seed for seed in taught if seed in control and seed in teacher]
    estimate = inheritance(*([values[seed] for seed in seeds] for values in by_role))
    ratios = {seed: _ratio(taught[seed] - control[seed], teacher[seed] - control[seed]) for seed in seeds}
    return measurement_of(estimate, ratios, measure=f"inheritance/{name}", arm=arm, **where)


def _ratio(gain: float, gap: float) -> float:
    return gain / gap if gap else float("nan")


def point(x: Number, values: Iterable[Number], **details: Any) -> Point:
    """A point of a curve: the mean over seeds and its interval; ``details`` override fields of the point."""
    estimate = seed_interval(list(values))
    fields = {"y": estimate.value, "low": estimate.low, "high": estimate.high, "n": estimate.n}
    return Point(x=x, **{**fields, **details})


def points(xs: Iterable[Number], by_seed: Iterable[Sequence[Number]]) -> tuple[Point, ...]:
    """One point for each x, from one row of values for each seed."""
    return tuple(point(x, column) for x, column in zip(xs, zip(*by_seed, strict=True), strict=False))


def ring(seeds: Sequence[int]) -> dict[int, int]:
    """Each seed to the next one, the last to the first; empty for fewer than two seeds.

    >>> ring([3, 4, 9])
    {3: 4, 4: 9, 9: 3}
    """
    return dict(zip(seeds, [*seeds[1:], *seeds[:1]], strict=True)) if len(seeds) > 1 else {}
