from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bequest.measure import seed_interval
from bequest.measure.bounds import logit_ends

shares = st.lists(st.floats(0, 1).map(lambda v: round(v, 6)), min_size=2, max_size=8)


@settings(deadline=None)
@given(shares, st.sampled_from([0.8, 0.95, 0.999]))
def test_the_interval_of_a_share_is_one_of_shares_and_holds_its_mean(values, level):
    values = [float(v) for v in values]
    estimate = seed_interval(values, level=level, bounds=(0.0, 1.0))
    rounding = 1e-12
    assert 0 <= estimate.low <= estimate.value + rounding
    assert estimate.value - rounding <= estimate.high <= 1
    wider = seed_interval(values, level=0.9995, bounds=(0.0, 1.0))
    assert wider.low <= estimate.low + 1e-12
    assert estimate.high <= wider.high + 1e-12


def test_far_from_its_bounds_and_with_little_spread_it_is_the_plain_interval():
    values = [0.50, 0.51, 0.49, 0.505]
    plain, bounded = seed_interval(values), seed_interval(values, bounds=(0.0, 1.0))
    assert (bounded.low, bounded.high) == pytest.approx((plain.low, plain.high), abs=1e-4)
    assert bounded.method == "t, logit"


def test_other_bounds_are_the_same_in_other_units():
    values = np.array([0.9, 0.97, 0.99])
    shares_, percent = (
        seed_interval(values, bounds=(0.0, 1.0)),
        seed_interval(100 * values, bounds=(0.0, 100.0)),
    )
    assert (percent.low, percent.high) == pytest.approx((100 * shares_.low, 100 * shares_.high))


def test_it_covers_near_the_bound():
    rng = np.random.default_rng(0)
    rows = rng.beta(60, 2, size=(600, 5))
    plain = [seed_interval(row) for row in rows]
    bounded = [seed_interval(row, bounds=(0.0, 1.0)) for row in rows]
    truth = 60 / 62
    covers = [np.mean([e.low <= truth <= e.high for e in side]) for side in (plain, bounded)]
    assert covers[1] > 0.92
    assert covers[1] >= covers[0] - 0.01


def test_a_mean_on_its_bound_keeps_its_interval():
    low, high = logit_ends(np.array([1.0, 0.0]), np.array([0.1, 0.1]), np.array([0.1, 0.1]), 0.0, 1.0)
    assert (low.tolist(), high.tolist()) == ([0.9, 0.0], [1.0, 0.1])
