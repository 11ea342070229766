"""The exact minimiser of one learner's loss on given samples, by Newton's method."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from bequest.errors import NotConverged
from bequest.theory.losses import Drive, Lesson, Loss
from bequest.theory.parameters import Array

MOST_STEPS = 200

MOST_INNER = 14
"""The most conjugate-gradient steps per direction; if so many are needed, a new factorisation is cheaper."""


class Fit(NamedTuple):
    """A minimiser: ``weights`` (1 + n,), the bias first; Newton ``steps``; the largest ``gradient`` left."""

    weights: Array
    steps: int
    gradient: float


class Objective(NamedTuple):
    """The objective Σ_μ ℓ(τ_μ h_μ) + Σ_i (λ_i/2)(w_i − w⁰_i)², with h = inputs @ (b, w) + offset.

    ``penalty`` is λ ≥ 0, one for all weights or one for each (n,). ``lesson`` is the teachers' part, whose
    fields broadcast with (M,); ``teacher`` their mean margin τh̄, (M,). ``anchor`` is w⁰, (n,) or 0.
    ``offset``, (M,) or 0, is the part of h from weights that are fixed. The bias is not penalised.
    """

    loss: Loss
    penalty: float | Array
    lesson: Lesson
    teacher: Array
    anchor: float | Array = 0.0
    offset: float | Array = 0.0


def fit(
    inputs: Array,
    signs: Array,
    objective: Objective,
    *,
    start: Array | None = None,
    tolerance: float = 1e-8,
) -> Fit:
    """The minimiser of an :class:`Objective` over weights and an unpenalised bias.

    Newton's method with halved steps. The Hessian is factorised once; as long as that still preconditions it
    well, later directions come from a few conjugate-gradient steps on the true Hessian, which need no matrix.

    Args:
        inputs: (M, 1 + n), ones in the first column.
        signs: τ = ±1, (M,).
        objective: The objective.
        start: Initial weights, (1 + n,); default: the anchor.
        tolerance: Bound on the largest component of the gradient.

    Raises:
        NotConverged: If the gradient does not vanish, as for λ = 0 and separable samples.
    """
    problem = _Problem(inputs, signs, objective)
    weights = problem.anchor.copy() if start is None else start.copy()
    point = problem.at(weights)
    factor, inner = problem.factorise(point.curvature), 0
    for steps in range(MOST_STEPS):
        size = float(np.abs(point.gradient).max())
        if size <= tolerance:
            return Fit(weights, steps, size)
        if inner >= MOST_INNER:
            factor = problem.factorise(point.curvature)
        # An inexact Newton method: accuracy √|gradient| is enough for it to converge faster than linearly.
        direction, inner = problem.direction(point, factor, min(0.1, np.sqrt(size)))
        weights, point = problem.descend(weights, point, direction)
    raise NotConverged(
        "the fit has no minimum within reach",
        expected=f"a gradient of at most {tolerance:g} after {MOST_STEPS} steps",
        got=f"{size:.2g}",
        remedy="without a penalty the samples may be separable: give the learner a penalty above 0",
    )


class _Point(NamedTuple):
    value: float
    gradient: Array
    curvature: Array


class _Problem:
    """One learner's objective on given samples."""

    def __init__(self, inputs: Array, signs: Array, objective: Objective) -> None:
        self.inputs, self.signs = inputs, signs
        self.loss, penalty, self.lesson, self.teacher, anchor, offset = objective
        self.drive: Drive = self.loss.drive(self.teacher, self.lesson)
        self.offset = signs * offset
        self.ridge, self.anchor = np.zeros(inputs.shape[1]), np.zeros(inputs.shape[1])
        self.ridge[1:], self.anchor[1:] = penalty, anchor

    def at(self, weights: Array) -> _Point:
        margin = self.signs * (self.inputs @ weights) + self.offset
        force, curvature = self.loss.pull(margin, self.lesson, self.drive.value)
        moved = weights - self.anchor
        value = self.loss.value(margin, self.lesson, self.teacher).sum() + 0.5 * self.ridge @ moved**2
        gradient = self.ridge * moved - self.inputs.T @ (self.signs * force)
        return _Point(float(value), gradient, curvature)

    def factorise(self, curvature: Array) -> tuple[Array, bool]:
        """The Cholesky factor of the Hessian; a tiny ridge keeps it positive definite in flat directions."""
        from scipy.linalg import cho_factor  # slow to import, and needed for simulations only

        scaled = self.inputs * np.sqrt(curvature)[:, None]
        hessian = scaled.T @ scaled
        np.fill_diagonal(hessian, hessian.diagonal() + self.ridge + 1e-12 * hessian.diagonal().max())
        factor: tuple[Array, bool] = cho_factor(hessian, overwrite_a=True, check_finite=False)
        return factor

    def direction(self, point: _Point, factor: tuple[Array, bool], accuracy: float) -> tuple[Array, int]:
        """Solve Hessian · direction = −gradient to a relative ``accuracy``; also returns the steps taken."""
        from scipy.linalg import cho_solve

        def solved(vector: Array) -> Array:
            return np.asarray(cho_solve(factor, vector, check_finite=False))

        residual = -point.gradient
        enough = accuracy * np.linalg.norm(residual)
        direction = np.zeros_like(residual)
        towards = solved(residual)
        search, fall = towards, residual @ towards
        for count in range(1, MOST_INNER + 1):
            image = self.ridge * search + self.inputs.T @ (point.curvature * (self.inputs @ search))
            along = fall / (search @ image)
            direction = direction + along * search
            residual = residual - along * image
            if np.linalg.norm(residual) <= enough:
                return direction, count
            towards = solved(residual)
            fall, before = residual @ towards, fall
            search = towards + fall / before * search
        return direction, MOST_INNER

    def descend(self, weights: Array, point: _Point, direction: Array) -> tuple[Array, _Point]:
        """The longest of 1, ½, ¼ ... of the direction that lowers the objective."""
        slope = float(point.gradient @ direction)
        # Near the minimum a step's gain is below the rounding of the objective: no reason to refuse it.
        slack = 1e-12 * (1.0 + abs(point.value))
        for halvings in range(40):
            size = 0.5**halvings
            moved = weights + size * direction
            reached = self.at(moved)
            # Armijo's condition.
            if reached.value <= point.value + 1e-4 * size * slope + slack:
                break
        return moved, reached
