"""Bounded minimisation in the unit cube, where the minimum is known."""

from __future__ import annotations

import numpy as np
import pytest

from bequest.theory.search import minimise


@pytest.mark.parametrize("dimensions", [1, 2, 3, 4, 5])
def test_the_minimum_of_a_bowl_is_met_inside_and_on_a_bound(dimensions):
    centre = np.linspace(0.2, 0.8, dimensions)
    centre[-1] = 1.3  # beyond the cube: the best place lies on its face

    def bowl(u, points, accuracy=0.0):
        return ((u - centre[:, None]) ** 2).sum(axis=0)

    places, least, settled = minimise(bowl, dimensions, 2)
    assert settled.all()
    assert places == pytest.approx(np.minimum(centre, 1.0)[:, None] * np.ones((1, 2)), abs=2e-3)
    assert least == pytest.approx(0.09, abs=1e-5)


def test_of_two_basins_the_deeper_is_taken_and_the_undefined_avoided():
    def two(u, points, accuracy=0.0):
        value = np.minimum((u[0] - 0.15) ** 2, (u[0] - 0.85) ** 2 - 0.1)
        return np.where(u[0] > 0.95, np.inf, value)

    places, least, _ = minimise(two, 1, 1)
    assert places[0, 0] == pytest.approx(0.85, abs=2e-3)
    assert least[0] == pytest.approx(-0.1, abs=1e-5)
