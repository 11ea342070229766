"""Ranks against SciPy's."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bequest.measure.ranks import mean_ranks


@given(st.lists(st.integers(-5, 5), max_size=40))
def test_ranks_are_scipys_also_where_values_are_equal(values):
    values = np.array(values) / 7
    assert np.array_equal(mean_ranks(values), stats.rankdata(values))
