"""The result of a solve: values, status, steps and residual of every point."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bequest.theory.learner import Learner
from bequest.theory.macrostate import Macrostate, Setting
from bequest.theory.mixture import Mixture
from bequest.theory.observables import Law, error
from bequest.theory.parameters import Array, listed
from bequest.theory.status import Status


@dataclass(frozen=True)
class OrderParameters:
    """A learner's order parameters in the limit N → ∞; arrays in the grid's shape, NaN if not converged.

    Attributes:
        m: v·w/N, the component of the weights along the clusters' centre.
        q: |w|²/N.
        v: Response dw/dJ to a field on the weights.
        b: The bias, in logits.
        overlap: w·w'/N with the learner before; NaN for the first.
        response: dw/dJ' to a field on the learner before; NaN for the first.
    """

    m: Array
    q: Array
    v: Array
    b: Array
    overlap: Array
    response: Array


@dataclass(frozen=True)
class Solution:
    """The state evolution of a chain of learners at every point of a grid.

    Attributes:
        mixture: The data.
        learners: The chain; the first is the teacher, the last the student.
        shape: The grid's shape, that of all arrays.
        status: A :class:`Status` value at every point, as text.
        steps: Evaluations of the state evolution, all learners together.
        residual: The largest change that one more step would make, measured with finer quadrature than was
            solved with, relative to each order parameter's natural size.
    """

    mixture: Mixture
    learners: tuple[Learner, ...]
    shape: tuple[int, ...]
    status: NDArray[Any]
    steps: NDArray[np.int64]
    residual: Array
    setting: Setting
    state: Macrostate

    def order(self, learner: int) -> OrderParameters:
        """The order parameters of one learner of the chain, counted as in Python."""
        a = range(len(self.learners))[learner]
        nothing = np.full(self.state.m[a].shape, np.nan)
        return OrderParameters(
            m=self._grid(self.state.m[a]),
            q=self._grid(self.state.q[a, a]),
            v=self._grid(self.state.v[a, a]),
            b=self._grid(self.state.b[a]),
            overlap=self._grid(self.state.q[a, a - 1] if a else nothing),
            response=self._grid(self.state.v[a, a - 1] if a else nothing),
        )

    def law(self, learner: int = -1) -> Law:
        """The law of one learner's margins on fresh samples; the student's by default."""
        order = self.order(learner)
        delta, rho = self._grid(self.setting.delta), self._grid(self.setting.rho)
        return Law(delta, rho, order.m, order.q, order.b)

    def overlap(self, one: int, other: int) -> Array:
        """w·w'/N of any two learners of the chain."""
        names = range(len(self.learners))
        return self._grid(self.state.q[names[one], names[other]])

    @property
    def teacher(self) -> OrderParameters:
        """Order parameters of the teacher, the first learner of the chain."""
        return self.order(0)

    @property
    def student(self) -> OrderParameters:
        """Order parameters of the student, the last learner of the chain."""
        return self.order(-1)

    @property
    def converged(self) -> NDArray[np.bool_]:
        """Which points have a solution."""
        return np.asarray(self.status == Status.CONVERGED)

    def plain(self) -> dict[str, Any]:
        """Everything that ``bequest theory point --json`` prints; undefined numbers are None."""
        teacher, student = self.teacher, self.student
        return {
            "teacher": {
                **{name: listed(getattr(teacher, name)) for name in ("m", "q", "v", "b")},
                "error": listed(error(self.law(0))),
            },
            "student": {
                **{
                    name: listed(getattr(student, name))
                    for name in ("m", "q", "v", "b", "overlap", "response")
                },
                "error": listed(error(self.law())),
            },
            "status": self.status.tolist(),
            "steps": self.steps.tolist(),
            "residual": listed(self.residual),
        }

    def _grid(self, values: Array) -> Array:
        return values.reshape(self.shape)


def law(solution: Solution, learner: int = -1) -> Law:
    """The law of one learner of a solved chain; the student's by default."""
    return solution.law(learner)
