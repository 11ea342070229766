"""Agreement of two models' predictions and errors, sample by sample."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from bequest.errors import DataError
from bequest.measure.arrays import Array, Booleans, classes, flags, log_probabilities, same_length
from bequest.measure.undefined import Undefined, no_samples
from bequest.measures import Reason


def agreement(predictions: Array, other_predictions: Array) -> float:
    """The share of samples on which two models predict the same class, in [0, 1].

    Accurate models agree even if their biases differ: report it together with :func:`error_consistency`.

    Args:
        predictions: int, (N,), predicted classes of one model.
        other_predictions: int, (N,), those of the other, rows paired.

    Returns:
        NaN with a reason where there are no samples.

    Raises:
        DataError: If they differ in length or are not class indices.

    >>> agreement(np.array([0, 1, 2, 2]), np.array([0, 1, 1, 2]))
    0.75
    """
    one, other = classes(predictions, "predictions"), classes(other_predictions, "other_predictions")
    count = same_length(predictions=one, other_predictions=other)
    return float((one == other).mean()) if count else no_samples()


def error_consistency(correct: Array, other_correct: Array) -> float:
    """Cohen's kappa of correctness, (o − e) / (1 − e), in [−1, 1].

    o is the share of samples that both models get right or both get wrong, and e = a·b + (1 − a)(1 − b) that
    share for independent errors at accuracies a and b (Geirhos, Meding & Wichmann 2020, section 2). 0: the
    errors are unrelated; 1: they are the same. Its largest value is below 1 if accuracies differ.

    Args:
        correct: bool, (N,), whether one model is right.
        other_correct: bool, (N,), whether the other is, rows paired.

    Returns:
        NaN with a reason where there are no samples or one model is always right or always wrong: o = e then,
        whatever the other does.

    Raises:
        DataError: If they differ in length or are not boolean.

    >>> error_consistency(np.array([True, True, False, False]), np.array([True, True, False, True]))
    0.5
    """
    one, other = flags(correct, "correct"), flags(other_correct, "other_correct")
    if not same_length(correct=one, other_correct=other):
        return no_samples()
    for name, right in (("the first", one), ("the second", other)):
        # The formula would give 0 here, whatever the other model did: undefined, not "unrelated errors".
        if right.all() or not right.any():
            always = f"{name} model is always {'right' if right.all() else 'wrong'}"
            return Undefined(always, Reason.ALWAYS_SAME)
    a, b = float(one.mean()), float(other.mean())
    expected = a * b + (1 - a) * (1 - b)
    return (float((one == other).mean()) - expected) / (1 - expected)


@dataclass(frozen=True, slots=True)
class ConsistencyGap:
    """Whether a student errs like its own teacher, or like any teacher of that family.

    Attributes:
        own: Error consistency of student and own teacher.
        other: That of the student and another teacher of the same family, which did not teach it.
        gap: own − other; near 0 if the family's bias was handed over, and not the single teacher's quirks.
    """

    own: float
    other: float
    gap: float


def consistency_gap(
    student_correct: Array, teacher_correct: Array, other_teacher_correct: Array
) -> ConsistencyGap:
    """Error consistency with a student's teacher, with another teacher of that family, and the difference.

    Args:
        student_correct: bool, (N,).
        teacher_correct: bool, (N,), of the teacher that taught the student.
        other_teacher_correct: bool, (N,), of another seed of the same family.

    >>> student = np.array([True, False, False, True])
    >>> consistency_gap(student, student, np.array([True, False, True, False]))
    ConsistencyGap(own=1.0, other=0.0, gap=1.0)
    """
    with_teacher = error_consistency(student_correct, teacher_correct)
    with_other = error_consistency(student_correct, other_teacher_correct)
    undefined = [value for value in (with_teacher, with_other) if np.isnan(value)]
    return ConsistencyGap(with_teacher, with_other, undefined[0] if undefined else with_teacher - with_other)


def agreement_on_errors(predictions: Array, teacher_predictions: Array, labels: Array) -> float:
    """How often the student gives the teacher's answer on samples where the teacher is wrong, in [0, 1].

    Right answers may come from the labels; the teacher's wrong ones can only come from the teacher. Compare
    it with the same number of the control.

    Args:
        predictions: int, (N,), the student's classes.
        teacher_predictions: int, (N,), the teacher's.
        labels: int, (N,), the true classes.

    Returns:
        NaN with a reason where the teacher makes no error.

    >>> agreement_on_errors(np.array([1, 0, 2]), np.array([1, 1, 1]), np.array([0, 0, 1]))
    0.5
    """
    answers, theirs, truth = _answers(predictions, teacher_predictions, labels)
    wrong = theirs != truth
    if not wrong.any():
        return Undefined("the teacher makes no error", Reason.NO_ERRORS)
    return float((answers == theirs)[wrong].mean())


def negative_transfer(predictions: Array, teacher_predictions: Array, labels: Array) -> float:
    """Agreement where the teacher is wrong minus agreement where it is right, in [−1, 1].

    Above 0 a student gives its teacher's wrong answers more often than its right ones; a student that learnt
    from labels too is far below 0. Compare it with its ceiling, another network of the teacher's family.

    Args:
        predictions: int, (N,), the student's classes.
        teacher_predictions: int, (N,), the teacher's.
        labels: int, (N,), the true classes.

    Returns:
        NaN with a reason if the teacher makes no error, or nothing but errors.

    >>> negative_transfer(np.array([1, 0, 2, 2]), np.array([1, 1, 1, 2]), np.array([0, 0, 1, 2]))
    0.0
    """
    answers, theirs, truth = _answers(predictions, teacher_predictions, labels)
    wrong, alike = theirs != truth, answers == theirs
    if not wrong.any():
        return Undefined("the teacher makes no error", Reason.NO_ERRORS)
    if wrong.all():
        return Undefined("the teacher is never right", Reason.ALWAYS_SAME)
    return float(alike[wrong].mean() - alike[~wrong].mean())


def teacher_student_kl(teacher_log_probs: Array, student_log_probs: Array) -> Float[np.ndarray, " n"]:
    """KL(teacher ‖ student) = Σ_k p_k (log p_k − log q_k) of each sample, in nats, (N,); 0 where equal.

    Args:
        teacher_log_probs: (N, C).
        student_log_probs: (N, C), rows paired.

    Returns:
        inf where the student excludes what the teacher does not.

    Raises:
        DataError: If shapes differ or rows are no log-distributions.

    >>> teacher_student_kl(np.log([[0.5, 0.5]]), np.log([[0.9, 0.1]])).round(4)
    array([0.5108])
    """
    p = log_probabilities(teacher_log_probs, "teacher_log_probs")
    q = log_probabilities(student_log_probs, "student_log_probs")
    same_length(teacher_log_probs=p, student_log_probs=q)
    if p.shape != q.shape:
        raise DataError(
            "teacher and student differ in the number of classes", expected=p.shape[1], got=q.shape[1]
        )
    # 0 where p is 0, since 0 log 0 = 0; −inf − (−inf) would be NaN.
    gap = np.subtract(p, q, out=np.zeros_like(p), where=p > -np.inf)
    divergence: Float[np.ndarray, " n"] = (np.exp(p) * gap).sum(axis=1)
    return divergence


@dataclass(frozen=True, slots=True)
class Flips:
    """Which samples change between a control and a taught student; all bool, (N,).

    Attributes:
        mended: Wrong before, right after.
        broken: Right before, wrong after.
        moved: Wrong before and after, with another wrong class.
    """

    mended: Bool[np.ndarray, " n"]
    broken: Bool[np.ndarray, " n"]
    moved: Bool[np.ndarray, " n"]


def flips(control_predictions: Array, taught_predictions: Array, labels: Array) -> Flips:
    """Which samples the taught student predicts differently from its control.

    >>> result = flips(np.array([0, 0, 1]), np.array([1, 0, 2]), np.array([1, 0, 0]))
    >>> result.mended.tolist(), result.broken.tolist(), result.moved.tolist()
    ([True, False, False], [False, False, False], [False, False, True])
    """
    before, after, truth = _answers(control_predictions, taught_predictions, labels)
    was, now = before == truth, after == truth
    return Flips(~was & now, was & ~now, ~was & ~now & (before != after))


@dataclass(frozen=True, slots=True)
class ErrorOverlap:
    """The errors of two models as sets: counts of samples.

    Attributes:
        both: Both are wrong.
        first_only: Only the first is.
        second_only: Only the second is.
        neither: Both are right.
    """

    both: int
    first_only: int
    second_only: int
    neither: int

    @property
    def jaccard(self) -> float:
        """Shared errors among all errors of either, in [0, 1]; NaN where there is none."""
        union = self.both + self.first_only + self.second_only
        return self.both / union if union else Undefined("neither model makes an error", Reason.NO_ERRORS)


def error_overlap(correct: Array, other_correct: Array) -> ErrorOverlap:
    """The overlap of two models' error sets.

    >>> error_overlap(np.array([True, False, False]), np.array([True, False, True])).jaccard
    0.5
    """
    one, other = flags(correct, "correct"), flags(other_correct, "other_correct")
    same_length(correct=one, other_correct=other)

    def count(which: Booleans) -> int:
        return int(which.sum())

    return ErrorOverlap(count(~one & ~other), count(~one & other), count(one & ~other), count(one & other))


def _answers(first: Array, second: Array, labels: Array) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    one, other = classes(first, "the first predictions"), classes(second, "the second predictions")
    truth = classes(labels, "labels")
    lengths = {len(one), len(other), len(truth)}
    if len(lengths) > 1:
        same_length(predictions=one, other_predictions=other, labels=truth)
    return one, other, truth
