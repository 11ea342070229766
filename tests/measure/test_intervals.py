from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from bequest.errors import DataError
from bequest.measure import (
    bootstrap_interval,
    error_consistency,
    paired_interval,
    proportion_interval,
    reason_of,
    sample_interval,
    seed_interval,
    seed_sample_interval,
)
from bequest.measures import Reason

numbers = st.lists(st.floats(-10, 10), min_size=2, max_size=12).filter(lambda v: np.ptp(v) > 1e-6)


@settings(max_examples=30, deadline=None)
@given(numbers, st.sampled_from([0.8, 0.95, 0.99]))
def test_t_intervals_equal_scipys(values, level):
    found = seed_interval(values, level=level)
    expected = stats.ttest_1samp(values, 0).confidence_interval(level)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-9, abs=1e-9)
    assert found.value == pytest.approx(np.mean(values), abs=1e-12)
    assert (found.n, found.level, found.method, found.reason) == (len(values), level, "t", None)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000))
def test_paired_intervals_equal_scipys_paired_test(seed):
    a, b = np.random.default_rng(seed).normal(size=(2, 6))
    found = paired_interval(a, b)
    expected = stats.ttest_rel(a, b).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-9)
    flipped = paired_interval(b, a)
    assert (flipped.value, flipped.low, flipped.high) == pytest.approx(
        (-found.value, -found.high, -found.low)
    )


def test_pairing_takes_out_what_both_share():
    shared = np.random.default_rng(0).normal(size=8)
    treated = shared + 0.1 + 0.01 * np.arange(8)
    assert paired_interval(treated, shared).excludes_zero
    assert not paired_interval(treated, shared[::-1]).excludes_zero


def test_t_covers_at_its_level():
    draws = np.random.default_rng(0).normal(size=(2000, 5))
    hits = [(f := seed_interval(row)).low <= 0 <= f.high for row in draws]
    # 2,000 draws at .95: the standard error is .0049; four of them.
    assert abs(np.mean(hits) - 0.95) < 4 * 0.0049


def test_the_bootstrap_equals_scipys_percentiles_up_to_resampling():
    values = np.random.default_rng(0).normal(size=60)
    found = seed_interval(values, method="bootstrap")
    other = stats.bootstrap((values,), np.mean, method="percentile", rng=np.random.default_rng(1), batch=100)
    width = other.confidence_interval.high - other.confidence_interval.low
    assert found.low == pytest.approx(other.confidence_interval.low, abs=0.03 * width)
    assert found.high == pytest.approx(other.confidence_interval.high, abs=0.03 * width)
    assert found == seed_interval(values, method="bootstrap")
    assert found != seed_interval(values, method="bootstrap", seed=1)


def test_one_seed_has_a_value_and_no_interval():
    found = seed_interval([0.5])
    assert (found.value, found.n, found.reason) == (0.5, 1, "one seed has no interval")
    assert found.code is Reason.ONE_SEED
    assert math.isnan(found.low)
    assert math.isnan(found.high)
    assert not found.excludes_zero


def test_equal_seeds_say_so():
    found = paired_interval([0.5, 0.6], [0.25, 0.35])
    assert found.excludes_zero
    exact = seed_interval([0.5, 0.5])
    assert (exact.low, exact.high, exact.reason) == (0.5, 0.5, "all seeds are equal")
    assert exact.code is Reason.NO_WIDTH


@pytest.mark.parametrize(
    ("values", "reason"), [([], "no seeds"), ([0.1, math.nan, 0.3], "undefined in 1 of 3 seeds")]
)
def test_undefined_seeds_make_an_undefined_mean(values, reason):
    found = seed_interval(values)
    assert math.isnan(found.value)
    assert found.reason == reason == reason_of(found.value)
    assert found.code is (Reason.UNDEFINED_SEED if values else Reason.NO_SAMPLES)


def test_wrong_input_is_named():
    with pytest.raises(DataError, match="level is out of range"):
        seed_interval([0.1, 0.2], level=95.0)
    with pytest.raises(DataError, match="treated and control differ in length"):
        paired_interval([0.1, 0.2], [0.1])
    with pytest.raises(DataError, match="a value is infinite"):
        seed_interval([0.1, math.inf])
    with pytest.raises(DataError, match="draws is too small"):
        seed_interval([0.1, 0.2], draws=0)
    with pytest.raises(DataError, match="values has the wrong shape"):
        seed_interval(np.zeros((2, 2)))


