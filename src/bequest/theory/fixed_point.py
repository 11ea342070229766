"""Fixed points of many small maps at once, by Broyden's method, or by Newton's where that fails.

The map, the method, the stopping rule and the outcome are separate: a :class:`Map` defines the step and the
scale of its residuals; :func:`fixed_point` and :func:`newton` iterate; ``tolerance`` and ``most_steps`` stop
them; an :class:`Outcome` says how each point ended.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from bequest.theory.parameters import Array, Indices, Mask

SET_BACK = 10.0
"""A step that makes the residual this many times larger is undone."""


PATIENCE = 2
"""After so many refused steps in a row the learnt Jacobian is discarded."""

DIFFERENCE = 1e-6
"""The step of a finite difference, in units of the map's scale."""


@runtime_checkable
class Map(Protocol):
    """A map of (d, P) arrays: d unknowns at each of P points."""

    def step(self, x: Array) -> Array:
        """The image of ``x``, shape (d, P)."""

    def scale(self, x: Array) -> Array:
        """The natural size of each unknown at ``x``, shape (d, P)."""

    def curb(self, x: Array, dx: Array) -> Array:
        """The step ``dx`` from ``x``, shortened so that it stays where the map is defined, shape (d, P)."""

    def take(self, index: Indices) -> Map:
        """The same map at fewer points."""


@dataclass
class Outcome:
    """How an iteration ended, point by point.

    ``x`` (d, P); ``residual`` (P,) = max |step(x) − x| / scale; ``steps`` (P,); ``inverse`` (d, d, P),
    minus the approximate inverse of the Jacobian of step(x) − x, from which a nearby problem can start.
    """

    x: Array
    residual: Array
    steps: NDArray[np.int64]
    inverse: Array


def fixed_point(
    problem: Map, start: Array, *, tolerance: float, most_steps: int, inverse: Array | None = None
) -> Outcome:
    """Iterate ``problem`` from ``start`` until every point's residual is at most ``tolerance``.

    Broyden's first method (1965, "A class of methods for solving nonlinear simultaneous equations"): the
    Jacobian begins as that of a plain iteration and is updated at each step. A step that makes the residual
    much larger is undone and retried at half its length, and after ``PATIENCE`` times as a damped plain
    iteration.

    Points that are done leave the batch once half of it is done, so that copies of it are rare.
    """
    size = start.shape[-1]
    if inverse is None:
        inverse = np.repeat(np.eye(start.shape[0])[:, :, None], size, axis=2)
    done = Outcome(start.copy(), np.full(size, np.inf), np.zeros(size, dtype=np.int64), inverse.copy())
    active = np.arange(size)
    run = _Run(problem, start.copy(), inverse.copy())
    while True:
        finished = (run.residual <= tolerance) | (run.steps >= most_steps)
        if finished.mean() >= 0.5 or run.count >= most_steps:
            done.x[:, active], done.residual[active] = run.x, run.residual
            done.inverse[..., active], done.steps[active] = run.inverse, run.steps
            keep = np.flatnonzero(~finished)
            if not keep.size:
                return done
            active, run = active[keep], run.take(keep)
        run.advance(tolerance)


def newton(problem: Map, start: Array, *, tolerance: float, most_steps: int) -> Outcome:
    """As :func:`fixed_point`, with the Jacobian from finite differences at every step.

    Each step costs d + 1 evaluations of the map instead of one; it converges where the map's Jacobian is
    nearly singular, as at the edge of separability.
    """
    run = _Run(problem, start.copy(), np.zeros((start.shape[0], *start.shape)))
    while run.count < most_steps and not (run.residual <= tolerance).all():
        run.inverse = run.damping * _measured_inverse(problem, run.x, run.move)
        run.advance(tolerance)
    return Outcome(run.x, run.residual, run.steps * (1 + start.shape[0]), run.inverse)


def _measured_inverse(problem: Map, x: Array, move: Array) -> Array:
    """Minus the inverse of the Jacobian of step(x) − x, by one-sided differences."""
    size = DIFFERENCE * problem.scale(x)
    columns = []
    for k in range(x.shape[0]):
        near = x.copy()
        near[k] += size[k]
        columns.append((problem.step(near) - near - move) / size[k])
    jacobian = np.stack(columns, axis=1).transpose(2, 0, 1)
    usable = np.isfinite(jacobian).all(axis=(1, 2))
    # That of a constant map: the point takes a plain step.
    jacobian[~usable] = -np.eye(x.shape[0])
    # Not inv, which raises for the whole batch if the Jacobian of one point is singular.
    return -np.linalg.pinv(jacobian).transpose(1, 2, 0)


class _Run:
    """The state of an iteration over the points that are still active."""

    def __init__(self, problem: Map, x: Array, inverse: Array) -> None:
        self.problem, self.x, self.inverse = problem, x, inverse
        self.damping = np.ones(x.shape[-1])
        self.refused = np.zeros(x.shape[-1], dtype=np.int64)
        self.count = 1
        self.steps = np.ones(x.shape[-1], dtype=np.int64)
        self.move = problem.step(x) - x
        self.residual = self._residual(x, self.move)

    def take(self, keep: Indices) -> _Run:
        # Without __init__, which would evaluate the map again.
        run = object.__new__(_Run)
        run.problem = self.problem.take(keep)
        run.count = self.count
        for name in ("x", "inverse", "damping", "refused", "steps", "move", "residual"):
            setattr(run, name, getattr(self, name)[..., keep])
        return run

    def advance(self, tolerance: float) -> None:
        """One step of every point, undone if it made the residual much larger."""
        dx = np.einsum("ijp,jp->ip", self.inverse, self.move)
        dx = self.problem.curb(self.x, dx)
        x = self.x + dx
        move = self.problem.step(x) - x
        residual = self._residual(x, move)
        self.steps += self.residual > tolerance  # done points only wait for the others
        self.count += 1
        good = residual <= np.maximum(SET_BACK * self.residual, tolerance)
        self._learn(dx, move - self.move, good)
        self.x = np.where(good, x, self.x)
        self.move = np.where(good, move, self.move)
        self.residual = np.where(good, residual, self.residual)

    def _learn(self, dx: Array, dmove: Array, good: Mask) -> None:
        """Broyden's update for points whose step was ``good``, a shorter step for the others."""
        predicted = np.einsum("ijp,jp->ip", self.inverse, dmove)
        along = np.einsum("ip,ip->p", dx, predicted)
        usable = good & (np.abs(along) > 1e-300)  # else the update would divide by 0
        error = np.where(usable, (-dx - predicted) / np.where(usable, along, 1.0), 0.0)
        self.inverse += error[:, None] * np.einsum("ip,ijp->jp", dx, self.inverse)[None]
        self.refused = np.where(good, 0, self.refused + 1)
        self.damping = np.where(good, np.minimum(1.0, 1.2 * self.damping), self.damping / 2.0)
        if not good.all():
            self.inverse[..., ~good] /= 2.0
            lost = self.refused >= PATIENCE
            self.inverse[..., lost] = np.eye(dx.shape[0])[:, :, None] * self.damping[lost]

    def _residual(self, x: Array, move: Array) -> Array:
        residual = np.abs(move / self.problem.scale(x)).max(axis=0)
        return np.where(np.isfinite(residual), residual, np.inf)
