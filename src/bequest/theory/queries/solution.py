"""The result of a solve or a simulation of queries, and its observables on inputs of any kind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bequest.errors import ConfigError
from bequest.theory import observables
from bequest.theory.observables import Law
from bequest.theory.parameters import Array, Mask, Numbers, checked, listed
from bequest.theory.queries.orders import BlockOrders
from bequest.theory.queries.world import QUERY_RANGES, Asked, BlockNumbers, by_block
from bequest.theory.status import Status

LEAST_GAP = 1e-9
"""A teacher whose error differs from the control's by less has nothing to hand over."""


@dataclass(frozen=True)
class BlockOrderParameters:
    """A learner in the limit N → ∞, block by block; the block is the first axis, the grid follows.

    Attributes:
        m: v_k·w_k/N, the component of the weights along the class centres; (K, *grid).
        q: |w_k|²/N; (K, *grid).
        v: Response dw_k/dJ; (K, *grid).
        b: The bias, in logits; grid.
        overlap: w_k·w^t_k/N with the first teacher; (K, *grid); NaN for a teacher.
        overlaps: The same with every teacher; (A, K, *grid).
    """

    m: Array
    q: Array
    v: Array
    b: Array
    overlap: Array
    overlaps: Array

    @classmethod
    def of(cls, orders: BlockOrders, shape: tuple[int, ...]) -> BlockOrderParameters:
        """From arrays with the points on the last axis."""

        def grid(array: Array) -> Array:
            return array.reshape((*array.shape[:-1], *shape))

        overlaps = grid(orders.overlap)
        first = overlaps[0] if len(overlaps) else np.full_like(grid(orders.m), np.nan)
        return cls(grid(orders.m), grid(orders.q), grid(orders.v), grid(orders.b), first, overlaps)


