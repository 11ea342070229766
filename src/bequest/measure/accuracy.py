"""Accuracy: overall, top-k and by class; precision and F1."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from bequest.measure.arrays import Array, Booleans, Floats, Integers, at_least, classes, same_length
from bequest.measure.arrays import scores as checked_scores
from bequest.measure.undefined import no_samples


def predictions_of(scores: Array) -> Integers:
    """The class with the highest score of each row; the lowest index among equals.

    Args:
        scores: (N, C), logits, log-probabilities or probabilities: only their order counts.

    >>> predictions_of(np.array([[0.1, 0.9], [2.0, -1.0]]))
    array([1, 0])
    """
    predictions: Integers = checked_scores(scores, "scores").argmax(axis=1)
    return predictions


def accuracy(scores: Array, labels: Array, *, top: int = 1) -> float:
    """The share of samples whose label is among the ``top`` highest scores, in [0, 1].

    Among equal scores the lower class index counts as higher, so that ``top=1`` is argmax and a
    constant classifier is right on class 0 alone.

    Args:
        scores: (N, C), logits, log-probabilities or probabilities: only their order counts.
        labels: int, (N,), class indices.
        top: How many of the highest scores count as a hit.

    Returns:
        NaN with a reason where there are no samples.

    Raises:
        DataError: If shapes, lengths or labels do not fit.

    >>> scores = np.array([[0.2, 0.5, 0.3], [0.6, 0.3, 0.1]])
    >>> accuracy(scores, np.array([1, 1])), accuracy(scores, np.array([1, 1]), top=2)
    (0.5, 1.0)
    """
    hits = among_best(scores, labels, top=top)
    return float(hits.mean()) if hits.size else no_samples()


def among_best(scores: Array, labels: Array, *, top: int) -> Booleans:
    """Whether each label is among the ``top`` highest scores, bool (N,); ties as in :func:`accuracy`.

    >>> among_best(np.array([[0.2, 0.5, 0.3], [0.6, 0.3, 0.1]]), np.array([2, 2]), top=2)
    array([ True, False])
    """
    at_least(top, 1, "top")
    hits: Booleans = _ranks(scores, labels) < top
    return hits


def class_accuracy(scores: Array, labels: Array) -> Float[np.ndarray, " c"]:
    """Accuracy (recall) of each class, (C,); NaN for a class that no label names.

    >>> class_accuracy(np.array([[0.2, 0.8, 0.0], [0.6, 0.4, 0.0]]), np.array([1, 1]))
    array([nan, 0.5, nan])
    """
    counts = _counts(scores, labels)
    with np.errstate(invalid="ignore"):
        recall: Floats = counts.right / counts.labels
    return recall


def balanced_accuracy(scores: Array, labels: Array) -> float:
    """The unweighted mean of :func:`class_accuracy` over the classes that occur among the labels, in [0, 1].

    A constant classifier scores 1 / (number of classes that occur), for any class sizes.

    >>> balanced_accuracy(np.array([[1.0, 0.0]] * 4), np.array([0, 0, 0, 1]))
    0.5
    """
    recall = class_accuracy(scores, labels)
    return float(np.nanmean(recall)) if not np.isnan(recall).all() else no_samples()


def class_precision(scores: Array, labels: Array) -> Float[np.ndarray, " c"]:
    """Precision of each class, TP / (TP + FP), (C,); NaN for a class that is never predicted.

    >>> class_precision(np.array([[0.2, 0.8], [0.6, 0.4], [0.1, 0.9]]), np.array([1, 0, 0]))
    array([1. , 0.5])
    """
    counts = _counts(scores, labels)
    with np.errstate(invalid="ignore"):
        precision: Floats = counts.right / counts.predictions
    return precision


def macro_precision(scores: Array, labels: Array) -> float:
    """The unweighted mean over classes of TP / (TP + FP), in [0, 1]; see :func:`class_precision`.

    The classes are those that occur among labels or predictions. One that is never predicted counts as 0, as
    in scikit-learn: leaving it out would reward neglecting it.

    >>> macro_precision(np.array([[1.0, 0.0], [1.0, 0.0]]), np.array([0, 1]))
    0.25
    """
    counts = _counts(scores, labels)
    occurs = counts.labels + counts.predictions > 0
    if not occurs.any():
        return no_samples()
    return float(np.nan_to_num(class_precision(scores, labels)[occurs]).mean())


def macro_f1(scores: Array, labels: Array) -> float:
    """The unweighted mean over classes of 2·TP / (2·TP + FP + FN), in [0, 1].

    The classes are those that occur among labels or predictions; others have no F1.

    >>> macro_f1(np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]), np.array([0, 1, 1]))
    0.666...
    """
    counts = _counts(scores, labels)
    named = counts.labels + counts.predictions
    if not named.any():
        return no_samples()
    occurs = named > 0
    return float((2 * counts.right[occurs] / named[occurs]).mean())


def _ranks(scores: Array, labels: Array) -> Integers:
    """The rank of the label among the classes, by decreasing score and then by index, (N,)."""
    table = checked_scores(scores, "scores")
    truth = classes(labels, "labels", count=table.shape[1])
    same_length(scores=table, labels=truth)
    # Counted instead of sorted: linear in the classes, and ties go to the lower index as in argmax.
    of_label = np.take_along_axis(table, truth[:, None], axis=1)
    tied_before = (table == of_label) & (np.arange(table.shape[1]) < truth[:, None])
    ranks: Integers = ((table > of_label) | tied_before).sum(axis=1)
    return ranks


@dataclass(frozen=True, slots=True)
class _Counts:
    """Counts by class, (C,) each: a whole confusion matrix would take 7 GB at 30,000 classes."""

    right: Integers
    labels: Integers
    predictions: Integers


def _counts(scores: Array, labels: Array) -> _Counts:
    table = checked_scores(scores, "scores")
    classes_ = table.shape[1]
    truth = classes(labels, "labels", count=classes_)
    same_length(scores=table, labels=truth)
    answers = table.argmax(axis=1)
    right, of_label, of_answer = (
        np.bincount(chosen, minlength=classes_) for chosen in (truth[answers == truth], truth, answers)
    )
    return _Counts(right, of_label, of_answer)
