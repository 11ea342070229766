from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats
from sklearn.metrics import cohen_kappa_score, jaccard_score

from bequest.errors import DataError
from bequest.measure import (
    agreement,
    agreement_on_errors,
    consistency_gap,
    error_consistency,
    error_overlap,
    flips,
    reason_of,
    teacher_student_kl,
)

flags = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=2, max_size=40)


@settings(max_examples=60, deadline=None)
@given(flags)
def test_error_consistency_is_scikit_learns_kappa_of_correctness(pairs):
    one, other = (np.array(side) for side in zip(*pairs, strict=True))
    value = error_consistency(one, other)
    if len(set(one)) == 1 or len(set(other)) == 1:
        assert reason_of(value) is not None
        return
    assert value == pytest.approx(cohen_kappa_score(one, other), abs=1e-12)
    assert value == error_consistency(other, one)
    assert -1 <= value <= 1


def test_equal_errors_are_one_and_opposite_errors_minus_one():
    correct = np.array([True, False, True, False])
    assert error_consistency(correct, correct) == 1
    assert error_consistency(correct, ~correct) == -1


def test_independent_errors_are_consistent_by_chance_only():
    rng = np.random.default_rng(0)
    draws = [error_consistency(rng.random(2000) < 0.9, rng.random(2000) < 0.8) for _ in range(200)]
    # Under independence kappa·√n has a standard deviation near 1: four standard errors of the mean.
    assert abs(np.mean(draws)) < 4 / np.sqrt(2000 * 200)


def test_agreement_is_the_share_of_equal_answers():
    a = np.array([0, 1, 2, 3, 4])
    assert agreement(a, a) == 1
    assert agreement(a, a[::-1]) == 0.2
    assert agreement(a, np.array([1, 2, 3, 4, 0])) == 0


def test_one_sided_models_and_empty_sets_are_undefined():
    some, every = np.array([True, False]), np.array([True, True])
    assert reason_of(error_consistency(every, some)) == "the first model is always right"
    assert reason_of(error_consistency(some, ~every)) == "the second model is always wrong"
    nothing = np.zeros(0, bool)
    assert reason_of(error_consistency(nothing, nothing)) == "no samples"
    assert reason_of(agreement(np.zeros(0, int), np.zeros(0, int))) == "no samples"


def test_predictions_are_not_taken_for_correctness():
    with pytest.raises(DataError, match="correct is not boolean"):
        error_consistency(np.array([1, 0]), np.array([1, 0]))
    with pytest.raises(DataError, match="correct and other_correct differ in length"):
        error_consistency(np.array([True]), np.array([True, False]))
    with pytest.raises(DataError, match="predictions are not class indices"):
        agreement(np.array([0.5]), np.array([1]))


def test_a_student_of_the_family_errs_like_any_teacher_of_it():
    rng = np.random.default_rng(0)
    hard = rng.random(5000) < 0.3
    student, own, other = (~(hard & (rng.random(5000) < 0.7)) for _ in range(3))
    found = consistency_gap(student, own, other)
    assert (found.own, found.other) == (error_consistency(student, own), error_consistency(student, other))
    assert found.gap == pytest.approx(found.own - found.other)
    assert abs(found.gap) < 0.1 < found.own
    assert (
        reason_of(consistency_gap(student, own, np.ones(5000, bool)).gap)
        == "the second model is always right"
    )


def test_where_the_teacher_errs_only_the_teacher_can_have_taught_the_answer():
    labels = np.array([0, 0, 0, 0])
    teacher = np.array([0, 1, 1, 2])
    assert agreement_on_errors(np.array([0, 1, 0, 2]), teacher, labels) == pytest.approx(2 / 3)
    assert agreement_on_errors(teacher, teacher, labels) == 1
    assert reason_of(agreement_on_errors(teacher, labels, labels)) == "the teacher makes no error"
    with pytest.raises(DataError, match="predictions and other_predictions and labels differ in length"):
        agreement_on_errors(teacher, teacher, labels[:2])


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_kl_equals_scipy_is_zero_at_equality_and_never_negative(seed):
    rng = np.random.default_rng(seed)
    p, q = special.log_softmax(3 * rng.normal(size=(2, 8, 5)), axis=2)
    assert teacher_student_kl(p, q) == pytest.approx(stats.entropy(np.exp(p), np.exp(q), axis=1), abs=1e-12)
    assert teacher_student_kl(p, p).tolist() == [0] * 8
    assert (teacher_student_kl(p, q) >= -1e-15).all()


def test_kl_of_certainties():
    with np.errstate(divide="ignore"):
        sure, half = np.log([[1.0, 0.0]]), np.log([[0.5, 0.5]])
    assert teacher_student_kl(sure, sure).tolist() == [0]
    assert teacher_student_kl(sure, half) == pytest.approx([np.log(2)])
    assert teacher_student_kl(half, sure).tolist() == [np.inf]
    with pytest.raises(DataError, match="teacher and student differ in the number of classes"):
        teacher_student_kl(half, np.log([[0.5, 0.25, 0.25]]))
    with pytest.raises(DataError, match="student_log_probs is not a distribution"):
        teacher_student_kl(half, np.exp(half))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_flips_part_the_samples_that_change(seed):
    before, after, labels = np.random.default_rng(seed).integers(0, 3, size=(3, 40))
    found = flips(before, after, labels)
    changed = found.mended.astype(int) + found.broken + found.moved
    assert np.array_equal(changed, (before != after).astype(int))
    gained = (after == labels).mean() - (before == labels).mean()
    assert (found.mended.sum() - found.broken.sum()) / 40 == pytest.approx(gained)


@settings(max_examples=30, deadline=None)
@given(flags)
def test_error_overlap_counts_every_sample_once(pairs):
    one, other = (np.array(side) for side in zip(*pairs, strict=True))
    found = error_overlap(one, other)
    assert found.both + found.first_only + found.second_only + found.neither == len(one)
    if one.all() and other.all():
        assert reason_of(found.jaccard) == "neither model makes an error"
    else:
        assert found.jaccard == pytest.approx(jaccard_score(~one, ~other))