@dataclass(frozen=True)
class Learned:
    """Teachers and a student in blocks, and their observables on Gaussian inputs of any centre and variances.

    Attributes:
        asked: The arguments of the solve or simulation.
        teachers: The teachers' order parameters.
        student: The student's order parameters.
        products: w_a·w_c/N of the teachers by block, (A, A, K, *grid).
    """

    asked: Asked
    teachers: tuple[BlockOrderParameters, ...]
    student: BlockOrderParameters
    products: Array

    @property
    def teacher(self) -> BlockOrderParameters:
        """Order parameters of the first teacher."""
        return self.teachers[0]

    def law(self, learner: str | int, *, centre: Numbers, variances: BlockNumbers) -> Law:
        """The law of a learner's margins on inputs x = s c v/√N + Σ_k √Δ_k z_k.

        Args:
            learner: "teacher", "student", or a teacher's position.
            centre: c.
            variances: Δ by block.

        Raises:
            ConfigError: If there is no such learner, or a number is out of range.
        """
        order = self._order(learner)
        values = self._inputs(centre, variances)
        q = sum(values[f"variances[{k}]"] * order.q[k] for k in range(len(order.q)))
        # Δ = 1: the variances of the blocks are in q already.
        return Law(1.0, self.asked.world.rho, values["centre"] * order.m.sum(axis=0), np.asarray(q), order.b)

    def error(self, learner: str | int, *, centre: Numbers, variances: BlockNumbers) -> Array:
        """The learner's error rate on such inputs, in [0, 1]."""
        return observables.error(self.law(learner, centre=centre, variances=variances))

    def calibration_error(self, learner: str | int, *, centre: Numbers, variances: BlockNumbers) -> Array:
        """The expected calibration error on such inputs, in [0, 1]."""
        return observables.calibration_error(self.law(learner, centre=centre, variances=variances))

    def agreement(self, teacher: str | int = 0, *, centre: Numbers, variances: BlockNumbers) -> Array:
        """The share of such inputs on which the student's decision is that teacher's, in [0, 1]."""
        return observables.agreement(*self._pair(teacher, centre, variances))

    def agreement_on_errors(
        self, teacher: str | int = 0, *, centre: Numbers, variances: BlockNumbers
    ) -> Array:
        """P(the student decides as the teacher | the teacher is wrong); NaN if it never is."""
        return observables.agreement_on_errors(*self._pair(teacher, centre, variances))

    def inheritance(
        self, control: Learned, teacher: str | int = 0, *, centre: Numbers, variances: BlockNumbers
    ) -> Array:
        """(error of the control − error of the student) / (error of the control − error of the teacher).

        0 if the student's error is that of its control, 1 if that of its teacher; NaN if these are equal.

        Args:
            control: A solution whose student had no such queries, or labels instead of answers.
            teacher: The teacher, by position or as "teacher".
            centre: c of the inputs on which errors are evaluated.
            variances: Their Δ by block.
        """
        at: dict[str, Any] = {"centre": centre, "variances": variances}
        plain = control.error("student", **at)
        gap = plain - self.error(teacher, **at)
        gap = np.where(np.abs(gap) > LEAST_GAP, gap, np.nan)
        return np.asarray((plain - self.error("student", **at)) / gap)

    def _pair(self, teacher: str | int, centre: Numbers, variances: BlockNumbers) -> tuple[Law, Law, Array]:
        first = self.law(teacher, centre=centre, variances=variances)
        second = self.law("student", centre=centre, variances=variances)
        values = self._inputs(centre, variances)
        overlaps = self.student.overlaps[self._position(teacher)]
        overlap = sum(values[f"variances[{k}]"] * overlaps[k] for k in range(len(overlaps)))
        return first, second, np.asarray(overlap)

    def _order(self, learner: str | int) -> BlockOrderParameters:
        return self.student if learner == "student" else self.teachers[self._position(learner)]

    def _position(self, teacher: str | int) -> int:
        position = 0 if teacher == "teacher" else teacher
        if not isinstance(position, int) or not 0 <= position < len(self.teachers):
            last = len(self.teachers) - 1
            raise ConfigError.of(
                "learner", [f"must be 'teacher', 'student' or a position 0..{last} (got {teacher!r})"]
            )
        return position

    def _inputs(self, centre: Numbers, variances: BlockNumbers) -> dict[str, Array]:
        if len(variances) != self.asked.world.blocks:
            blocks = self.asked.world.blocks
            raise ConfigError.of(
                "inputs",
                [f"variances: must have an entry for each of {blocks} blocks (got {len(variances)})"],
            )
        return checked("inputs", {"centre": centre, **by_block("variances", variances)}, QUERY_RANGES)


@dataclass(frozen=True)
class QuerySolution(Learned):
    """The state evolution of teachers and a student at every point of a grid.

    Attributes:
        status: A :class:`~bequest.theory.Status` value at every point, as text.
        handed_over: Where the student equals its teacher exactly: with no penalty and enough queries to
            determine it, or with infinitely many queries. Its ``v`` is not computed there.
        steps: Evaluations of the state evolution, all learners together.
        residual: The largest change that one more step would make, with finer quadrature.
    """

    status: NDArray[Any]
    handed_over: Mask
    steps: NDArray[np.int64]
    residual: Array

    @property
    def converged(self) -> Mask:
        """Which points have a solution."""
        return np.asarray(self.status == Status.CONVERGED)

    def plain(self) -> dict[str, Any]:
        """As JSON: what ``bequest theory queries --json`` prints; undefined numbers are None."""
        names = ("m", "q", "v", "b")
        teachers = [{name: listed(getattr(one, name)) for name in names} for one in self.teachers]
        student = {name: listed(getattr(self.student, name)) for name in (*names, "overlap")}
        more = {"more_teachers": teachers[1:]} if len(teachers) > 1 else {}
        return {
            "teacher": teachers[0],
            **more,
            "student": student,
            "status": self.status.tolist(),
            "handed_over": self.handed_over.tolist(),
            "steps": self.steps.tolist(),
            "residual": listed(self.residual),
        }
