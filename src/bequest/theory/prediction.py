"""Every observable of a solved chain by name."""

from __future__ import annotations

from collections.abc import Callable, Collection

import numpy as np

from bequest.theory import observables, training
from bequest.theory.observables import Law
from bequest.theory.parameters import Array
from bequest.theory.solution import Solution, law

OWN = (
    "m",
    "q",
    "b",
    "alignment",
    "error",
    "nll",
    "brier",
    "calibration_error",
    "training_error",
    "training_loss",
)
"""Observables of one learner."""

SHARED = ("overlap", "cosine", "agreement", "agreement_on_errors")
"""Observables of a learner and the one before it in the chain."""


def names(learner: int) -> tuple[str, ...]:
    """The observables of the learner at this position, in the order in which they are shown."""
    return OWN if learner == 0 else (*OWN, *SHARED)


def observe(solution: Solution, learner: int = -1, only: Collection[str] | None = None) -> dict[str, Array]:
    """All observables of one learner of a solved chain, by name, each in the grid's shape.

    Those of fresh samples follow from the order parameters alone, see :mod:`bequest.theory.observables`;
    those of training samples from the proximal points. ``overlap``, ``cosine``, ``agreement`` and
    ``agreement_on_errors`` compare with the learner before; the first has none.

    Args:
        solution: What :func:`~bequest.theory.solve` or :func:`~bequest.theory.solve_chain` returned.
        learner: Its position, counted as in Python.
        only: The names to compute, if the learner has them; default: all.

    >>> from bequest.theory import Mixture, solve
    >>> seen = observe(solve(Mixture(2, 1, 0.2), lambda_teacher=1, lambda_student=0.001, eta=0.7))
    >>> round(float(seen["error"]), 5)
    0.19255
    """
    a = range(len(solution.learners))[learner]
    wanted = [name for name in names(a) if only is None or name in only]
    margin_law = law(solution, a)
    values: dict[str, Array] = {}
    for name in wanted:
        if name in SHARED:
            values[name] = _of_pair(name, law(solution, a - 1), margin_law, solution.overlap(a, a - 1))
        elif name in TRAINING:
            values[name] = TRAINING[name](solution, a)
        else:
            values[name] = of_law(name, margin_law)
    return values


def of_law(name: str, law: Law) -> Array:
    """An observable that follows from one classifier's order parameters."""
    return FRESH[name](law) if name in FRESH else np.asarray(getattr(law, name))


def _of_pair(name: str, before: Law, law: Law, overlap: Array) -> Array:
    """An observable of two classifiers; errors are those of the one ``before``."""
    return overlap if name == "overlap" else PAIRED[name](before, law, overlap)


TRAINING: dict[str, Callable[[Solution, int], Array]] = {
    "training_error": training.training_error,
    "training_loss": training.training_loss,
}
FRESH: dict[str, Callable[[Law], Array]] = {
    "alignment": observables.alignment,
    "error": observables.error,
    "nll": observables.nll,
    "brier": observables.brier,
    "calibration_error": observables.calibration_error,
}
PAIRED: dict[str, Callable[[Law, Law, Array], Array]] = {
    "cosine": observables.cosine,
    "agreement": observables.agreement,
    "agreement_on_errors": observables.agreement_on_errors,
}
