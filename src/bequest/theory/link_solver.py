"""Solving one link of a chain for a whole grid of points at once.

The points are solved in three passes. **Coarse**: with few nodes, in rounds that each start from the nearest
points solved before, so that a grid is warm-started along itself. **Rescue**: what failed is solved by
Newton's method, if need be along a path of falling penalty. **Fine**: with as many nodes as the accuracy asks
for, in blocks of points that need about the same number, starting from the coarse solution and its Jacobian.
What is reported is the residual with a still finer rule: iteration and quadrature both count in it.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from bequest.theory.blocks import blocks
from bequest.theory.fixed_point import fixed_point, newton
from bequest.theory.macrostate import Macrostate, Setting
from bequest.theory.parameters import Array, Indices
from bequest.theory.quadrature import Rule, level
from bequest.theory.start import coordinates, first_guess, nearest
from bequest.theory.state_evolution import Link, reaches, tabulate, unpack

COARSE = 1e-3
"""Accuracy of the coarse pass."""

RESCUE = 1e-5
"""Accuracy of a rescue: at the edge of separability a coarse rule moves the solution far, or loses it."""

FIRST_ROUND = 64
"""Points of the first round of the coarse pass, which start without a neighbour."""

FREE_STEPS = 20
"""Broyden steps, and then Newton steps, that a point gets before something else is tried."""

PATH = 12
"""Penalties on the path of a rescue, from where everything is easy to the one asked for."""

FINER = 1.5
"""The reach is divided by this in the check, and whenever the check fails."""

MOST_CHECKS = 6

MOST_WORK = 4e7
"""Nodes × labels × evaluations that one point may cost, about ten seconds. A search that strays to ever
larger weights needs ever more nodes, and would not end."""

DIRECT_SHARE = 0.25
"""The part of it that is spent before the path of a rescue begins."""


class LinkSolver:
    """The solution of learner ``a`` at every point of ``setting``, given the learners before it."""

    def __init__(self, setting: Setting, state: Macrostate, a: int, *, accuracy: float) -> None:
        self.setting, self.state, self.a, self.accuracy = setting, state, a, accuracy
        self.x = first_guess(setting, state, a)
        self.inverse = self._identity(setting.size)
        self.residual = np.full(setting.size, np.inf)
        self.steps = np.zeros(setting.size, dtype=np.int64)
        self.work = np.zeros(setting.size)
        self.most_work = DIRECT_SHARE * MOST_WORK
        self.exhausted = np.zeros(setting.size, dtype=np.bool_)
        self.shrink = np.ones(setting.size)

    def solve(self) -> None:
        """All passes; leaves the order parameters in ``state`` and says how well in ``residual``."""
        self._coarse()
        self._rescue()
        self._fine()

    def _coarse(self) -> None:
        places = coordinates(self.setting, self.a)
        stride = 1 << max(0, int(np.ceil(np.log2(self.setting.size / FIRST_ROUND))))
        solved = np.zeros(0, dtype=np.intp)
        while stride:
            asked = np.setdiff1d(np.arange(0, self.setting.size, stride), solved)
            known = solved[self.residual[solved] <= COARSE]
            if known.size and asked.size:
                near = nearest(places, known, asked)
                self.x[:, asked], self.inverse[..., asked] = self.x[:, near], self.inverse[..., near]
            self._settle(asked)
            solved = np.union1d(solved, asked)
            stride //= 2

    def _settle(self, points: Indices, accuracy: float = COARSE, *, by_newton: bool = False) -> None:
        """Coarse solutions whose own reach is served by the nodes that gave them."""
        for _ in range(3):
            if not points.size:
                return
            before = self._levels(points, accuracy)
            self._iterate(points, accuracy, by_newton=by_newton)
            points = points[(self._levels(points, accuracy) > before).any(axis=0)]

    def _rescue(self) -> None:
        """Newton's method for what failed; then along a path of falling penalty."""
        failed = self._failed()
        self._restart(failed)
        self._settle(failed, RESCUE, by_newton=True)
        failed, self.most_work = self._failed(), MOST_WORK
        asked = self.setting.penalty[self.a, failed]
        easy, floor = np.maximum(asked, 10.0), np.maximum(asked, 1e-12)
        self.setting.penalty[self.a, failed] = easy
        self._restart(failed)
        for fraction in np.linspace(0.0, 1.0, PATH):
            self.setting.penalty[self.a, failed] = easy * (floor / easy) ** fraction
            self._settle(failed, RESCUE, by_newton=True)
        self.setting.penalty[self.a, failed] = asked

    def _failed(self) -> Indices:
        return np.flatnonzero(~(self.residual <= COARSE))

    def _restart(self, points: Indices) -> None:
        self.exhausted[points] = False
        self.x[:, points] = first_guess(self.setting.take(points), self.state.take(points), self.a)

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
            nodes = _nodes(chosen)
            # a Newton step evaluates the map once for each unknown, once at its end, and once to begin with
            price = nodes * (self.x.shape[0] + 2 if by_newton else 1)
            most_steps = min(FREE_STEPS, int((self.most_work - self.work[block].max()) // price))
            if most_steps < 1:
                self._give_up(block)
                continue
            link, x, stop = self._link(block, chosen, accuracy), self.x[:, block], accuracy / 3.0
            if by_newton:
                outcome = newton(link, x, tolerance=stop, most_steps=most_steps)
            else:
                inverse = self.inverse[..., block]
                outcome = fixed_point(link, x, tolerance=stop, most_steps=most_steps, inverse=inverse)
            self.x[:, block], self.inverse[..., block] = outcome.x, outcome.inverse
            self.residual[block] = outcome.residual
            self.steps[block] += outcome.steps
            self.work[block] += nodes * outcome.steps

    def _check(self, points: Indices) -> None:
        """Residuals with finer rules; what that last step gives is the solution."""
        for block, chosen in self._blocks(points, self.accuracy, FINER):
            if self.work[block].max() + _nodes(chosen) > self.most_work:
                self._give_up(block)
                continue
            link = self._link(block, chosen, self.accuracy)
            image = link.step(self.x[:, block])
            residual = np.abs((image - self.x[:, block]) / link.scale(self.x[:, block])).max(axis=0)
            self.residual[block] = np.where(np.isfinite(residual), residual, np.inf)
            self.steps[block] += 1
            self.work[block] += _nodes(chosen)
            link.write(self.state, block, unpack(image, link.state))

    def _give_up(self, block: Indices) -> None:
        self.residual[block], self.exhausted[block] = np.inf, True

    def _link(self, block: Indices, chosen: list[Rule], accuracy: float) -> Link:
        setting, state = self.setting.take(block), self.state.take(block)
        return Link(setting, state, tabulate(setting, state, chosen[:-1], accuracy), chosen[-1], self.a)

    def _blocks(
        self, points: Indices, accuracy: float, finer: float = 1.0
    ) -> Iterator[tuple[Indices, list[Rule]]]:
        """The ``points`` in runs that need about the same nodes, each with the rules that serve all of it."""
        for chosen, picked in blocks(self._levels(points, accuracy, finer), accuracy):
            yield points[chosen], picked

    def _levels(self, points: Indices, accuracy: float, finer: float = 1.0) -> NDArray[np.int64]:
        """The quadrature level of each axis of nodes, shape (a + 1, points)."""
        setting, state = self.setting.take(points), self.state.take(points)
        reach = reaches(setting, state, self.a, unpack(self.x[:, points], state))
        return level(reach / (finer * self.shrink[points]), accuracy)

    def _identity(self, points: int) -> Array:
        return np.repeat(np.eye(4 + 2 * self.a)[:, :, None], points, axis=2)


def _nodes(chosen: list[Rule]) -> float:
    """Nodes × labels of one evaluation at one point."""
    return 2.0 * float(np.prod([rule.nodes.size for rule in chosen]))
