"""A quantity at each seed with everything that decides its interval; differences, means and shares of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bequest.errors import DataError
from bequest.measure.arrays import Array, Floats
from bequest.measure.crossed import crossed_inheritance, crossed_interval
from bequest.measure.inheritance import inheritance
from bequest.measure.intervals import Estimate, bounded, paired_interval, seed_interval, without_interval
from bequest.measure.jackknife import ring_interval, ring_values
from bequest.measure.undefined import Undefined
from bequest.measures import Reason

LEAST_RING = 3
"""With two networks both pairs of a ring are one pair: an interval from them would mean nothing."""


@dataclass(frozen=True, eq=False)
class SeedValues:
    """One quantity at each seed.

    Attributes:
        by_seed: The value at each seed; NaN if it is undefined.
        table: float (S, N), the value of each sample at each seed, in the order of ``by_seed``, if the
            quantity is their mean; None if it is no mean over samples.
        samples: int (N,), ids of the columns; two tables are paired if these are equal.
        ring: Seed k stands for the pair of networks k and k + 1, the last one for the last and the first.
        difference: Whether it is a difference of two such quantities.
        bounds: The bounds of its values by definition, such as (0, 1) for a share; None if it has none.
        resolution: The step in which values can differ, 1/N for a share of N samples; 0 without one.
    """

    by_seed: Mapping[int, float]
    table: Array | None = None
    samples: Array | None = None
    ring: bool = False
    difference: bool = False
    bounds: tuple[float, float] | None = None
    resolution: float = 0.0

    @property
    def seeds(self) -> list[int]:
        """Its seeds, in their order."""
        return list(self.by_seed)

    @property
    def values(self) -> Floats:
        """Its values in the order of the seeds, (S,)."""
        return np.array([float(value) for value in self.by_seed.values()])

    def interval(self, level: float = 0.95) -> Estimate:
        """The mean with its interval: over seeds, and over samples too if it is a mean over samples.

        Crossed over seeds and samples (:func:`~bequest.measure.crossed_interval`) with a table, a jackknife
        over networks (:func:`~bequest.measure.ring_interval`) on a ring, else a t-interval over seeds.
        """
        if self.table is None or self._too_short or len(self.by_seed) < 2:
            return self.seed_interval(level)
        return crossed_interval(
            self._spread_table(), level=level, bounds=self.bounds, resolution=self.resolution
        )

    def seed_interval(self, level: float = 0.95) -> Estimate:
        """The mean with its interval over seeds alone, for these samples."""
        if self.ring:
            estimate = ring_interval(self.values, level=level)
            return estimate if self.bounds is None else bounded(estimate, *self.bounds)
        if self.difference:
            zeros = np.zeros(len(self.by_seed))
            return paired_interval(self.values, zeros, level=level, resolution=self.resolution)
        return seed_interval(self.values, level=level, bounds=self.bounds, resolution=self.resolution)

    def at(self, seeds: Sequence[int]) -> SeedValues:
        """The same quantity at some of its seeds."""
        rows = [self.seeds.index(seed) for seed in seeds]
        table = None if self.table is None else self.table[rows]
        return replace(self, by_seed={seed: self.by_seed[seed] for seed in seeds}, table=table)

    @property
    def _too_short(self) -> bool:
        return self.ring and len(self.by_seed) < LEAST_RING

    def spread(self) -> Floats:
        """The values, (S,); for a ring, values with the spread of their mean, see :func:`ring_values`."""
        values = self.values
        is_whole = len(values) >= LEAST_RING and not np.isnan(values).any()
        return ring_values(values) if self.ring and is_whole else values

    def _spread_table(self) -> Array:
        """The table with rows whose means are :meth:`spread`."""
        assert self.table is not None
        if not self.ring:
            return self.table
        # Whole rows are moved, which leaves the variance of samples within them as it is.
        moved: Array = self.table + (self.spread() - self.values)[:, None]
        return moved


def seed_values(
    rows: Mapping[int, float | Array],
    *,
    samples: Array | None = None,
    ring: bool = False,
    bounds: tuple[float, float] | None = None,
    resolution: float = 0.0,
) -> SeedValues:
    """A quantity from its values at each seed: one number, or one number per sample.

    Args:
        rows: For each seed a number, or an array (N,) of one number per sample, whose mean is the value.
        samples: int (N,), ids of the samples.
        ring: See :class:`SeedValues`.
        bounds: See :class:`SeedValues`.
        resolution: See :class:`SeedValues`.

    Raises:
        DataError: If rows differ in length, or some are numbers and some arrays.

    >>> right = {0: np.array([1.0, 1.0, 0.0, 1.0]), 1: np.array([1.0, 0.0, 0.0, 1.0])}
    >>> values = seed_values(right, samples=np.arange(4), bounds=(0.0, 1.0), resolution=0.25)
    >>> dict(values.by_seed), values.interval().method
    ({0: 0.75, 1: 0.5}, 'crossed over seeds and samples, logit')
    """
    lengths = {np.shape(row) for row in rows.values()}
    if len(lengths) > 1:
        raise DataError("seeds differ in samples", expected="one shape", got=sorted(map(str, lengths)))
    if lengths in ({()}, set()):
        # A float stays the object that it is: `Undefined` would lose its reason.
        by_seed = {seed: float(row) if not isinstance(row, float) else row for seed, row in rows.items()}
        return SeedValues(by_seed, ring=ring, bounds=bounds, resolution=resolution)
    means = {seed: float(np.mean(row, dtype=np.float64)) for seed, row in rows.items()}
    # float32 takes half the memory and is exact for right and wrong; the means above are float64.
    table = np.stack([np.asarray(row, dtype=np.float32) for row in rows.values()])
    ids = np.arange(table.shape[1]) if samples is None else np.asarray(samples)
    return SeedValues(means, table, ids, ring, bounds=bounds, resolution=resolution)


def paired(first: SeedValues, second: SeedValues) -> SeedValues:
    """``first − second`` at the seeds at which both are defined, paired by sample if their samples are equal.

    >>> dict(paired(seed_values({0: 0.5, 1: 0.75}), seed_values({0: 0.25, 1: 0.25, 2: 1.0})).by_seed)
    {0: 0.25, 1: 0.5}
    """
    seeds = [
        seed
        for seed in first.seeds
        if not np.isnan([first.by_seed[seed], second.by_seed.get(seed, np.nan)]).any()
    ]
    one, other = first.at(seeds), second.at(seeds)
    by_seed = {seed: one.by_seed[seed] - other.by_seed[seed] for seed in seeds}
    table = one.table - other.table if _same_samples(one, other) else None  # type: ignore[operator]
    return SeedValues(
        by_seed,
        table,
        None if table is None else one.samples,
        ring=one.ring or other.ring,
        difference=True,
        resolution=max(one.resolution, other.resolution),
    )


def combined(parts: Sequence[SeedValues]) -> SeedValues:
    """The mean of several quantities, such as one property on several splits, at the seeds that all have.

    Splits of the same samples are averaged sample by sample. Splits of different samples are strata of equal
    weight: differences between strata are fixed and do not count as chance.

    Args:
        parts: One or more.

    >>> from bequest.measure import combined, seed_values
    >>> dict(combined([seed_values({0: 0.5, 1: 1.0}), seed_values({0: 0.0, 1: 0.5})]).by_seed)
    {0: 0.25, 1: 0.75}
    """
    seeds = [seed for seed in parts[0].seeds if all(seed in part.by_seed for part in parts)]
    chosen = [part.at(seeds) for part in parts]
    by_seed = {seed: _mean([part.by_seed[seed] for part in chosen]) for seed in seeds}
    table, samples = None, None
    if all(_same_samples(part, chosen[0]) for part in chosen):
        tables = [part.table for part in chosen if part.table is not None]
        table, samples = np.mean(tables, axis=0), chosen[0].samples
    elif all(part.table is not None for part in chosen) and seeds:
        table, samples = _strata(chosen), np.concatenate([part.samples for part in chosen])
    bounds = {part.bounds for part in chosen}
    return SeedValues(
        by_seed,
        table,
        samples,
        ring=any(part.ring for part in chosen),
        difference=any(part.difference for part in chosen),
        bounds=bounds.pop() if len(bounds) == 1 else None,
        # A mean of P shares in steps of 1/N moves in steps of 1/(P·N).
        resolution=min(part.resolution for part in chosen) / len(chosen),
    )


def share_of_gap(
    taught: SeedValues, control: SeedValues, teacher: SeedValues, level: float = 0.95, *, crossed: bool = True
) -> Estimate:
    """:func:`~bequest.measure.inheritance` at the seeds that all three have.

    The interval is over samples too if all three are means over the same samples
    (:func:`~bequest.measure.crossed_inheritance`), and over networks if the teacher's values are a ring.

    Args:
        taught: The values of the taught student.
        control: Those of its control.
        teacher: Those of the teacher, or the ceiling of a likeness.
        level: Confidence level.
        crossed: False for the interval over seeds alone.

    >>> sides = [seed_values(dict(enumerate(values))) for values in ([0.5, 0.54], [0.1, 0.12], [0.9, 0.93])]
    >>> round(share_of_gap(*sides).value, 3)
    0.509
    """
    seeds = [seed for seed in taught.seeds if seed in control.by_seed and seed in teacher.by_seed]
    sides = [side.at(seeds) for side in (taught, control, teacher)]
    if any(side._too_short for side in sides) and seeds:
        reason = f"a ceiling takes pairs of {LEAST_RING} networks or more; there are {len(seeds)}"
        few = Undefined(reason, Reason.TOO_FEW)
        return without_interval(few, len(seeds), level, "fieller")
    same = all(_same_samples(side, sides[0]) for side in sides)
    resolution = max(side.resolution for side in sides)
    if crossed and same and len(seeds) > 1:
        tables = (side._spread_table() for side in sides)
        return crossed_inheritance(*tables, level=level, resolution=resolution)
    return inheritance(*(side.spread() for side in sides), level=level, resolution=resolution)


def _same_samples(one: SeedValues, other: SeedValues) -> bool:
    return (
        one.samples is not None and other.samples is not None and np.array_equal(one.samples, other.samples)
    )


def _mean(values: Sequence[float]) -> float:
    """Their mean; if one is undefined, that one with its reason."""
    undefined = [value for value in values if np.isnan(value)]
    return undefined[0] if undefined else float(np.mean(values))


def _strata(parts: Sequence[SeedValues]) -> Floats:
    """One table of all samples whose row means are the means of the parts' row means.

    A sample of a stratum with n_p of all n samples in P strata has the weight n/(P·n_p). The strata are
    fixed: their means are made equal first, so that only differences within strata count as variance of
    samples.
    """
    tables = [np.asarray(part.table, dtype=np.float64) for part in parts]
    count, means = (
        sum(table.shape[1] for table in tables),
        [table.mean(axis=1, keepdims=True) for table in tables],
    )
    overall = np.mean(means, axis=0)
    weighted = [
        overall + (table - mean) * (count / (len(tables) * table.shape[1]))
        for table, mean in zip(tables, means, strict=True)
    ]
    return np.concatenate(weighted, axis=1)
