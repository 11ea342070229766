from __future__ import annotations

import math
import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from bequest.errors import DataError
from bequest.measure import (
    accuracy,
    balanced_accuracy,
    class_accuracy,
    class_precision,
    macro_f1,
    macro_precision,
    predictions_of,
    reason_of,
)


def made(seed: int, n: int = 200, c: int = 6) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, c)), rng.integers(0, c, n)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("top", [1, 2, 3, 6])
def test_top_k_equals_scikit_learn(seed, top):
    scores, labels = made(seed)
    expected = metrics.top_k_accuracy_score(labels, scores, k=top, labels=range(6)) if top < 6 else 1.0
    assert accuracy(scores, labels, top=top) == pytest.approx(expected, abs=1e-15)


@pytest.mark.parametrize("seed", range(5))
def test_balanced_accuracy_and_f1_equal_scikit_learn(seed):
    scores, labels = made(seed, n=30)
    guesses = predictions_of(scores)
    assert balanced_accuracy(scores, labels) == pytest.approx(
        metrics.balanced_accuracy_score(labels, guesses)
    )
    assert macro_f1(scores, labels) == pytest.approx(metrics.f1_score(labels, guesses, average="macro"))
    precision = metrics.precision_score(
        labels, guesses, average=None, labels=range(6), zero_division=math.nan
    )
    assert class_precision(scores, labels) == pytest.approx(precision, nan_ok=True)
    expected = metrics.precision_score(labels, guesses, average="macro", zero_division=0)
    assert macro_precision(scores, labels) == pytest.approx(expected)


def test_a_class_without_samples_has_no_accuracy_and_does_not_drag_the_mean():
    scores, labels = np.eye(4)[[0, 1, 1]], np.array([0, 1, 0])
    assert np.array_equal(class_accuracy(scores, labels), [0.5, 1.0, math.nan, math.nan], equal_nan=True)
    assert balanced_accuracy(scores, labels) == 0.75
    assert macro_f1(scores, labels) == pytest.approx(2 / 3)


def test_ties_go_to_the_lowest_class_so_a_constant_model_earns_one_class_only():
    labels = np.arange(10)
    assert accuracy(np.ones((10, 10)), labels) == 0.1
    assert accuracy(np.ones((10, 10)), labels, top=3) == pytest.approx(0.3)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 5))
def test_accuracy_ignores_order_of_samples_and_monotone_changes_of_scores(seed, top):
    scores, labels = made(seed, n=20, c=5)
    order = np.random.default_rng(seed).permutation(20)
    value = accuracy(scores, labels, top=top)
    assert accuracy(scores[order], labels[order], top=top) == value
    assert accuracy(3 * scores - 1, labels, top=top) == value
    assert accuracy(torch.from_numpy(scores), torch.from_numpy(labels), top=top) == value


def test_accuracy_grows_with_top_and_ends_at_one():
    scores, labels = made(0)
    values = [accuracy(scores, labels, top=k) for k in range(1, 7)]
    assert values == sorted(values)
    assert values[-1] == 1.0


@pytest.mark.parametrize("measure", [accuracy, balanced_accuracy, macro_f1, macro_precision])
def test_nothing_has_no_accuracy(measure):
    value = measure(np.zeros((0, 3)), np.zeros(0, dtype=int))
    assert math.isnan(value)
    assert reason_of(value) == "no samples"


def test_half_precision_and_bfloat16_are_read():
    scores, labels = made(1)
    for kind in (torch.float16, torch.bfloat16, torch.float32, torch.float8_e5m2):
        tensor = torch.from_numpy(scores).to(kind)
        assert np.array_equal(predictions_of(tensor), tensor.float().argmax(1).numpy())
    assert accuracy(torch.from_numpy(scores).requires_grad_(), labels) == accuracy(scores, labels)


@pytest.mark.parametrize(
    ("scores", "labels", "message"),
    [
        (np.zeros(3), np.zeros(3, int), "scores has the wrong shape"),
        (np.zeros((3, 0)), np.zeros(3, int), "scores has the wrong shape"),
        (np.zeros((3, 2)), np.zeros(4, int), "scores and labels differ in length"),
        (np.zeros((3, 2)), np.array([0, 1, 2]), "labels are out of range"),
        (np.zeros((3, 2)), np.array([0, 1, -100]), "labels are out of range"),
        (np.zeros((3, 2)), np.zeros(3), "labels are not class indices"),
        (np.zeros((3, 2)), np.zeros((3, 1), int), "labels has the wrong shape"),
        (np.array([[0.0, math.nan]]), np.zeros(1, int), "NaN or +inf among the scores"),
        (np.array([["a", "b"]]), np.zeros(1, int), "scores is not an array of numbers"),
        (torch.zeros(3, 2, device="meta"), np.zeros(3, int), "scores is not in CPU memory"),
    ],
)
def test_wrong_input_is_named(scores, labels, message):
    with pytest.raises(DataError, match=message.replace("+", r"\+")):
        accuracy(scores, labels)


def test_top_is_one_or_more():
    with pytest.raises(DataError, match="top is too small"):
        accuracy(*made(0), top=0)


def test_one_column_is_no_choice_between_classes():
    for measure in (accuracy, class_accuracy, macro_f1, balanced_accuracy):
        with pytest.raises(DataError, match="scores has one column, which is not a choice between classes"):
            measure(np.ones((3, 1)), np.zeros(3, dtype=int))
    with pytest.raises(DataError, match="one column"):
        predictions_of(np.ones((3, 1)))


def test_scores_by_class_need_no_matrix_of_classes():
    """A confusion matrix of 30,000 classes would hold 9e8 numbers."""
    rng = np.random.default_rng(0)
    scores, labels = rng.normal(size=(20, 30_000)).astype(np.float32), rng.integers(0, 30_000, 20)
    tracemalloc.start()
    macro_f1(scores, labels), balanced_accuracy(scores, labels)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 30 * scores.size
