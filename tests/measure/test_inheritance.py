from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats

from bequest.errors import DataError
from bequest.measure import code_of, inheritance, inheritance_profile, paired_interval, reason_of
from bequest.measures import Reason


def seeds(seed: int, n: int = 6, share: float = 0.6) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    control = 0.2 + 0.03 * rng.normal(size=n)
    teacher = 0.9 + 0.03 * rng.normal(size=n)
    return control + share * (teacher - control) + 0.02 * rng.normal(size=n), control, teacher


def rejected(ratio: float, gained: np.ndarray, gap: np.ndarray) -> float:
    """p − .05 of the t-test that gained − ratio·gap has mean 0: the interval's ends are its roots."""
    return float(stats.ttest_1samp(gained - ratio * gap, 0).pvalue) - 0.05


@pytest.mark.parametrize("seed", range(8))
def test_fiellers_ends_are_where_a_t_test_begins_to_reject(seed):
    taught, control, teacher = seeds(seed)
    found = inheritance(taught, control, teacher)
    gained, gap = taught - control, teacher - control
    assert found.value == pytest.approx(gained.mean() / gap.mean(), rel=1e-12)
    low = optimize.brentq(rejected, found.value - 2, found.value, args=(gained, gap), xtol=1e-12)
    high = optimize.brentq(rejected, found.value, found.value + 2, args=(gained, gap), xtol=1e-12)
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-9)
    assert (found.n, found.method, found.reason) == (6, "fieller", None)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.floats(-1, 2), st.sampled_from(["fieller", "bootstrap"]))
def test_units_and_direction_of_the_property_do_not_matter(seed, share, method):
    values = seeds(seed, share=share)
    found = inheritance(*values, method=method, draws=200)
    turned = inheritance(*(5 - 3 * v for v in values), method=method, draws=200)
    assert (turned.value, turned.low, turned.high) == pytest.approx(
        (found.value, found.low, found.high), abs=1e-8
    )
    assert found.low <= found.value <= found.high


def test_a_gap_that_excludes_zero_alone_and_not_with_the_rounding_of_the_gain_has_no_ratio():
    # The gains are equal, so that rounding is added to both variances: the gap is then no longer significant,
    # and the set of ratios no interval.
    control = np.full(3, 0.5)
    teacher, taught = control + np.array([0.0155, 0.0255, 0.0355]), control + 0.01
    assert paired_interval(teacher, control, resolution=0.01).excludes_zero
    result = inheritance(taught, control, teacher, resolution=0.01)
    assert (code_of(result.value), result.code) == (Reason.NO_GAP, Reason.NO_GAP)
    assert np.isnan([result.low, result.high]).all()


def test_an_interval_of_rounded_values_holds_its_ratio():
    rng, step, undefined = np.random.default_rng(0), 0.02, 0
    for _ in range(500):
        control, teacher = (m + 0.02 * rng.normal(size=3) for m in (0.5, 0.58))
        taught = control + 0.02 + 0.002 * rng.normal(size=3)
        rounded = [np.round(values / step) * step for values in (taught, control, teacher)]
        result = inheritance(*rounded, resolution=step)
        undefined += np.isnan(result.value)
        assert np.isnan(result.value) or result.low <= result.value <= result.high
    assert 0 < undefined < 500


def test_fieller_covers_at_its_level():
    hits = []
    for seed in range(1500):
        taught, control, teacher = seeds(seed, n=5)
        found = inheritance(taught, control, teacher)
        hits.append(found.low <= 0.6 <= found.high)
    # 1,500 draws at .95: the standard error is .0056; four of them.
    assert abs(np.mean(hits) - 0.95) < 4 * 0.0056


def test_the_ends_of_the_scale():
    _, control, teacher = seeds(0)
    nothing, everything = inheritance(control, control, teacher), inheritance(teacher, control, teacher)
    assert (nothing.value, nothing.low, nothing.high) == (0, 0, 0)
    assert (everything.value, everything.low, everything.high) == pytest.approx((1, 1, 1), abs=1e-6)
    assert (nothing.reason, nothing.code) == ("the interval has no width", Reason.NO_WIDTH)


def test_no_gap_is_undefined_and_says_how_small_it_was():
    rng = np.random.default_rng(0)
    control, teacher = rng.normal(size=(2, 5))
    found = inheritance(teacher, control, teacher)
    assert math.isnan(found.value)
    assert math.isnan(found.low)
    assert found.reason.startswith("teacher and control do not differ: ")
    assert found.reason.endswith("over 5 seeds")
    assert reason_of(found.value) == found.reason
    assert found.code is code_of(found.value) is Reason.NO_GAP
    same = inheritance([0.5, 0.6], [0.1, 0.2], [0.1, 0.2])
    assert same.reason.startswith("teacher and control do not differ: 0 [0, 0]")


@pytest.mark.parametrize(
    ("values", "reason", "code"),
    [
        (([], [], []), "no seeds", Reason.NO_SAMPLES),
        (([0.5], [0.1], [0.9]), "one seed cannot tell whether teacher and control differ", Reason.ONE_SEED),
        (([0.5], [0.9], [0.9]), "one seed cannot tell whether teacher and control differ", Reason.ONE_SEED),
        (([0.5, math.nan], [0.1, 0.1], [0.9, 0.8]), "undefined in 1 of 2 seeds", Reason.UNDEFINED_SEED),
        (([0.5, 0.5], [0.1, 0.1], [math.nan, 0.8]), "undefined in 1 of 2 seeds", Reason.UNDEFINED_SEED),
    ],
)
def test_too_little_is_undefined_and_told_apart_from_no_gap(values, reason, code):
    found = inheritance(*values)
    assert (found.reason, found.code) == (reason, code)


def test_a_gap_that_resampling_can_turn_round_has_no_bootstrap_interval():
    control, teacher = np.zeros(4), np.array([2.0, 2.1, 1.9, -0.1])
    found = inheritance(teacher / 2, control, teacher, level=0.9, method="bootstrap")
    assert found.value == pytest.approx(0.5)
    assert math.isnan(found.low)
    assert found.reason == "the gap changes sign among resamples"
    assert found.code is Reason.UNDEFINED_RESAMPLE


def test_the_bootstrap_keeps_seeds_together():
    taught, control, teacher = seeds(0, n=40)
    found = inheritance(taught, control, teacher, method="bootstrap")
    exact = inheritance(taught, control, teacher)
    assert (found.low, found.high) == pytest.approx((exact.low, exact.high), abs=0.005)
    assert found == inheritance(taught, control, teacher, method="bootstrap")


def test_a_profile_keeps_what_is_undefined():
    profile = inheritance_profile({"accuracy": seeds(0), "nll": ([1.0, 2.0], [1.0, 3.0], [2.0, 1.0])})
    assert list(profile) == ["accuracy", "nll"]
    assert profile["accuracy"] == inheritance(*seeds(0))
    assert profile["nll"].reason is not None


def test_wrong_input_is_named():
    with pytest.raises(DataError, match="taught and control and teacher differ in length"):
        inheritance([0.1, 0.2], [0.1, 0.2], [0.9])
    with pytest.raises(DataError, match="level is out of range"):
        inheritance([0.1, 0.2], [0.1, 0.2], [0.9, 0.8], level=1.0)
