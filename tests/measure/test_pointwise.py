from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bequest.errors import DataError
from bequest.measure import seed_interval, seed_intervals


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 7), st.booleans())
def test_every_point_is_the_interval_of_its_column(seed, seeds, bounded):
    table = np.random.default_rng(seed).random((seeds, 6))
    bounds = (0.0, 1.0) if bounded else None
    mean, low, high = seed_intervals(table, bounds=bounds)
    for p in range(6):
        estimate = seed_interval(table[:, p], bounds=bounds)
        assert (mean[p], low[p], high[p]) == pytest.approx((estimate.value, estimate.low, estimate.high))


def test_seeds_without_a_value_at_a_point_are_left_out_there():
    table = np.array([[0.1, math.nan, math.nan], [0.2, 0.5, math.nan], [0.6, 0.7, math.nan]])
    mean, low, high = seed_intervals(table)
    two = seed_interval([0.5, 0.7])
    assert (mean[1], low[1], high[1]) == pytest.approx((two.value, two.low, two.high))
    assert np.isnan([mean[2], low[2], high[2]]).all()
    mean, low, _ = seed_intervals(table[:1])
    assert mean[0] == 0.1
    assert math.isnan(low[0])


def test_wrong_input_is_named():
    with pytest.raises(DataError, match="table has the wrong shape"):
        seed_intervals(np.zeros(3))
