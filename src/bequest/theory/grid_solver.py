"""Solving one learner for a whole grid of points at once.

The points are solved in three passes. **Coarse**: with few nodes, in rounds that each start from the nearest
points solved before, so that a grid warm-starts itself. **Rescue**: points that failed are solved by Newton's
method, if necessary along a path of decreasing penalty. **Fine**: with as many nodes as the accuracy
requires, in blocks of points that need about the same number, starting from the coarse solution and its
Jacobian. The reported residual is that of a still finer rule, so that it includes errors of iteration and of
quadrature.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from bequest.theory.blocks import Counts, blocks
from bequest.theory.fixed_point import Map, fixed_point, newton
from bequest.theory.parameters import Array, Indices
from bequest.theory.quadrature import Rule
from bequest.theory.start import nearest

COARSE = 1e-3
"""Accuracy of the coarse pass."""

RESCUE = 1e-5
"""Accuracy of a rescue: at the edge of separability a coarser rule shifts the solution far, or loses it."""

FIRST_ROUND = 64
"""Points of the first round of the coarse pass, which start without a neighbour."""

FREE_STEPS = 20
"""Broyden steps, and then Newton steps, per point before something else is tried."""

PATH = 12
"""Penalties on the path of a rescue, from a large and easy one to the requested one."""

FINER = 1.5
"""The factor by which the reach is divided in the check, and after each failed check."""

MOST_CHECKS = 10

MOST_WORK = 4e7
"""Nodes × labels × evaluations that one point may cost, about ten seconds. A search that diverges to ever
larger weights needs ever more nodes, and would not end."""

DIRECT_SHARE = 0.25
"""The share of MOST_WORK that may be spent before the path of a rescue begins."""


@runtime_checkable
class Problem(Protocol):
    """A learner's state evolution at every point of a grid, as the solver needs it."""

    @property
    def size(self) -> int:
        """The number of points."""

    def first_guess(self, points: Indices) -> Array:
        """The start of the iteration without a neighbour, shape (d, n)."""

    def places(self) -> Array:
        """Coordinates of the points in which equal distances mean about equal changes, shape (k, P)."""

    def levels(self, points: Indices, x: Array, shrink: Array, accuracy: float) -> NDArray[np.int64]:
        """The quadrature level of each axis at ``x``, its reach divided by ``shrink``, shape (axes, n)."""

    def nodes(self, counts: Counts) -> Counts:
        """Nodes × labels of one evaluation, from the nodes of each axis, shape (n,)."""

    def map(self, points: Indices, rules: list[Rule], accuracy: float) -> Map:
        """The state evolution at these points with these rules."""

    def ease(self, points: Indices, fraction: float) -> None:
        """Set penalties between large ones (0) and the requested ones (1)."""

    def write(self, points: Indices, evolution: Map, image: Array) -> None:
        """Store a solution, the image of the map's last step."""


