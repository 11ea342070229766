from __future__ import annotations

from math import nan

import pytest
from scipy import stats

from bequest.measure import verdict_of
from bequest.records import Measurement
from bequest.studies.answer import answer_sentence
from bequest.studies.claim_spec import AnswerSpec, ClaimSpec
from bequest.studies.claims import find, judge


def measured(arm, values, measure="accuracy", **fields):
    mean = sum(values) / len(values)
    return Measurement(
        measure=measure,
        arm=arm,
        split="test",
        value=mean,
        n=len(values),
        low=mean - 0.1,
        high=mean + 0.1,
        per_seed={str(k): v for k, v in enumerate(values)},
        **fields,
    )


def claim(**fields):
    base = {"id": "c", "text": "t", "source": "s", "measure": "accuracy", "arm": "a", "split": "test"}
    return ClaimSpec(**{**base, **fields})


@pytest.mark.parametrize(
    ("direction", "low", "high", "margin", "word"),
    [
        ("above", 0.11, 0.3, 0.1, "upheld"),
        ("above", 0.05, 0.3, 0.1, "undecided"),
        ("above", 0.01, 0.09, 0.1, "contradicted"),
        ("below", -0.3, -0.11, -0.1, "upheld"),
        ("below", -0.05, 0.3, -0.1, "contradicted"),
        ("below", -0.3, 0.3, 0.0, "undecided"),
        ("within", -0.05, 0.05, 0.1, "upheld"),
        ("within", 0.2, 0.3, 0.1, "contradicted"),
        ("within", -0.3, -0.2, 0.1, "contradicted"),
        ("within", 0.05, 0.15, 0.1, "undecided"),
    ],
)
def test_verdicts(direction, low, high, margin, word):
    assert verdict_of(direction, low, high, margin) == word


def test_a_contrast_is_paired_by_seed():
    first, second = [0.9, 0.7, 0.8], [0.85, 0.66, 0.74]
    (verdict,) = judge([claim(against="b")], [measured("a", first), measured("b", second)])
    found = stats.ttest_rel(first, second).confidence_interval(0.95)
    assert (verdict.low, verdict.high) == pytest.approx((found.low, found.high))
    assert verdict.verdict == "upheld"
    assert verdict.n == 3
    assert verdict.contrast == "accuracy on test: a − b, above 0"


def test_a_contrast_of_likenesses_is_beside_the_same_teacher():
    measurements = [
        measured("b", [0.1, 0.1], "cka", teacher="other"),
        measured("a", [0.9, 0.8], "cka", teacher="mine"),
        measured("b", [0.5, 0.5], "cka", teacher="mine"),
    ]
    (verdict,) = judge([claim(measure="cka", against="b")], measurements)
    assert verdict.value == pytest.approx(0.35)


def test_a_contrast_may_be_with_another_measure_of_the_other_arm():
    measurements = [
        measured("a", [0.9, 0.7, 0.8], "cka/ceiling", teacher="t"),
        measured("b", [0.5, 0.4, 0.3], "cka", teacher="t"),
    ]
    (verdict,) = judge([claim(measure="cka/ceiling", against="b", against_measure="cka")], measurements)
    assert verdict.value == pytest.approx(0.4)
    assert verdict.contrast == "cka/ceiling on test: a − cka of b, above 0"


def test_what_was_not_measured_or_is_undefined_is_undecided_with_a_reason():
    undefined = Measurement(
        measure="inheritance/accuracy",
        arm="a",
        split="test",
        value=None,
        n=3,
        reason="no gap",
        reason_code="no_gap",
    )
    verdicts = judge([claim(measure="inheritance/accuracy"), claim(arm="z")], [undefined])
    assert [(v.verdict, v.reason, v.reason_code, v.value) for v in verdicts] == [
        ("undecided", "no gap", "no_gap", None),
        ("undecided", "not measured", "not_measured", None),
    ]
    (verdict,) = judge([claim(against="b")], [measured("a", [0.5]), measured("b", [0.4])])
    assert (verdict.verdict, verdict.reason) == ("undecided", "one pair has no interval")
    assert verdict.reason_code == "one_seed"


def test_the_answer_quotes_the_measurements():
    spec = AnswerSpec(
        text="It took {x} of it; {y}; {n} seeds.",
        values={
            "x": {"measure": "accuracy", "arm": "a", "split": "test"},
            "y": {"measure": "accuracy", "arm": "z", "split": "test"},
        },
    )
    sentence = answer_sentence(spec, [measured("a", [-0.02])], 5)
    assert sentence == "It took −2 % [−12, 8] of it; an undefined share (not measured); 5 seeds."
    assert answer_sentence(spec, [measured("a", [-0.02])], "3 to 6").endswith("; 3 to 6 seeds.")


def test_find_takes_the_first_that_fits():
    assert find([measured("a", [1.0])], "accuracy", "a", None) is not None
    assert find([measured("a", [1.0])], "accuracy", "a", "other") is None


def test_a_verdict_carries_what_a_paper_printed_what_a_probe_led_to_expect_and_its_arms():
    fields = {"published": 0.3, "expected": 0.25, "exploratory": True, "margin": 0.02}
    (verdict,) = judge([claim(against="b", **fields)], [measured("a", [0.9, 0.8]), measured("b", [0.5, 0.5])])
    assert (verdict.published, verdict.expected, verdict.exploratory) == (0.3, 0.25, True)
    assert (verdict.arms, verdict.margin, verdict.source) == (("a", "b"), 0.02, "s")
    (plain,) = judge([claim()], [measured("a", [0.9])])
    assert (plain.published, plain.expected, plain.exploratory) == (None, None, False)


def test_a_contrast_may_be_against_another_split():
    measurements = [
        measured("a", [0.9, 0.8]),
        measured("a", [0.5, 0.6]).model_copy(update={"split": "moved"}),
    ]
    (verdict,) = judge([claim(against="a", against_split="moved")], measurements)
    assert verdict.value == pytest.approx(0.3)
    assert verdict.contrast == "accuracy on test: a − a on moved, above 0"


def test_seeds_at_which_a_value_is_undefined_are_left_out_of_the_pairs():
    first, second = measured("a", [0.9, 0.7, 0.8]), measured("b", [0.5, 0.4, 0.6])
    second = second.model_copy(update={"per_seed": {"0": 0.5, "1": None, "2": 0.6}})
    (verdict,) = judge([claim(against="b")], [first, second])
    assert (verdict.n, verdict.value) == (2, pytest.approx(0.3))


def test_an_undefined_interval_gives_no_verdict():
    without = measured("a", [0.9]).model_copy(update={"low": nan, "high": nan})
    (verdict,) = judge([claim()], [without])
    assert (verdict.verdict, verdict.low) == ("undecided", None)
