from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from bequest.measure import disjoint_pairs, ring_interval, seed_interval
from bequest.measures import Reason


def ring(rng, n, by_network=1.0, by_pair=0.0):
    effects = by_network * rng.normal(size=n)
    return effects + np.roll(effects, -1) + by_pair * rng.normal(size=n)


@pytest.mark.parametrize("n", [3, 4, 5, 8])
def test_the_variance_is_unbiased_for_effects_of_networks(n):
    """By brute force over unit effects: the expectation of the jackknife is that of the mean's variance."""
    expected = 0.0
    for k in range(n):
        unit = np.eye(n)[k]
        without = [
            np.mean([unit[i] + unit[(i + 1) % n] for i in range(n) if left_out not in (i, (i + 1) % n)])
            for left_out in range(n)
        ]
        expected += (n - 1) / n * ((np.array(without) - 2 / n) ** 2).sum()
    rng = np.random.default_rng(0)
    values = ring(rng, n)
    without = [
        np.mean([values[i] for i in range(n) if left_out not in (i, (i + 1) % n)]) for left_out in range(n)
    ]
    jackknife = (n - 1) / n * ((np.array(without) - values.mean()) ** 2).sum()
    estimate = ring_interval(values)
    spread = 2 + 2 * np.cos(2 * np.pi * np.arange(1, n) / n)
    freedom = (spread**2).sum() ** 2 / (spread**4).sum()
    half = stats.t.ppf(0.975, freedom) * math.sqrt(jackknife * (4 / n) / expected)
    assert (estimate.low, estimate.high) == pytest.approx(
        (values.mean() - half, values.mean() + half), rel=1e-9
    )


def test_three_networks_are_exact():
    """With three networks each pair is the mean without one: the interval is that of the effects."""
    effects = np.array([0.3, -0.2, 0.7])
    estimate = ring_interval(effects + np.roll(effects, -1))
    exact = seed_interval(2 * effects)
    assert (estimate.value, estimate.low, estimate.high) == pytest.approx(
        (exact.value, exact.low, exact.high)
    )


@pytest.mark.parametrize("n", [3, 5, 8])
def test_it_covers_where_a_t_interval_over_pairs_does_not(n):
    rng = np.random.default_rng(n)
    values = [ring(rng, n) for _ in range(600)]
    covers = np.mean([(e := ring_interval(v)).low <= 0 <= e.high for v in values])
    naive = np.mean([(e := seed_interval(v)).low <= 0 <= e.high for v in values])
    # 600 draws at .95: the standard error is .0089; four of them.
    assert abs(covers - 0.95) < 4 * 0.0089
    assert naive < 0.92


def test_pairs_that_vary_on_their_own_get_a_wider_interval_than_they_need():
    rng = np.random.default_rng(0)
    covers = np.mean([(e := ring_interval(ring(rng, 5, 0.0, 1.0))).low <= 0 <= e.high for _ in range(300)])
    assert covers > 0.95


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(3, 9), st.integers(0, 8), st.floats(-5, 5))
def test_where_the_ring_begins_and_which_way_it_goes_do_not_matter(seed, n, by, offset):
    values = ring(np.random.default_rng(seed), n)
    estimate, turned = ring_interval(values), ring_interval(np.roll(values, by)[::-1] + offset)
    assert (turned.low - offset, turned.high - offset) == pytest.approx((estimate.low, estimate.high))


@pytest.mark.parametrize(
    ("values", "code", "reason"),
    [
        ([], Reason.NO_SAMPLES, "no pairs"),
        ([0.5], Reason.ONE_SEED, "one pair has no interval"),
        ([0.5, 0.6], Reason.TOO_FEW, "two networks make one pair, not a ring"),
        ([0.5, math.nan, 0.6], Reason.UNDEFINED_SEED, "undefined in 1 of 3 pairs"),
        ([0.5, 0.5, 0.5], Reason.NO_WIDTH, "all pairs are equal"),
    ],
)
def test_too_little_has_no_interval(values, code, reason):
    estimate = ring_interval(values)
    assert (estimate.code, estimate.reason) == (code, reason)


def test_disjoint_pairs_share_no_network():
    assert disjoint_pairs(1) == []
    members = [k for pair in disjoint_pairs(9) for k in pair]
    assert len(members) == len(set(members)) == 8
