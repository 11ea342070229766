"""Accuracy by an attribute of the samples, such as attractors or distance; scores of constant answers.

A stratum is the set of samples with the same whole number, such as 3 attractors; samples with a negative
number belong to none. Means over strata are unweighted, so that a rare stratum counts as much as a common
one. They should be reported with the sizes of the strata and the scores of constant answers, which this
module gives too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bequest.errors import DataError
from bequest.measure.accuracy import balanced_accuracy
from bequest.measure.arrays import Array, Floats, Integers, classes, plain, same_length
from bequest.measure.arrays import scores as checked_scores
from bequest.measure.undefined import Undefined
from bequest.measures import Reason


@dataclass(frozen=True)
class Strata:
    """Accuracies by stratum.

    Attributes:
        values: int, (K,), the strata that occur, increasing.
        counts: int, (K,), samples in each.
        accuracy: (K,), in [0, 1].
        balanced: (K,), mean over the classes that occur in the stratum.
        majority: (K,), accuracy of always answering with the most frequent class of the stratum.
    """

    values: Integers
    counts: Integers
    accuracy: Floats
    balanced: Floats
    majority: Floats


def accuracy_by(scores: Array, labels: Array, strata: Array) -> Strata:
    """Accuracy, balanced accuracy, count and majority baseline of every stratum.

    Args:
        scores: (N, C), logits or probabilities: only their order counts.
        labels: int, (N,).
        strata: int, (N,); negative for samples that belong to none.

    Raises:
        DataError: If shapes, lengths or labels do not fit.

    >>> scores = np.array([[1.0, 0.0]] * 5)
    >>> accuracy_by(scores, np.array([0, 0, 1, 1, 1]), np.array([0, 0, 1, 1, -1])).accuracy
    array([1., 0.])
    """
    table, truth, where = _checked(scores, labels, strata)
    values, counts = np.unique(where[where >= 0], return_counts=True)
    right = table.argmax(axis=1) == truth
    inside = [where == value for value in values]
    return Strata(
        values,
        counts,
        np.array([right[rows].mean() for rows in inside]),
        np.array([balanced_accuracy(table[rows], truth[rows]) for rows in inside]),
        np.array([np.bincount(truth[rows]).max() / rows.sum() for rows in inside]),
    )


def mean_accuracy_by(scores: Array, labels: Array, strata: Array) -> float:
    """The unweighted mean over strata of their accuracies, in [0, 1].

    By distance it is the D-accuracy, by attractors the A-accuracy of Abnar et al. (2020).

    Returns:
        NaN with a reason if no sample belongs to a stratum.

    Raises:
        DataError: If shapes, lengths or labels do not fit.

    >>> scores = np.array([[1.0, 0.0]] * 4)
    >>> mean_accuracy_by(scores, np.array([0, 0, 0, 1]), np.array([0, 0, 0, 1]))
    0.5
    """
    return _over_strata(np.mean, scores, labels, strata)


def worst_accuracy_by(scores: Array, labels: Array, strata: Array) -> float:
    """The lowest accuracy of any stratum (worst-group accuracy), in [0, 1].

    Source: Sagawa et al. 2020, "Distributionally robust neural networks", section 2, for the measure.

    Returns:
        NaN with a reason where no sample belongs to a stratum.

    Raises:
        DataError: If shapes, lengths or labels do not fit.

    >>> scores = np.array([[1.0, 0.0]] * 4)
    >>> worst_accuracy_by(scores, np.array([0, 0, 0, 1]), np.array([0, 0, 1, 1]))
    0.5
    """
    return _over_strata(np.min, scores, labels, strata)


def _over_strata(
    summary: Callable[[Floats], np.floating], scores: Array, labels: Array, strata: Array
) -> float:
    by_stratum = accuracy_by(scores, labels, strata).accuracy
    if not by_stratum.size:
        return Undefined("no sample belongs to a stratum", Reason.NO_SAMPLES)
    return float(summary(by_stratum))


def constant_accuracy_by(labels: Array, strata: Array, *, count: int) -> Floats:
    """The score of each constant answer in :func:`mean_accuracy_by`, (C,) for ``count`` classes.

    Linzen's sentences with attractors are mostly plural, so that "always plural" has an A-accuracy of 0.69.

    Raises:
        DataError: If lengths or labels do not fit.

    >>> constant_accuracy_by(np.array([0, 1, 1, 1]), np.array([0, 0, 1, 1]), count=2)
    array([0.25, 0.75])
    """
    truth = classes(labels, "labels", count=count)
    where = _whole_numbers(strata)
    same_length(labels=truth, strata=where)
    values = np.unique(where[where >= 0])
    if not len(values):
        return np.full(count, np.nan)
    shares = np.zeros(count)
    for value in values:
        inside = truth[where == value]
        shares += np.bincount(inside, minlength=count) / len(inside)
    return shares / len(values)


def _checked(scores: Array, labels: Array, strata: Array) -> tuple[Floats, Integers, Integers]:
    table = checked_scores(scores, "scores")
    truth = classes(labels, "labels", count=table.shape[1])
    where = _whole_numbers(strata)
    same_length(scores=table, labels=truth, strata=where)
    return table, truth, where


def _whole_numbers(strata: Array) -> Integers:
    where = plain(strata, "strata")
    if where.dtype.kind not in "iu" or where.ndim != 1:
        raise DataError(
            "strata are not integers", expected="integers (N,)", got=f"{where.dtype} {where.shape}"
        )
    return where.astype(np.int64)
