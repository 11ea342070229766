"""Separability of labels by unpenalised blocks, against linear programming."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import linprog

from bequest.theory import BlockMixture, QueryGroup, Status, solve_queries


@pytest.mark.parametrize(("alpha", "separable"), [(0.5, True), (3.0, False)])
def test_labels_are_separable_where_a_linear_programme_says_so(alpha, separable):
    """Block 2 alone is free: the labels must be separated by its coordinates and the bias."""
    world = BlockMixture(1, 0.5, (0.5, 0.5), (0.5, 0.5), (1, 1))
    solution = solve_queries(
        world,
        lambda_teacher=(1, 1),
        lambda_student=(np.inf, 0),
        groups=[QueryGroup(alpha, 1, (1, 1), mix=0.0)],
        throw=False,
    )
    assert (solution.status == Status.SEPARABLE) == separable
    generator, size = np.random.default_rng(0), 200
    samples, free = round(alpha * size), size // 2
    s = np.where(np.arange(samples) < samples // 2, 1.0, -1.0)
    v = generator.standard_normal(free)
    v *= np.sqrt(0.5 * size) / np.linalg.norm(v)
    x = generator.standard_normal((samples, free)) + s[:, None] * v / np.sqrt(size)
    rows = -s[:, None] * np.column_stack([np.ones(samples), x])
    programme = linprog(np.zeros(1 + free), A_ub=rows, b_ub=-np.ones(samples), bounds=(None, None))
    assert (programme.status == 0) == separable