def test_sample_intervals_are_those_of_the_mean():
    values = np.random.default_rng(0).gamma(1.0, size=300)
    by_t, by_draws = sample_interval(values, method="t"), sample_interval(values)
    assert by_t.low == pytest.approx(stats.ttest_1samp(values, 0).confidence_interval(0.95).low)
    assert (by_draws.low, by_draws.high) == pytest.approx((by_t.low, by_t.high), abs=0.02)
    assert sample_interval([]).reason == "no samples"


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 60), st.floats(0, 1))
def test_wilsons_ends_solve_the_score_equation(n, share):
    hits = np.arange(n) < round(share * n)
    found = proportion_interval(hits)
    z = stats.norm.ppf(0.975)
    for end in (found.low, found.high):
        assert (found.value - end) ** 2 == pytest.approx(z**2 * end * (1 - end) / n, abs=1e-9)
    assert found.low < found.high
    assert 0 <= found.low <= found.value <= found.high <= 1
    assert proportion_interval(hits[:0]).reason == "no samples"


def test_any_statistic_has_a_bootstrap_interval():
    values = np.random.default_rng(0).normal(size=80)
    found = bootstrap_interval(lambda rows: float(np.median(values[rows])), 80)
    other = stats.bootstrap((values,), np.median, method="percentile", n_resamples=999, batch=100, rng=1)
    width = other.confidence_interval.high - other.confidence_interval.low
    assert found.low == pytest.approx(other.confidence_interval.low, abs=0.15 * width)
    assert found.high == pytest.approx(other.confidence_interval.high, abs=0.15 * width)
    assert (found.value, found.n) == (np.median(values), 80)


def test_a_statistic_that_resampling_can_lose_has_no_interval():
    one, other = np.array([True, True, False]), np.array([True, False, False])
    found = bootstrap_interval(lambda rows: error_consistency(one[rows], other[rows]), 3, draws=99)
    assert found.value == error_consistency(one, other)
    assert math.isnan(found.low)
    assert found.reason.startswith("undefined in ")
    assert found.reason.endswith(" of 99 resamples")
    assert found.code is Reason.UNDEFINED_RESAMPLE
    assert bootstrap_interval(lambda rows: 1.0, 0).reason == "no samples"
    nothing = bootstrap_interval(lambda rows: error_consistency(one, one | True), 3, draws=9)
    assert nothing.reason == "the second model is always right"


def test_seeds_and_samples_both_widen_the_interval():
    rng = np.random.default_rng(0)
    by_seed, by_sample = rng.normal(size=(12, 1)), rng.normal(size=(1, 300))
    seeds_only = seed_sample_interval(by_seed + np.zeros((12, 300)))
    samples_only = seed_sample_interval(by_sample + np.zeros((12, 300)))
    both = seed_sample_interval(by_seed + by_sample)
    over_seeds = seed_interval(by_seed[:, 0], method="bootstrap")
    over_samples = sample_interval(by_sample[0])
    assert (seeds_only.low, seeds_only.high) == pytest.approx((over_seeds.low, over_seeds.high), abs=0.03)
    # Averaging over seeds does not take out what all seeds share: the samples.
    assert (samples_only.low, samples_only.high) == pytest.approx(
        (over_samples.low, over_samples.high), abs=0.01
    )
    widths = [e.high - e.low for e in (seeds_only, samples_only, both)]
    assert widths[2] == pytest.approx(math.hypot(*widths[:2]), rel=0.1)


@pytest.mark.parametrize(
    ("shape", "reason"),
    [((0, 5), "no seeds"), ((3, 0), "no samples"), ((1, 5), "one seed has"), ((3, 1), "one sample has")],
)
def test_too_little_of_either_has_no_interval(shape, reason):
    found = seed_sample_interval(np.ones(shape))
    assert found.reason.startswith(reason)
    assert math.isnan(found.low)
    assert math.isnan(found.value) == (0 in shape)
