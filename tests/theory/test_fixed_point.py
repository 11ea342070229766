from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bequest.theory.fixed_point import Map, fixed_point, newton


@dataclass
class Linear:
    """x ↦ A x + c, a matrix for each point; counts what it is asked."""

    matrix: np.ndarray
    offset: np.ndarray
    evaluated: list[int]

    def step(self, x):
        self.evaluated.append(x.shape[1])
        return np.einsum("pij,jp->ip", self.matrix, x) + self.offset.T

    def scale(self, x):
        return np.ones_like(x)

    def curb(self, x, dx):
        return dx

    def take(self, index):
        return Linear(self.matrix[index], self.offset[index], self.evaluated)


def linear(seed: int, points: int, size: float) -> Linear:
    generator = np.random.default_rng(seed)
    matrix = size * generator.standard_normal((points, 3, 3))
    return Linear(matrix, generator.standard_normal((points, 3)), [])


@given(st.integers(0, 1000), st.sampled_from([0.1, 0.4]))
@settings(max_examples=30, deadline=None)
def test_linear_maps_are_solved_exactly(seed, size):
    problem = linear(seed, 5, size)
    exact = np.linalg.solve(np.eye(3) - problem.matrix, problem.offset[..., None])[..., 0].T
    found = fixed_point(problem, np.zeros((3, 5)), tolerance=1e-11, most_steps=200)
    assert (found.residual <= 1e-11).all()
    assert found.x == pytest.approx(exact, rel=1e-6, abs=1e-6)
    assert newton(problem, np.zeros((3, 5)), tolerance=1e-9, most_steps=20).x == pytest.approx(
        exact, rel=1e-4
    )


def test_finished_points_leave_the_batch():
    problem = linear(0, 8, 0.3)
    problem.matrix[:6] *= 1e-9
    found = fixed_point(problem, np.zeros((3, 8)), tolerance=1e-10, most_steps=100)
    assert problem.evaluated[0] == 8
    assert problem.evaluated[-1] <= 2
    assert (found.steps[:6] < found.steps[6:].min()).all()


def test_what_was_learnt_helps_on_a_neighbouring_problem():
    problem = linear(3, 4, 0.4)
    first = fixed_point(problem, np.zeros((3, 4)), tolerance=1e-10, most_steps=100)
    problem.offset = problem.offset + 0.1
    cold = fixed_point(problem, first.x, tolerance=1e-10, most_steps=100)
    warm = fixed_point(problem, first.x, tolerance=1e-10, most_steps=100, inverse=first.inverse)
    assert warm.steps.sum() < cold.steps.sum()


class Cliff:
    """Steps to where nothing is a number; only short steps survive."""

    def step(self, x):
        with np.errstate(invalid="ignore"):
            return np.where(np.abs(x) < 1.5, -0.9 * x + 0.5, np.nan)

    def scale(self, x):
        return np.ones_like(x)

    def curb(self, x, dx):
        return dx

    def take(self, index):
        return self


def test_steps_into_nothing_are_taken_back():
    found = fixed_point(Cliff(), np.array([[-1.4]]), tolerance=1e-9, most_steps=100)
    assert found.x[0, 0] == pytest.approx(0.5 / 1.9)


def test_stopping_early_is_said():
    found = fixed_point(linear(1, 2, 0.4), np.zeros((3, 2)), tolerance=1e-12, most_steps=2)
    assert (found.residual > 1e-12).all()
    assert (found.steps == 2).all()
    assert isinstance(linear(0, 1, 0.1), Map)
