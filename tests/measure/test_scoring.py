from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats
from sklearn import metrics

from bequest.errors import DataError
from bequest.measure import brier, brier_parts, entropy, nll, reason_of


def made(seed: int, n: int = 60, c: int = 4) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return special.softmax(2 * rng.normal(size=(n, c)), axis=1), rng.integers(0, c, n)


@pytest.mark.parametrize("seed", range(5))
def test_nll_equals_scikit_learn_and_torch(seed):
    probs, labels = made(seed)
    value = nll(np.log(probs), labels)
    assert value == pytest.approx(metrics.log_loss(labels, probs, labels=range(4)), rel=1e-12)
    expected = torch.nn.functional.nll_loss(torch.from_numpy(probs).log(), torch.from_numpy(labels))
    assert value == pytest.approx(float(expected), rel=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_brier_equals_scikit_learn(seed):
    probs, labels = made(seed)
    expected = metrics.brier_score_loss(labels, probs, labels=range(4), scale_by_half=False)
    assert brier(probs, labels) == pytest.approx(expected, rel=1e-12)


def test_scores_at_their_ends():
    labels = np.array([0, 1, 2])
    assert brier(np.eye(3), labels) == 0
    assert brier(np.eye(3)[[1, 2, 0]], labels) == 2
    assert nll(np.log(np.full((3, 3), 1 / 3)), labels) == pytest.approx(math.log(3))
    assert nll(np.array([[0.0, -math.inf]]), np.array([0])) == 0
    assert nll(np.array([[0.0, -math.inf]]), np.array([1])) == math.inf


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 40))
def test_brier_parts_add_up_for_any_forecast(seed, bins):
    probs, labels = made(seed, n=30)
    parts = brier_parts(probs, labels, bins=bins)
    total = parts.reliability - parts.resolution + parts.uncertainty + parts.within
    assert total == pytest.approx(parts.score, abs=1e-12)
    assert parts.score == pytest.approx(brier(probs, labels), abs=1e-12)
    assert min(parts.reliability, parts.resolution, parts.uncertainty) >= -1e-15


def test_forecasts_of_few_values_leave_nothing_within_bins_and_give_murphys_parts():
    forecast = np.array([0.25] * 8 + [0.75] * 8)
    labels = np.array([1] * 2 + [0] * 6 + [1] * 4 + [0] * 4)
    parts = brier_parts(np.stack([1 - forecast, forecast], axis=1), labels, bins=10)
    # One column by hand: at .25 the frequency is .25, at .75 it is .5; base rate 6/16. Two classes double it.
    assert parts.reliability == pytest.approx(2 * 0.5 * 0.25**2)
    assert parts.resolution == pytest.approx(2 * (0.5 * (0.25 - 0.375) ** 2 + 0.5 * (0.5 - 0.375) ** 2))
    assert parts.uncertainty == pytest.approx(2 * 0.375 * 0.625)
    assert parts.within == pytest.approx(0, abs=1e-15)


def test_entropy_equals_scipy_and_knows_certainty():
    probs, _ = made(0)
    assert entropy(probs) == pytest.approx(stats.entropy(probs, axis=1))
    assert entropy(np.eye(3)).tolist() == [0, 0, 0]


def test_empty_sets_are_undefined():
    nothing, labels = np.zeros((0, 3)), np.zeros(0, int)
    parts = brier_parts(nothing, labels)
    for value in (nll(nothing, labels), brier(nothing, labels), parts.score, parts.within):
        assert reason_of(value) == "no samples"


def test_logits_and_probabilities_are_not_taken_for_each_other():
    probs, labels = made(0)
    with pytest.raises(DataError, match="log_probs is not a distribution in each row"):
        nll(probs, labels)
    with pytest.raises(DataError, match="probs holds negative numbers"):
        brier(np.log(probs), labels)
    with pytest.raises(DataError, match="probs is not a distribution in each row"):
        brier(2 * probs, labels)
    with pytest.raises(DataError, match="log_probs is not a distribution"):
        nll(np.full((1, 2), 800.0), np.array([0]))


def test_probabilities_saved_in_half_precision_pass():
    probs, labels = made(0, c=4)
    assert brier(torch.from_numpy(probs).half(), labels) == pytest.approx(brier(probs, labels), abs=2e-3)