class GridSolver:
    """The solution of a problem at every point.

    ``residual`` (P,) is its quality, ``steps`` (P,) the number of evaluations, and ``exhausted`` (P,) is true
    for points that were given up because of their cost.
    """

    def __init__(self, problem: Problem, *, accuracy: float) -> None:
        size = problem.size
        self.problem, self.accuracy = problem, accuracy
        self.x = problem.first_guess(np.arange(size))
        self.inverse = np.repeat(np.eye(self.x.shape[0])[:, :, None], size, axis=2)
        self.residual = np.full(size, np.inf)
        self.steps = np.zeros(size, dtype=np.int64)
        self.work = np.zeros(size)
        self.most_work = DIRECT_SHARE * MOST_WORK
        self.exhausted = np.zeros(size, dtype=np.bool_)
        self.shrink = np.ones(size)

    def solve(self) -> None:
        """Run all passes over the grid."""
        self._coarse()
        self._rescue()
        self._fine()

    def _coarse(self) -> None:
        places, size = self.problem.places(), self.problem.size
        # Each round halves the stride, so that every point has a neighbour that is solved already.
        stride = 1 << max(0, int(np.ceil(np.log2(size / FIRST_ROUND))))
        solved = np.zeros(0, dtype=np.intp)
        while stride:
            asked = np.setdiff1d(np.arange(0, size, stride), solved)
            usable = solved[self.residual[solved] <= COARSE]
            if usable.size and asked.size:
                near = nearest(places, usable, asked)
                self.x[:, asked], self.inverse[..., asked] = self.x[:, near], self.inverse[..., near]
            self._converge(asked)
            solved = np.union1d(solved, asked)
            stride //= 2

    def _converge(self, points: Indices, accuracy: float = COARSE, *, by_newton: bool = False) -> None:
        """Iterate until the nodes with which a solution was found are enough for that solution."""
        for _ in range(3):
            if not points.size:
                return
            before = self._levels(points, accuracy)
            self._iterate(points, accuracy, by_newton=by_newton)
            points = points[(self._levels(points, accuracy) > before).any(axis=0)]

    def _rescue(self) -> None:
        """Newton's method for points that failed; then along a path of decreasing penalty."""
        # From the first guess again: a failed iteration may have ended anywhere.
        failed = self._failed()
        self._restart(failed)
        self._converge(failed, RESCUE, by_newton=True)
        failed, self.most_work = self._failed(), MOST_WORK
        if not failed.size:
            return
        self.problem.ease(failed, 0.0)
        self._restart(failed)
        for fraction in np.linspace(0.0, 1.0, PATH):
            self.problem.ease(failed, float(fraction))
            self._converge(failed, RESCUE, by_newton=True)

    def _failed(self) -> Indices:
        return np.flatnonzero(~(self.residual <= COARSE))  # not >, which NaN would pass

    def _restart(self, points: Indices) -> None:
        self.exhausted[points] = False
        self.x[:, points] = self.problem.first_guess(points)

    def _fine(self) -> None:
        points = np.flatnonzero(~self.exhausted)
        for _ in range(MOST_CHECKS):
            self._iterate(points, self.accuracy)
            stuck = points[~(self.residual[points] <= self.accuracy)]
            self._iterate(stuck, self.accuracy, by_newton=True)
            self._check(points)
            points = points[~(self.residual[points] <= self.accuracy) & ~self.exhausted[points]]
            if not points.size:
                return
            self.shrink[points] *= FINER

    def _iterate(self, points: Indices, accuracy: float, *, by_newton: bool = False) -> None:
        """Iterate the ``points`` from where they are, block by block."""
        for block, chosen in self._blocks(points, accuracy):
            nodes = self._price(chosen)
            # A Newton step evaluates the map once for each unknown and once at its end; the start adds one.
            price = nodes * (self.x.shape[0] + 2 if by_newton else 1)
            most_steps = min(FREE_STEPS, int((self.most_work - self.work[block].max()) // price))
            if most_steps < 1:
                self._give_up(block)
                continue
            # A third of the accuracy: the residual of the check includes the error of the quadrature.
            evolution, x, stop = self.problem.map(block, chosen, accuracy), self.x[:, block], accuracy / 3.0
            if by_newton:
                outcome = newton(evolution, x, tolerance=stop, most_steps=most_steps)
            else:
                inverse = self.inverse[..., block]
                outcome = fixed_point(evolution, x, tolerance=stop, most_steps=most_steps, inverse=inverse)
            self.x[:, block], self.inverse[..., block] = outcome.x, outcome.inverse
            self.residual[block] = outcome.residual
            self.steps[block] += outcome.steps
            self.work[block] += nodes * outcome.steps

    def _check(self, points: Indices) -> None:
        """Residuals with finer rules; the image of that last step is the solution."""
        for block, chosen in self._blocks(points, self.accuracy, FINER):
            if self.work[block].max() + self._price(chosen) > self.most_work:
                self._give_up(block)
                continue
            evolution = self.problem.map(block, chosen, self.accuracy)
            image = evolution.step(self.x[:, block])
            residual = np.abs((image - self.x[:, block]) / evolution.scale(self.x[:, block])).max(axis=0)
            self.residual[block] = np.where(np.isfinite(residual), residual, np.inf)
            self.steps[block] += 1
            self.work[block] += self._price(chosen)
            self.problem.write(block, evolution, image)

    def _give_up(self, block: Indices) -> None:
        self.residual[block], self.exhausted[block] = np.inf, True

    def _price(self, chosen: list[Rule]) -> float:
        """Nodes × labels of one evaluation at one point."""
        return float(self.problem.nodes(np.array([[rule.nodes.size] for rule in chosen]))[0])

    def _blocks(
        self, points: Indices, accuracy: float, finer: float = 1.0
    ) -> Iterator[tuple[Indices, list[Rule]]]:
        """The ``points`` in blocks that need about the same nodes, each with rules that serve all of it."""
        levels = self._levels(points, accuracy, finer)
        for chosen, picked in blocks(levels, accuracy, self.problem.nodes):
            yield points[chosen], picked

    def _levels(self, points: Indices, accuracy: float, finer: float = 1.0) -> NDArray[np.int64]:
        return self.problem.levels(points, self.x[:, points], finer * self.shrink[points], accuracy)
