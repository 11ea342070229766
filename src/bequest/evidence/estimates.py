"""Estimates over seeds as records: measurements, and points of curves."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from bequest.measure import Estimate, SeedValues, code_of, reason_of, seed_interval, seed_values, share_of_gap
from bequest.measures import measure_named
from bequest.records import Measurement, Point

BySeed = Mapping[int, float]
"""One value per seed."""

Number = float | int
"""Both written out: beartype, which checks annotations in the tests, does not take an int for a float."""


def measurement_of(
    estimate: Estimate,
    by_seed: BySeed,
    seed_only: Estimate | None = None,
    *,
    measure: str,
    arm: str,
    **where: Any,
) -> Measurement:
    """A measurement from an estimate over seeds; ``where`` gives split, teacher and layer.

    ``seed_only`` is the estimate whose interval is over seeds alone, if that of ``estimate`` is over samples
    too.
    """
    # By method: without samples the two are the same interval, which need not be shown twice.
    beside = seed_only is not None and seed_only.method != estimate.method
    return Measurement(
        measure=measure,
        arm=arm,
        value=estimate.value,
        n=estimate.n,
        low=estimate.low,
        high=estimate.high,
        seed_low=seed_only.low if seed_only and beside else None,
        seed_high=seed_only.high if seed_only and beside else None,
        level=estimate.level,
        method=estimate.method,
        reason=estimate.reason,
        reason_code=estimate.code,
        # Interned: every measurement of a run has the same seeds as names, thousands of them in large runs.
        per_seed={sys.intern(str(seed)): value for seed, value in by_seed.items()},
        **where,
    )


def over_seeds(values: SeedValues | BySeed, *, measure: str, arm: str, **where: Any) -> Measurement:
    """The mean over seeds with its interval; if a seed's value is undefined, the reason says why.

    Plain numbers by seed get the bounds of their measure.
    """
    if not isinstance(values, SeedValues):
        values = seed_values(values, bounds=measure_named(measure).bounds)
    estimate = values.interval()
    measurement = measurement_of(
        estimate, values.by_seed, values.seed_interval(), measure=measure, arm=arm, **where
    )
    undefined = [value for value in values.by_seed.values() if np.isnan(value)]
    if undefined and measurement.reason:
        detail = {
            "reason": f"{measurement.reason}: {reason_of(undefined[0])}",
            "reason_code": code_of(undefined[0]),
        }
        measurement = measurement.model_copy(update=detail)
    return measurement


def inherited(name: str, by_role: Sequence[SeedValues], *, arm: str, **where: Any) -> Measurement:
    """The inheritance of a property, from the values of taught student, control and teacher."""
    taught, control, teacher = by_role
    ratios = gap_ratios(taught, control, teacher)
    return measurement_of(
        share_of_gap(taught, control, teacher),
        ratios,
        share_of_gap(taught, control, teacher, crossed=False),
        measure=f"inheritance/{name}",
        arm=arm,
        **where,
    )


def gap_ratios(taught: SeedValues, control: SeedValues, teacher: SeedValues) -> dict[int, float]:
    """The share of the gap at each seed that all three have; NaN where there is no gap."""
    p, c, t = taught.by_seed, control.by_seed, teacher.by_seed
    return {seed: _ratio(p[seed] - c[seed], t[seed] - c[seed]) for seed in p if seed in c and seed in t}


def _ratio(gain: float, gap: float) -> float:
    return gain / gap if gap else float("nan")


def point(x: Number, values: SeedValues | Iterable[Number], **details: Any) -> Point:
    """A point of a curve: the mean over seeds and its interval; ``details`` override fields of the point."""
    estimate = values.interval() if isinstance(values, SeedValues) else seed_interval(list(values))
    return point_of(x, estimate, **details)


def point_of(x: Number, estimate: Estimate, **details: Any) -> Point:
    """A point of a curve from an estimate; ``details`` override its fields."""
    fields = {"y": estimate.value, "low": estimate.low, "high": estimate.high, "n": estimate.n}
    return Point(x=x, **{**fields, **details})


def points(xs: Iterable[Number], by_seed: Iterable[Sequence[Number]]) -> tuple[Point, ...]:
    """One point per x, from one row of values per seed."""
    return tuple(point(x, column) for x, column in zip(xs, zip(*by_seed, strict=True), strict=False))


def ring(seeds: Sequence[int]) -> dict[int, int]:
    """Each seed to the next one, the last to the first; empty for fewer than two seeds.

    >>> ring([3, 4, 9])
    {3: 4, 4: 9, 9: 3}
    """
    return dict(zip(seeds, [*seeds[1:], *seeds[:1]], strict=True)) if len(seeds) > 1 else {}
