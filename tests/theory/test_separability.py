from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog, minimize
from scipy.special import ndtr

from bequest.errors import ConfigError
from bequest.theory import separability_threshold

DELTA, RHO, ETA = st.floats(0.1, 10.0), st.floats(0.05, 0.95), st.floats(0.1, 1.0)


@given(DELTA, RHO)
@settings(max_examples=20, deadline=None)
def test_the_threshold_is_the_minimum_found_by_a_general_optimiser(delta, rho):
    def slack(x):
        m, b = x
        total = 0.0
        for p, tau in ((rho, 1), (1 - rho, -1)):
            mean, width = m + tau * b, np.sqrt(delta * (1 + m**2))
            r = mean / width
            density = np.exp(-(r**2) / 2) / np.sqrt(2 * np.pi)
            total += p * ((mean**2 + width**2) * ndtr(-r) - mean * width * density)
        return total

    found = minimize(
        slack, [0.1, 0.0], method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-13, "maxiter": 4000}
    )
    assert separability_threshold(delta, rho) == pytest.approx(delta / found.fun, rel=1e-6)


@given(DELTA, RHO, ETA)
@settings(max_examples=20, deadline=None)
def test_bounds_and_symmetry(delta, rho, eta):
    found = separability_threshold(delta, rho, eta)
    assert found >= 2 * eta  # pure noise is separable up to Cover's 2
    assert found == pytest.approx(separability_threshold(delta, 1 - rho, eta), rel=1e-8)
    assert found <= separability_threshold(delta / 2, rho, eta) * (1 + 1e-12)
    assert found <= separability_threshold(delta, rho, 1.0) * (1 + 1e-12)


def separable(alpha: float, delta: float, rho: float, eta: float, n: int, seed: int) -> bool:
    """Whether a linear programme finds w, b with τ(w·x + b) ≥ 1 for all samples."""
    generator = np.random.default_rng(seed)
    count, seen = int(alpha * n), int(eta * n)
    tau = np.where(generator.random(count) < rho, 1.0, -1.0)
    v = generator.standard_normal(n)
    x = tau[:, None] * v / np.sqrt(n) + np.sqrt(delta) * generator.standard_normal((count, n))
    rows = -tau[:, None] * np.column_stack([np.ones(count), x[:, :seen]])
    found = linprog(np.zeros(seen + 1), A_ub=rows, b_ub=-np.ones(count), bounds=(None, None))
    return found.status == 0


@pytest.mark.parametrize(("rho", "eta"), [(0.5, 1.0), (0.2, 0.5)])
def test_linear_programmes_agree_on_either_side(rho, eta):
    threshold = float(separability_threshold(1.0, rho, eta))
    below = [separable(0.8 * threshold, 1.0, rho, eta, 100, seed) for seed in range(5)]
    above = [separable(1.25 * threshold, 1.0, rho, eta, 100, seed) for seed in range(5)]
    assert sum(below) >= 4
    assert sum(above) <= 1


def test_arrays_and_bad_input():
    assert separability_threshold([[1.0], [2.0]], [0.2, 0.3, 0.5]).shape == (2, 3)
    with pytest.raises(ConfigError, match="separability_threshold: 2 errors"):
        separability_threshold(-1.0, 1.0)
