"""Accuracy by stratum against the definition, written out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bequest.errors import DataError
from bequest.measure import (
    Undefined,
    accuracy,
    accuracy_by,
    balanced_accuracy,
    constant_accuracy_by,
    mean_accuracy_by,
    worst_accuracy_by,
)


def made(seed, rows=60, strata=4):
    chance = np.random.default_rng(seed)
    return chance.normal(size=(rows, 2)), chance.integers(0, 2, rows), chance.integers(-1, strata, rows)


@settings(deadline=None)
@given(seed=st.integers(0, 1000))
def test_every_stratum_is_scored_by_itself(seed):
    scores, labels, strata = made(seed)
    found = accuracy_by(scores, labels, strata)
    assert found.values.tolist() == sorted(set(strata[strata >= 0].tolist()))
    for place, value in enumerate(found.values):
        own = strata == value
        assert found.counts[place] == own.sum()
        assert found.accuracy[place] == accuracy(scores[own], labels[own])
        assert found.balanced[place] == balanced_accuracy(scores[own], labels[own])
        share = labels[own].mean()
        assert found.majority[place] == pytest.approx(max(share, 1 - share))
    assert mean_accuracy_by(scores, labels, strata) == pytest.approx(found.accuracy.mean())


@settings(deadline=None)
@given(seed=st.integers(0, 1000))
def test_with_one_stratum_the_mean_is_the_accuracy(seed):
    scores, labels, _ = made(seed)
    assert mean_accuracy_by(scores, labels, np.zeros(60, int)) == pytest.approx(accuracy(scores, labels))


def test_always_plural_scores_what_linzens_bins_say():
    plural = {0: 0.33, 1: 0.58, 2: 0.77, 3: 0.85, 4: 0.93}
    labels = np.concatenate([np.arange(100) < round(100 * share) for share in plural.values()]).astype(int)
    strata = np.repeat(list(plural), 100)
    assert constant_accuracy_by(labels, strata, count=2)[1] == pytest.approx(np.mean(list(plural.values())))
    assert constant_accuracy_by(labels, strata, count=2).sum() == pytest.approx(1.0)
    answers = np.tile([0.0, 1.0], (len(labels), 1))
    assert mean_accuracy_by(answers, labels, strata) == pytest.approx(0.692)
    assert accuracy_by(answers, labels, strata).balanced.tolist() == [0.5] * 5


def test_no_stratum_and_wrong_strata():
    found = mean_accuracy_by(np.eye(2), np.array([0, 1]), np.array([-1, -1]))
    assert isinstance(found, Undefined)
    assert found.reason == "no sample belongs to a stratum"
    with pytest.raises(DataError, match="strata are not integers"):
        accuracy_by(np.eye(2), np.array([0, 1]), np.array([0.0, 1.0]))
    with pytest.raises(DataError):
        accuracy_by(np.eye(2), np.array([0, 1]), np.array([0]))


def test_constant_answers_are_scored_without_a_matrix_of_classes():
    """Each constant answer's score by brute force, and memory that does not go with C²."""
    rng = np.random.default_rng(0)
    labels, strata = rng.integers(0, 4, 60), rng.integers(-1, 3, 60)
    scores = constant_accuracy_by(labels, strata, count=4)
    brute = [mean_accuracy_by(np.tile(np.eye(4)[c], (60, 1)), labels, strata) for c in range(4)]
    assert scores == pytest.approx(brute)
    many = constant_accuracy_by(labels, strata, count=200_000)
    assert many[:4] == pytest.approx(brute)
    assert np.isnan(constant_accuracy_by(labels, np.full(60, -1), count=4)).all()


@settings(deadline=None)
@given(seed=st.integers(0, 1000))
def test_the_worst_stratum_is_the_least_accurate_one(seed):
    scores, labels, strata = made(seed)
    each = [accuracy(scores[strata == k], labels[strata == k]) for k in range(4) if (strata == k).any()]
    assert worst_accuracy_by(scores, labels, strata) == pytest.approx(min(each))
    assert isinstance(worst_accuracy_by(scores, labels, np.full(60, -1)), Undefined)
