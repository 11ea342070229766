"""Every observable of a solved chain by name: what theory says of a learner."""

from __future__ import annotations

import numpy as np

from bequest.theory import observables, training
from bequest.theory.observables import Law, law
from bequest.theory.parameters import Array
from bequest.theory.solution import Solution

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


def observe(solution: Solution, learner: int = -1) -> dict[str, Array]:
    """All observables of one learner of a solved chain, by name, each in the grid's shape.

    Those of fresh samples follow from the order parameters alone, see :mod:`bequest.theory.observables`;
    those of training samples from the proximal points. ``overlap``, ``cosine``, ``agreement`` and
    ``agreement_on_errors`` compare with the learner before; the first has none.

    >>> from bequest.theory import Mixture, solve
    >>> seen = observe(solve(Mixture(2, 1, 0.2), lambda_teacher=1, lambda_student=0.001, eta=0.7))
    >>> round(float(seen["error"]), 5)
    0.19255
    """
    a = range(len(solution.learners))[learner]
    found = {**of_law(law(solution, a)), "training_error": training.training_error(solution, a)}
    found["training_loss"] = training.training_loss(solution, a)
    if a:
        found |= of_pair(law(solution, a - 1), law(solution, a), solution.overlap(a, a - 1))
    return {name: found[name] for name in names(a)}


def of_law(law: Law) -> dict[str, Array]:
    """What follows from one classifier's order parameters."""
    return {
        "m": np.asarray(law.m),
        "q": np.asarray(law.q),
        "b": np.asarray(law.b),
        "alignment": observables.alignment(law),
        "error": observables.error(law),
        "nll": observables.nll(law),
        "brier": observables.brier(law),
        "calibration_error": observables.calibration_error(law),
    }


def of_pair(before: Law, law: Law, overlap: Array) -> dict[str, Array]:
    """What follows from two classifiers' order parameters; errors are those of the one ``before``."""
    return {
        "overlap": overlap,
        "cosine": observables.cosine(before, law, overlap),
        "agreement": observables.agreement(before, law, overlap),
        "agreement_on_errors": observables.agreement_on_errors(before, law, overlap),
    }
