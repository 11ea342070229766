"""Selective prediction: risk against coverage, and areas under ROC curves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from bequest.measure.arrays import Array, Booleans, Floats, classes, flags, probabilities, same_length, vector
from bequest.measure.undefined import Undefined, no_samples
from bequest.measures import Reason


@dataclass(frozen=True, slots=True)
class RiskCoverage:
    """Errors among a model's most confident answers.

    Attributes:
        coverage: (N,), share of the samples that are answered, increasing to 1.
        risk: (N,), share of wrong answers among them.
        area: The mean risk over coverages (AURC), in [0, 1]; lower is better.
        excess: AURC minus that of a model of the same accuracy with the best possible order (E-AURC).
    """

    coverage: Float[np.ndarray, " n"]
    risk: Float[np.ndarray, " n"]
    area: float
    excess: float


def risk_coverage(confidence: Array, correct: Array) -> RiskCoverage:
    """The risk at each coverage when the least confident answers are left out.

    Equally confident samples all count with the mean error of their group, so that their order does not
    matter.

    Args:
        confidence: (N,), such as the highest probability.
        correct: bool, (N,).

    Returns:
        ``area`` and ``excess`` are NaN with a reason without samples.

    Raises:
        DataError: If lengths differ or types do not fit.

    Source: Geifman & El-Yaniv (2017), "Selective Classification for Deep Neural Networks"; Geifman, Uziel &
    El-Yaniv (2019) for the excess.

    >>> curve = risk_coverage(np.array([0.9, 0.8, 0.7, 0.6]), np.array([True, True, True, False]))
    >>> curve.risk.tolist(), curve.area, curve.excess
    ([0.0, 0.0, 0.0, 0.25], 0.0625, 0.0)
    """
    sure, right = vector(confidence, "confidence"), flags(correct, "correct")
    count = same_length(confidence=sure, correct=right)
    if not count:
        return RiskCoverage(np.zeros(0), np.zeros(0), no_samples(), no_samples())
    wrong = _shared_by_ties(sure, ~right)
    answered = np.arange(1, count + 1)
    risk = np.cumsum(wrong) / answered
    best = np.cumsum(np.sort(~right)) / answered  # all right answers before all wrong ones
    area = float(risk.mean())
    return RiskCoverage(answered / count, risk, area, max(area - float(best.mean()), 0.0))


def confidence_auc(probs: Array, labels: Array) -> float:
    """The probability that a right answer is more confident than a wrong one (AUROC), ties half, in [0, 1].

    .5: confidence says nothing about correctness. It does not matter whether confidence is calibrated.

    Args:
        probs: (N, C), probabilities.
        labels: int, (N,).

    Returns:
        NaN with a reason if all answers are right or all are wrong.

    >>> confidence_auc(np.array([[0.9, 0.1], [0.6, 0.4]]), np.array([0, 1]))
    1.0
    """
    table = probabilities(probs)
    truth = classes(labels, "labels", count=table.shape[1])
    if not same_length(probs=table, labels=truth):
        return no_samples()
    right = table.argmax(axis=1) == truth
    if right.all() or not right.any():
        return Undefined(f"every answer is {'right' if right.all() else 'wrong'}", Reason.ALWAYS_SAME)
    return _area(table.max(axis=1), right)


def class_roc_auc(probs: Array, labels: Array) -> Float[np.ndarray, " c"]:
    """The area under the ROC of p_k against [label = k] of each class, (C,), in [0, 1]; one against the rest.

    The probability that a sample of class k has a higher p_k than one of another class, ties half. NaN for a
    class without samples, and for one that has all of them.

    >>> class_roc_auc(np.array([[0.9, 0.1], [0.6, 0.4], [0.7, 0.3]]), np.array([0, 1, 1]))
    array([1., 1.])
    """
    table = probabilities(probs)
    truth = classes(labels, "labels", count=table.shape[1])
    same_length(probs=table, labels=truth)
    counts = np.bincount(truth, minlength=table.shape[1])
    defined = (counts > 0) & (counts < len(truth))
    return np.array([_area(table[:, k], truth == k) if defined[k] else np.nan for k in range(table.shape[1])])


def roc_auc(probs: Array, labels: Array) -> float:
    """The mean of :func:`class_roc_auc` over the classes that occur, in [0, 1].

    For two classes it is the usual AUC.

    Args:
        probs: (N, C), probabilities.
        labels: int, (N,).

    Returns:
        NaN with a reason if fewer than two classes occur.

    >>> roc_auc(np.array([[0.9, 0.1], [0.6, 0.4], [0.7, 0.3]]), np.array([0, 1, 1]))
    1.0
    """
    areas = class_roc_auc(probs, labels)
    if not len(labels):
        return no_samples()
    if np.isnan(areas).all():
        return Undefined("one class occurs; an ROC needs two", Reason.ALWAYS_SAME)
    return float(np.nanmean(areas))


def _area(values: Floats, positive: Booleans) -> float:
    """P(value of a positive > value of a negative) + P(equal) / 2, by ranks (Mann & Whitney 1947)."""
    from scipy.stats import rankdata  # slow to import, and needed here alone

    ranks = rankdata(values)
    positives = int(positive.sum())
    above = ranks[positive].sum() - positives * (positives + 1) / 2
    return float(above / (positives * (len(values) - positives)))


def _shared_by_ties(confidence: Floats, wrong: Booleans) -> Floats:
    """Errors by decreasing confidence, each the mean over samples of equal confidence."""
    _, group, sizes = np.unique(-confidence, return_inverse=True, return_counts=True)
    means = np.bincount(group, wrong) / sizes
    return np.repeat(means, sizes)
