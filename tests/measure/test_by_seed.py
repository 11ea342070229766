"""Quantities at each seed: their intervals are those of the formula that fits what they are."""

from __future__ import annotations

import numpy as np
import pytest

from bequest.errors import DataError
from bequest.measure import (
    crossed_inheritance,
    crossed_interval,
    inheritance,
    paired_interval,
    ring_interval,
    seed_interval,
)
from bequest.measure.by_seed import SeedValues, combined, paired, seed_values, share_of_gap
from bequest.measures import Reason

SEEDS = (100, 101, 102, 103)


def table(*, level=0.6, seed=0, samples=200):
    rng = np.random.default_rng(seed)
    hard = rng.normal(size=samples)
    skill = rng.normal(scale=0.2, size=len(SEEDS))[:, None]
    return rng.random((len(SEEDS), samples)) < 1 / (1 + np.exp(-(hard + skill + np.log(level / (1 - level)))))


def sampled(values, **fields):
    return seed_values(dict(zip(SEEDS, values, strict=True)), samples=np.arange(values.shape[1]), **fields)


def same(estimate, expected):
    found, wanted = ((e.value, e.low, e.high, e.n, e.method, e.code) for e in (estimate, expected))
    assert found[3:] == wanted[3:]
    assert found[:3] == pytest.approx(wanted[:3], nan_ok=True, abs=1e-6)


def test_a_mean_over_samples_is_crossed_and_a_number_is_not():
    right = table()
    values = sampled(right, bounds=(0.0, 1.0), resolution=1 / 200)
    same(values.interval(0.9), crossed_interval(right * 1.0, level=0.9, bounds=(0.0, 1.0)))
    same(values.seed_interval(), seed_interval(right.mean(axis=1), bounds=(0.0, 1.0), resolution=1 / 200))
    assert values.seeds == list(SEEDS)
    assert values.by_seed[101] == right[1].mean()
    numbers = seed_values({0: 0.2, 1: 0.3, 5: 0.7}, bounds=(0.0, 1.0))
    same(numbers.interval(), seed_interval([0.2, 0.3, 0.7], bounds=(0.0, 1.0)))


def test_one_seed_has_a_value_and_no_interval():
    one = seed_values({3: np.array([1.0, 0.0, 1.0, 1.0])})
    assert one.interval().value == 0.75
    assert one.interval().code is Reason.ONE_SEED


def test_pairs_on_a_ring_have_the_jackknife_s_spread_with_and_without_samples():
    pairs = np.array([0.80, 0.84, 0.82, 0.85])
    same(seed_values(dict(zip(SEEDS, pairs, strict=True)), ring=True).interval(), ring_interval(pairs))
    # Samples that do not differ add nothing: what is left is the spread of the ring.
    flat = np.repeat(pairs[:, None], 50, axis=1)
    crossed = sampled(flat, ring=True).interval()
    spread = seed_values(dict(zip(SEEDS, pairs, strict=True)), ring=True).spread()
    assert crossed.high - crossed.low == pytest.approx(2 * _half(spread), rel=1e-4)
    two = seed_values({0: 0.4, 1: 0.4}, ring=True).interval()
    assert (two.value, two.code) == (0.4, Reason.TOO_FEW)


def _half(values):
    estimate = seed_interval(values)
    return (estimate.high - estimate.low) / 2


def test_a_difference_is_paired_by_seed_and_by_sample():
    first, second = table(level=0.7, seed=1), table(level=0.6, seed=2)
    gap = paired(sampled(first), sampled(second))
    same(gap.interval(), crossed_interval(first * 1.0 - second))
    numbers = paired(
        seed_values({0: 0.5, 1: 0.7, 2: 0.6}, resolution=0.01), seed_values({1: 0.4, 2: 0.5, 3: 0.1})
    )
    assert numbers.seeds == [1, 2]
    same(numbers.interval(), paired_interval([0.7, 0.6], [0.4, 0.5], resolution=0.01))


def test_a_difference_leaves_out_seeds_at_which_one_is_undefined_and_samples_that_are_others():
    assert paired(seed_values({0: 0.5, 1: np.nan}), seed_values({0: 0.25, 1: 0.5})).by_seed == {0: 0.25}
    right = table()
    other = seed_values(dict(zip(SEEDS, right, strict=True)), samples=np.arange(200) + 1000)
    assert paired(sampled(right), other).table is None


