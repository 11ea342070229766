from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from bequest.errors import DataError
from bequest.measure import (
    Claim,
    Estimate,
    holm,
    inheritance,
    judge_family,
    paired_interval,
    seed_interval,
    verdict_of,
    verdict_p_value,
)
from bequest.measures import Reason


def claim(values, direction="above", margin=0.0, **options) -> Claim:
    return Claim(
        lambda level: seed_interval(np.array(values, dtype=float), level=level), direction, margin, **options
    )


def draws(seed: int, n: int = 5, mean: float = 0.0) -> np.ndarray:
    return mean + np.random.default_rng(seed).normal(size=n)


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 10_000), st.floats(-1, 1), st.sampled_from(["above", "below"]))
def test_the_p_value_of_a_direction_is_that_of_a_two_sided_t_test(seed, margin, direction):
    values = draws(seed)
    expected = stats.ttest_1samp(values, margin).pvalue
    assert verdict_p_value(claim(values, direction, margin)) == pytest.approx(expected, rel=1e-4)


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.5, 3))
def test_equivalence_is_two_one_sided_tests_against_both_margins(seed, margin):
    values = draws(seed)
    lower = stats.ttest_1samp(values, -margin, alternative="greater").pvalue
    upper = stats.ttest_1samp(values, margin, alternative="less").pvalue
    inside = 2 * max(lower, upper)
    outside = 2 * min(1 - lower, 1 - upper)
    expected = min(inside, outside, 1.0)
    assert verdict_p_value(claim(values, "within", margin)) == pytest.approx(expected, rel=1e-4)


@settings(max_examples=6, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 7))
def test_verdicts_are_those_of_holms_p_values(seed, count):
    rng = np.random.default_rng(seed)
    samples = [draws(seed + k, mean=rng.choice([0, 0.5, 2, 10])) for k in range(count)]
    judged = judge_family([claim(values) for values in samples])
    adjusted = holm([stats.ttest_1samp(values, 0).pvalue for values in samples])
    assert [j.adjusted_p_value for j in judged] == pytest.approx(adjusted.tolist(), rel=1e-3)
    for j, p, values in zip(judged, adjusted, samples, strict=True):
        assert (j.verdict != "undecided") == (p < 0.05)
        assert j.plain == seed_interval(values)
        # The adjusted interval says what the verdict says, and contains the plain one.
        assert j.verdict == verdict_of("above", j.adjusted.low, j.adjusted.high, 0.0)
        assert j.adjusted.low <= j.plain.low <= j.plain.high <= j.adjusted.high
    assert max(j.adjusted.level for j in judged) <= 1 - 0.05 / count + 1e-12


def test_one_claim_is_judged_by_its_plain_interval():
    values = draws(3, mean=2)
    (alone,) = judge_family([claim(values)])
    assert alone.plain == alone.adjusted
    assert alone.p_value == alone.adjusted_p_value


def test_a_family_decides_less_than_its_claims_alone():
    values = [0.40, 0.55, 0.62]
    assert seed_interval(values).low > 0
    weak = [claim(draws(k)) for k in range(9)]
    assert judge_family([claim(values), *weak])[0].verdict == "undecided"


def test_contradicted_claims_are_verdicts_of_the_family_too():
    judged = judge_family([claim(draws(0, mean=-20)), claim(draws(1, mean=20), "below")])
    assert [j.verdict for j in judged] == ["contradicted", "contradicted"]


def test_no_width_gives_no_verdict_unless_the_values_are_equal_by_construction():
    equal = [0.5, 0.5, 0.5]
    (judged,) = judge_family([claim(equal)])
    assert (judged.verdict, judged.code, judged.reason) == (
        "undecided",
        Reason.NO_WIDTH,
        "all seeds are equal",
    )
    assert judged.p_value == 1.0
    (exact,) = judge_family([claim([0.0, 0.0, 0.0], "within", 0.01, exact=True)])
    assert exact.verdict == "upheld"


def test_equal_differences_decide_beyond_their_resolution_only():
    def judged(gap: float) -> str:
        control = np.array([0.90, 0.93, 0.96])
        pairs = Claim(
            lambda level: paired_interval(control + gap, control, level=level, resolution=0.01), "above"
        )
        return judge_family([pairs])[0].verdict

    assert judged(0.01) == "undecided"
    assert judged(0.10) == "upheld"


@pytest.mark.parametrize(
    ("values", "code"),
    [([0.5], Reason.ONE_SEED), ([0.5, math.nan], Reason.UNDEFINED_SEED), ([], Reason.NO_SAMPLES)],
)
def test_what_is_undefined_is_undecided_with_its_code_and_counts(values, code):
    undefined, decided = judge_family([claim(values), claim(draws(0, mean=20))])
    assert (undefined.verdict, undefined.code) == ("undecided", code)
    assert decided.verdict == "upheld"
    assert decided.adjusted_p_value == pytest.approx(2 * decided.p_value)


def test_a_ratio_without_a_gap_is_undecided():
    rng = np.random.default_rng(0)
    control, teacher = rng.normal(size=(2, 5))
    ratio = Claim(lambda level: inheritance(teacher, control, teacher, level=level), "above", 0.5)
    (judged,) = judge_family([ratio])
    assert (judged.verdict, judged.code) == ("undecided", Reason.NO_GAP)


def test_a_ratio_whose_gap_is_not_significant_at_the_familys_level_is_undecided():
    control, teacher = np.zeros(3), np.array([0.8, 1.0, 1.25])
    taught = teacher * 0.9 + np.array([0.001, -0.001, 0.0])
    ratio = Claim(lambda level: inheritance(taught, control, teacher, level=level), "above", 0.5)
    assert judge_family([ratio])[0].verdict == "upheld"
    crowded = judge_family([ratio, *(claim(draws(k)) for k in range(29))])[0]
    assert (crowded.verdict, crowded.adjusted.code) == ("undecided", Reason.NO_GAP)


def test_no_claims_no_verdicts():
    assert judge_family([]) == []


def test_wrong_verdicts_are_5_percent_for_the_family_where_claims_share_a_control():
    rng = np.random.default_rng(0)
    wrong = 0
    for _ in range(100):
        arms, control = rng.normal(size=(6, 5)), rng.normal(size=5)
        judged = judge_family([claim(arm - control) for arm in arms])
        wrong += any(j.verdict != "undecided" for j in judged)
    # 100 studies at .05: the standard error is .022; three of them. benchmarks/verdicts.py has thousands.
    assert wrong / 100 <= 0.05 + 3 * 0.022


def test_wrong_input_is_named():
    with pytest.raises(DataError, match="level is out of range"):
        judge_family([], level=5.0)


def test_an_interval_with_an_undefined_end_decides_nothing():
    assert verdict_of("above", math.nan, math.nan, 0.0) == "undecided"
    assert verdict_of("within", math.nan, 1.0, 2.0) == "undecided"
    broken = Claim(lambda level: Estimate(1.0, 3, math.nan, math.nan, level, "t"), "above")
    assert judge_family([broken])[0].reason == "no interval"
