from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from bequest.errors import DataError
from bequest.measure import holm, paired_interval, paired_p_value, reason_of, simultaneous_level


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.floats(0.001, 0.999))
def test_holm_rejects_what_the_step_down_procedure_rejects(p_values, alpha):
    """Holm's procedure as published: from the smallest p on, stop at the first above alpha / (M - k + 1)."""
    rejected = set()
    for k, i in enumerate(np.argsort(p_values, kind="stable")):
        if p_values[i] * (len(p_values) - k) >= alpha:
            break
        rejected.add(int(i))
    adjusted = holm(p_values)
    assert set(np.flatnonzero(adjusted < alpha).tolist()) == rejected
    assert (adjusted >= np.array(p_values)).all()
    assert adjusted.max() <= 1


def test_undefined_comparisons_are_not_counted():
    assert holm([0.02, math.nan, 0.5]) == pytest.approx([0.04, math.nan, 0.5], nan_ok=True)
    assert holm([]).shape == (0,)
    with pytest.raises(DataError, match="p-values are out of range"):
        holm([0.5, 1.5])


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.5, 0.999))
def test_p_values_agree_with_scipy_and_with_the_interval(seed, level):
    a, b = np.random.default_rng(seed).normal(size=(2, 5)) + np.array([[1.0], [0.0]])
    p = paired_p_value(a, b)
    assert p == pytest.approx(stats.ttest_rel(a, b).pvalue)
    assert (p < 1 - level) == paired_interval(a, b, level=level).excludes_zero


def test_p_values_without_a_spread_and_without_pairs():
    assert paired_p_value([0.5, 0.5], [0.5, 0.5]) == 1
    assert paired_p_value([1.0, 2.0], [0.0, 1.0]) == 0
    assert reason_of(paired_p_value([1.0], [0.0])) == "1 pairs; a test needs 2 or more"
    assert reason_of(paired_p_value([1.0, math.nan], [0.0, 1.0])) == "undefined in 1 of 2 pairs"


def test_simultaneous_levels_share_the_error():
    assert simultaneous_level(0.95, 1) == pytest.approx(0.95)
    assert 5 * (1 - simultaneous_level(0.95, 5)) == pytest.approx(0.05)
    with pytest.raises(DataError, match="comparisons is too small"):
        simultaneous_level(0.95, 0)