def test_equal_values_have_the_width_of_one_sample():
    right = np.ones((4, 50), dtype=bool)
    gap = paired(sampled(right, resolution=1 / 50), sampled(right, resolution=1 / 50)).interval()
    assert (gap.value, gap.low, gap.high) == (0.0, -0.02, 0.02)
    assert gap.code is Reason.AT_RESOLUTION


def test_splits_of_the_same_samples_are_averaged_sample_by_sample():
    first, second = table(seed=1), table(seed=2)
    both = combined([sampled(first, resolution=0.01), sampled(second, resolution=0.01)])
    same(both.interval(), crossed_interval((first * 1.0 + second) / 2))
    assert both.resolution == 0.005


def test_splits_of_other_samples_are_strata_of_equal_weight():
    easy, hard = table(level=0.95, samples=300), table(level=0.3, samples=100)
    parts = [sampled(easy), seed_values(dict(zip(SEEDS, hard, strict=True)), samples=np.arange(500, 600))]
    both = combined(parts)
    means = (easy.mean(axis=1) + hard.mean(axis=1)) / 2
    assert both.values == pytest.approx(means)
    estimate = both.interval()
    assert estimate.value == pytest.approx(means.mean(), abs=1e-6)
    # The variance from samples is that of a stratified mean, (v1/n1 + v2/n2)/4, and not that of one pool.
    from_samples = [np.var(part.mean(axis=0), ddof=1) / part.shape[1] for part in (easy, hard)]
    pooled = crossed_interval(np.concatenate([easy, hard], axis=1) * 1.0)
    assert estimate.high - estimate.low < pooled.high - pooled.low + 4 * np.sqrt(sum(from_samples) / 4)
    both_means = np.asarray(both.table).mean(axis=0)
    assert np.var(both_means, ddof=1) / 400 == pytest.approx(sum(from_samples) / 4, rel=0.02)


def test_a_mean_with_an_undefined_part_keeps_the_reason():
    class Lost(float):
        pass

    lost = Lost("nan")
    assert combined([seed_values({0: 0.5}), seed_values({0: lost})]).by_seed[0] is lost


def test_a_share_of_the_gap_is_crossed_where_all_three_have_the_samples():
    sides = [table(level=level, seed=seed) for level, seed in ((0.6, 1), (0.3, 2), (0.8, 3))]
    values = [sampled(side) for side in sides]
    same(share_of_gap(*values), crossed_inheritance(*(side * 1.0 for side in sides)))
    same(share_of_gap(*values, crossed=False), inheritance(*(side.mean(axis=1) for side in sides)))
    numbers = [seed_values(value.by_seed) for value in values]
    same(share_of_gap(*numbers), inheritance(*(side.mean(axis=1) for side in sides)))


def test_a_share_of_the_gap_to_a_ceiling_has_the_spread_of_its_ring():
    student, control = np.array([0.5, 0.55, 0.52, 0.51]), np.array([0.2, 0.21, 0.19, 0.22])
    ceiling = np.array([0.8, 0.84, 0.82, 0.85])
    sides = [seed_values(dict(zip(SEEDS, side, strict=True))) for side in (student, control)]
    marks = seed_values(dict(zip(SEEDS, ceiling, strict=True)), ring=True)
    same(share_of_gap(*sides, marks), inheritance(student, control, marks.spread()))
    assert share_of_gap(*sides, marks).value == pytest.approx(
        (student.mean() - control.mean()) / (ceiling.mean() - control.mean())
    )
    few = share_of_gap(*(side.at(SEEDS[:2]) for side in sides), marks.at(SEEDS[:2]))
    assert np.isnan(few.value)
    assert few.code is Reason.TOO_FEW


def test_rows_must_fit_together():
    with pytest.raises(DataError, match="differ in samples"):
        seed_values({0: np.zeros(3), 1: np.zeros(4)})
    with pytest.raises(DataError, match="differ in samples"):
        seed_values({0: np.zeros(3), 1: 0.5})
    assert seed_values({}).interval().code is Reason.NO_SAMPLES
    assert isinstance(seed_values({}), SeedValues)
