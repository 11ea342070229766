"""The theory of queries, solved: teachers on their training inputs, then a student on its groups."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bequest.errors import ConfigError, NotConverged
from bequest.theory.grid_solver import GridSolver
from bequest.theory.parameters import Array, Indices, Numbers
from bequest.theory.queries.limits import copies, forecast
from bequest.theory.queries.orders import BlockOrders, Teachers
from bequest.theory.queries.pairs import TeacherPair
from bequest.theory.queries.problem import QueryProblem
from bequest.theory.queries.setting import BlockSetting, student_setting, teacher_settings
from bequest.theory.queries.solution import BlockOrderParameters, QuerySolution
from bequest.theory.queries.world import Asked, BlockMixture, BlockNumbers, QueryGroup
from bequest.theory.solver import LEAST_ACCURACY, MOST_ACCURACY
from bequest.theory.status import REMEDIES, Status


def solve_queries(
    world: BlockMixture,
    *,
    lambda_teacher: BlockNumbers,
    lambda_student: BlockNumbers,
    groups: Sequence[QueryGroup],
    temperature: Numbers = 1.0,
    start: Numbers = 0.0,
    more_teachers: Sequence[BlockNumbers] = (),
    accuracy: float = 1e-8,
    throw: bool = True,
) -> QuerySolution:
    r"""Order parameters of a teacher with a bias and of the student that asks it, in the limit N → ∞.

    The teacher minimises Σ CE(y, σ(h)) + Σ_k (λᵗ_k/2)|w_k|² on the training inputs; λᵗ_k = ∞ is an
    architecture that ignores block k. The student minimises the losses of its :class:`QueryGroup` plus
    Σ_k (λˢ_k/2)|w_k − w⁰_k|² from a random start with |w⁰_k|² = r κ_k N. Biases are free.

    Args:
        world: Blocks and training inputs.
        lambda_teacher: λᵗ by block, ≥ 0, ``inf`` allowed.
        lambda_student: λˢ by block, ≥ 0, ``inf`` allowed.
        groups: The inputs that the student learns on.
        temperature: T > 0.
        start: r ≥ 0, the initial weights that a network keeps in directions that training never moves.
        more_teachers: Penalties by block of further teachers, trained on the same inputs.
        accuracy: Bound on the residual, in [1e-12, 1e-2]; it determines the quadrature too.
        throw: Raise if a point fails; otherwise its status says so and its numbers are NaN.

    Every number may be an array; they broadcast to a grid that is solved at once.

    Raises:
        ConfigError: Lists every fault.
        NotConverged: If ``throw`` and a point fails; names the first.

    >>> world = BlockMixture(2, 0.5, shares=(0.5, 0.5), signal=(1, 0), variances=(1, 1e-4))
    >>> asked = [QueryGroup(2, 1, (1, 1e-4)), QueryGroup([0.0, 1.0], 1, (1, 1))]
    >>> solution = solve_queries(
    ...     world, lambda_teacher=(0.3, 1e4), lambda_student=(0.01, 0.01), groups=asked, start=20)
    >>> solution.error("student", centre=1, variances=(1, 1)).round(3)
    array([0.394, 0.218])
    """
    asked = Asked(
        world, lambda_teacher, lambda_student, tuple(groups), temperature, start, tuple(more_teachers)
    )
    arrays = asked.arrays("solve_queries")
    if not MOST_ACCURACY <= accuracy <= LEAST_ACCURACY:
        fault = f"accuracy: must be in [{MOST_ACCURACY:g}, {LEAST_ACCURACY:g}] (got {accuracy:g})"
        raise ConfigError.of("solve_queries", [fault])
    shape = arrays["rho"].shape
    work = _Work(int(np.prod(shape, dtype=int)), accuracy)
    learners = teacher_settings(asked, arrays)
    nobody = Teachers.nobody(world.blocks, work.size)
    solved = [work.learner(setting, nobody) for setting in learners]
    teachers = work.together(learners, solved)
    setting = student_setting(asked, arrays)
    # Set, not iterated: the student's q would have to equal its teacher's up to rounding.
    handed_over = (work.status == Status.CONVERGED) & copies(setting, teachers)
    student, _ = work.learner(setting, teachers, handed_over)
    _copy(setting, teachers, student, np.flatnonzero(handed_over))
    solution = QuerySolution(
        asked=asked,
        teachers=tuple(BlockOrderParameters.of(orders, shape) for orders, _ in solved),
        student=BlockOrderParameters.of(student, shape),
        products=teachers.q.reshape((*teachers.q.shape[:-1], *shape)),
        status=work.status.reshape(shape),
        handed_over=handed_over.reshape(shape),
        steps=work.steps.reshape(shape),
        residual=np.where(work.status == Status.CONVERGED, work.residual, np.nan).reshape(shape),
    )
    if throw:
        _require(solution)
    return solution


class _Work:
    """Status, steps and residual of every point, learner after learner."""

    def __init__(self, size: int, accuracy: float) -> None:
        self.size, self.accuracy = size, accuracy
        self.status: NDArray[Any] = np.full(size, Status.CONVERGED, dtype="<U12")
        self.steps = np.zeros(size, dtype=np.int64)
        self.residual = np.zeros(size)

    def learner(
        self, setting: BlockSetting, teachers: Teachers, without: NDArray[np.bool_] | None = None
    ) -> tuple[BlockOrders, Array]:
        """Order parameters and E[G²] of one learner, NaN at points without a solution or left out."""
        problem = QueryProblem(setting, teachers)
        left_out = np.zeros(self.size, dtype=np.bool_) if without is None else without
        alive = self.status == Status.CONVERGED
        self.status = np.where(alive & ~left_out, forecast(setting), self.status)
        points = np.flatnonzero((self.status == Status.CONVERGED) & ~left_out)
        if points.size:
            first, which = _distinct(setting, teachers, points)
            some = points[first]
            part = QueryProblem(setting.take(some), teachers.take(some))
            run = self._run(part, points, which)
            for array, values in zip(problem.orders, part.orders, strict=True):
                array[..., points] = values[..., which]
            problem.square[:, points] = part.square[:, which]
            failed = points[~(self.residual[points] <= self.accuracy)]
            ending = np.where(run.exhausted[which], Status.EXHAUSTED, Status.STALLED)
            self.status[failed] = ending[~(self.residual[points] <= self.accuracy)]
            for array in problem.orders:
                array[..., failed] = np.nan
        return problem.orders, problem.square[0]

    def _run(self, part: QueryProblem, points: Indices, which: Indices) -> GridSolver:
        run = GridSolver(part, accuracy=self.accuracy)
        run.solve()
        self.steps[points] += run.steps[which]
        self.residual[points] = np.maximum(self.residual[points], run.residual[which])
        return run

    def together(self, settings: list[BlockSetting], solved: list[tuple[BlockOrders, Array]]) -> Teachers:
        """All teachers, with the products of their weights."""
        orders = [one for one, _ in solved]
        count, shape = len(orders), orders[0].m.shape
        products = np.full((count, count, *shape), np.nan)
        for a, one in enumerate(orders):
            products[a, a] = one.q
        teachers = Teachers(
            m=np.stack([one.m for one in orders]),
            b=np.stack([one.b for one in orders]),
            q=products,
            v=np.stack([one.v for one in orders]),
            gain=np.stack([one.gain for one in orders]),
            square=np.stack([square for _, square in solved]),
        )
        points = np.flatnonzero(self.status == Status.CONVERGED)
        for a in range(count):
            for c in range(a):
                # Any teacher's setting serves: a pair needs the inputs alone, which all share.
                pair = TeacherPair(settings[0].take(points), teachers.take(points), a, c)
                run = self._run_pair(pair, points)
                products[a, c][:, points] = products[c, a][:, points] = pair.products
                failed = points[~(run.residual <= self.accuracy)]
                self.status[failed] = Status.STALLED
        return teachers

    def _run_pair(self, pair: TeacherPair, points: Indices) -> GridSolver:
        run = GridSolver(pair, accuracy=self.accuracy)
        if points.size:
            run.solve()
            self.steps[points] += run.steps
            self.residual[points] = np.maximum(self.residual[points], run.residual)
        return run


def _distinct(setting: BlockSetting, teachers: Teachers, points: Indices) -> tuple[Indices, Indices]:
    """The first of each set of equal points, and the set of each point: a sweep shares its teacher."""
    part, some = setting.take(points), teachers.take(points)
    groups = part.groups
    rows = [part.shares, part.signal, part.penalty, part.rho, part.start, part.temperature]
    rows += [groups.alpha, groups.centre, groups.mix, groups.variances, groups.teachers, some.q, some.b]
    keys = np.concatenate([one.reshape(-1, points.size) for one in rows])
    # In the order of the grid, not of the keys: the coarse pass needs points that are spread over it.
    _, first, which = np.unique(keys, axis=1, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty_like(order)
    rank[order] = np.arange(order.size)
    return first[order], rank[which.reshape(-1)]


def _copy(setting: BlockSetting, teachers: Teachers, student: BlockOrders, points: Indices) -> None:
    """Set the student to its teachers' mean at these points."""
    if not points.size:
        return
    groups, some = setting.groups.take(points), teachers.take(points)
    # Any group with inputs serves: `copies` requires that all ask for the same mean.
    first = (groups.alpha > 0).argmax(axis=0)
    weights = np.take_along_axis(groups.teachers, first[None, None], axis=0)[0]
    student.m[:, points] = np.einsum("ap,akp->kp", weights, some.m)
    student.b[points] = np.einsum("ap,ap->p", weights, some.b)
    student.q[:, points] = np.einsum("ap,bp,abkp->kp", weights, weights, some.q)
    student.overlap[..., points] = np.einsum("ap,abkp->bkp", weights, some.q)


def _require(solution: QuerySolution) -> None:
    """Raise if points failed, naming the first one and how many there are."""
    failed = np.flatnonzero(~solution.converged.ravel())
    if not failed.size:
        return
    status = Status(solution.status.ravel()[failed[0]])
    raise NotConverged(
        f"{failed.size} of {solution.status.size} points have no solution; the first is {status}",
        expected="a unique, finite minimiser for every learner",
        got=f"the point at flat index {failed[0]}",
        remedy=REMEDIES[status] + "; or pass throw=False to keep the points that are solved",
    )
