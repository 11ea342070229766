"""The outcome of the solve at a point of a grid."""

from __future__ import annotations

from enum import StrEnum


class Status(StrEnum):
    """How the solve of a point ended."""

    CONVERGED = "converged"
    SEPARABLE = "separable"
    """λ = 0 (or as good as) on separable data: the logistic minimiser diverges."""
    UNDETERMINED = "undetermined"
    """λ = 0 with fewer samples than inputs: infinitely many minimisers."""
    EXHAUSTED = "exhausted"
    """The limit on work was reached: the search diverges to weights that need ever more nodes."""
    STALLED = "stalled"
    """The residual did not reach the requested accuracy."""


REMEDIES = {
    Status.SEPARABLE: "the training set can be separated: give every learner of its labels a penalty above 0",
    Status.UNDETERMINED: "fewer samples than inputs: give the learner a penalty above 0",
    Status.EXHAUSTED: "the limit on work was reached: give the learner a larger penalty",
    Status.STALLED: "ask for less accuracy, or solve it in one call with points of larger penalty",
}
"""What to do about a point without a solution."""
