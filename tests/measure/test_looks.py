from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from bequest.errors import DataError
from bequest.measure import detectable_effect, look_levels, seed_interval, seeds_needed


@settings(deadline=None)
@given(st.lists(st.integers(1, 60), min_size=1, max_size=6, unique=True), st.floats(0.8, 0.999))
def test_what_looks_may_spend_adds_up_to_the_error_of_all(seeds, level):
    levels = look_levels(sorted(seeds), level=level)
    assert len(levels) == len(seeds)
    assert (1 - levels).sum() == pytest.approx(1 - level)
    assert (levels < 1).all()


def test_one_look_is_an_ordinary_study():
    assert look_levels([3]).tolist() == [0.95]


def test_stopping_at_the_first_verdict_errs_in_5_percent_at_most():
    rng, planned = np.random.default_rng(0), [3, 5, 8, 12]
    levels = look_levels(planned)
    paid = free = 0
    for _ in range(200):
        values = rng.normal(size=12)
        for n, level in zip(planned, levels, strict=True):
            if seed_interval(values[:n], level=float(level)).excludes_zero:
                paid += 1
                break
        free += any(seed_interval(values[:n]).excludes_zero for n in planned)
    # 200 studies at .05: the standard error is .0154; three of them.
    assert paid / 200 <= 0.05 + 3 * 0.0154
    assert free / 200 > 0.08


@pytest.mark.parametrize("seeds", [[], [3, 3], [5, 3], [0, 2]])
def test_looks_must_rise(seeds):
    with pytest.raises(DataError, match="the seeds of the looks do not increase"):
        look_levels(seeds)


@pytest.mark.parametrize("n", [2, 3, 5, 10, 30])
@pytest.mark.parametrize("level", [0.9, 0.95, 0.99])
def test_the_detectable_effect_has_its_power_by_scipys_noncentral_t(n, level):
    effect = detectable_effect(n, level=level, power=0.8)
    threshold = stats.t.ppf((1 + level) / 2, n - 1)
    assert stats.nct.sf(threshold, n - 1, math.sqrt(n) * effect) == pytest.approx(0.8, abs=2e-3)


def test_the_detectable_effect_is_seen_as_often_in_simulated_studies():
    effect = detectable_effect(4, sd=0.03, level=0.99, power=0.7)
    rows = effect + 0.03 * np.random.default_rng(0).normal(size=(800, 4))
    seen = np.mean([seed_interval(row, level=0.99).low > 0 for row in rows])
    # 800 studies at .7: the standard error is .0162; four of them.
    assert abs(seen - 0.7) < 4 * 0.0162


def test_seeds_needed_is_the_inverse_of_the_detectable_effect():
    for effect in (0.4, 1.0, 3.0):
        n = seeds_needed(effect)
        assert detectable_effect(n) <= effect < detectable_effect(n - 1)
    assert seeds_needed(0.0) is None
    assert seeds_needed(0.001, most=100) is None
    assert seeds_needed(-1.0) == seeds_needed(1.0)
    assert detectable_effect(1) == math.inf


def test_wrong_input_is_named():
    with pytest.raises(DataError, match="sd is out of range"):
        detectable_effect(3, sd=0.0)
    with pytest.raises(DataError, match="power is out of range"):
        seeds_needed(1.0, power=1.0)
