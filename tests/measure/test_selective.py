from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from bequest.errors import DataError
from bequest.measure import class_roc_auc, code_of, confidence_auc, risk_coverage, roc_auc
from bequest.measures import Reason


def predictions(seed, n=80, c=4, digits=2):
    rng = np.random.default_rng(seed)
    probs = rng.dirichlet(np.ones(c), size=n).round(digits)
    probs = probs / probs.sum(axis=1, keepdims=True)
    return probs, np.where(rng.random(n) < 0.5, probs.argmax(1), rng.integers(0, c, n))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 5))
def test_areas_are_scikit_learns_ties_among_them(seed, c):
    probs, labels = predictions(seed, c=c)
    if len(np.unique(labels)) < c:
        return
    expected = (
        roc_auc_score(labels, probs[:, 1]) if c == 2 else roc_auc_score(labels, probs, multi_class="ovr")
    )
    assert roc_auc(probs, labels) == pytest.approx(expected)
    by_class = [roc_auc_score(labels == k, probs[:, k]) for k in range(c)]
    assert class_roc_auc(probs, labels) == pytest.approx(by_class)
    right = probs.argmax(1) == labels
    assert confidence_auc(probs, labels) == pytest.approx(roc_auc_score(right, probs.max(1)))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000))
def test_risk_is_the_mean_over_all_orders_of_ties(seed):
    rng = np.random.default_rng(seed)
    confidence, correct = rng.integers(0, 3, 8) / 3, rng.random(8) < 0.6
    curve = risk_coverage(confidence, correct)
    risks = []
    for _ in range(3000):
        order = np.lexsort((rng.random(8), -confidence))
        risks.append(np.cumsum(~correct[order]) / np.arange(1, 9))
    assert curve.risk == pytest.approx(np.mean(risks, axis=0), abs=0.06)
    assert curve.risk[-1] == pytest.approx(1 - correct.mean())
    assert curve.area == pytest.approx(curve.risk.mean())
    assert curve.excess >= 0


def test_the_best_order_has_no_excess_and_the_worst_the_most():
    correct = np.arange(10) < 7
    best = risk_coverage(np.linspace(1, 0.5, 10), correct)
    worst = risk_coverage(np.linspace(0.5, 1, 10), correct)
    assert best.excess == 0
    assert worst.excess > 0.2
    assert worst.risk[0] == 1


def test_too_little_is_undefined():
    probs, labels = predictions(0)
    assert code_of(roc_auc(probs, np.zeros(80, int))) is Reason.ALWAYS_SAME
    assert code_of(roc_auc(probs[:0], labels[:0])) is Reason.NO_SAMPLES
    assert code_of(confidence_auc(probs, probs.argmax(1))) is Reason.ALWAYS_SAME
    assert code_of(confidence_auc(probs[:0], labels[:0])) is Reason.NO_SAMPLES
    assert code_of(risk_coverage(np.zeros(0), np.zeros(0, bool)).area) is Reason.NO_SAMPLES
    with pytest.raises(DataError, match="differ in length"):
        risk_coverage(np.zeros(3), np.zeros(2, bool))
