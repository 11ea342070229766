from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bequest.theory import Mixture, bayes_error, oracle_error, solve

POSITIVE = st.floats(0.2, 5.0)
SHARE = st.floats(0.05, 0.95)


def test_bayes_error_is_reached_by_the_posterior_mean():
    """Draw v, form its posterior mean from the data, classify fresh samples with the best bias."""
    generator = np.random.default_rng(0)
    alpha, delta, rho, n = 1.5, 0.7, 0.3, 500
    wrong = []
    for _ in range(40):
        v = generator.standard_normal(n)
        count = int(alpha * n)
        # τx summed over the samples is normal: αN v/√N + √(Δ αN) z
        total = count * v / np.sqrt(n) + np.sqrt(delta * count) * generator.standard_normal(n)
        mean = (total / (np.sqrt(n) * delta)) / (1 + alpha / delta)
        tau = np.where(generator.random(4000) < rho, 1.0, -1.0)
        x = tau[:, None] * v / np.sqrt(n) + np.sqrt(delta) * generator.standard_normal((4000, n))
        field = x @ mean / np.sqrt(n) + delta / 2 * np.log(rho / (1 - rho))
        wrong.append((np.sign(field) != tau).mean())
    sure = np.std(wrong) / np.sqrt(len(wrong))
    assert abs(np.mean(wrong) - bayes_error(Mixture(alpha, delta, rho))) < 3 * sure


@given(alpha=POSITIVE, delta=POSITIVE, rho=SHARE)
@settings(max_examples=20, deadline=None)
def test_identities_of_the_bayes_error(alpha, delta, rho):
    mixture = Mixture(alpha, delta, rho)
    best = bayes_error(mixture)
    assert np.isclose(best, bayes_error(Mixture(alpha, delta, 1 - rho)))
    assert oracle_error(mixture) <= best <= min(rho, 1 - rho) + 1e-12
    assert best <= bayes_error(mixture, eta=0.5)
    assert np.isclose(bayes_error(Mixture(1e12, delta, rho)), oracle_error(mixture))


@given(alpha=POSITIVE, delta=POSITIVE, rho=SHARE, penalty=st.floats(0.01, 10.0), eta=st.floats(0.2, 1.0))
@settings(max_examples=15, deadline=None)
def test_nobody_beats_bayes(alpha, delta, rho, penalty, eta):
    from bequest.theory import error, law

    mixture = Mixture(alpha, delta, rho)
    solution = solve(mixture, lambda_teacher=penalty, lambda_student=penalty, eta=eta, mix=0.5)
    assert error(law(solution, 0)) >= bayes_error(mixture) - 1e-9
    assert error(law(solution)) >= bayes_error(mixture) - 1e-9


@given(alpha=POSITIVE, delta=POSITIVE)
@settings(max_examples=10, deadline=None)
def test_strong_penalty_with_even_labels_finds_the_best_direction(alpha, delta):
    from bequest.theory import error, law

    mixture = Mixture(alpha, delta, 0.5)
    found = error(law(solve(mixture, lambda_teacher=1e6, lambda_student=1.0), 0))
    assert found == pytest.approx(float(bayes_error(mixture)), rel=1e-5)


def test_the_shape_is_the_broadcast_one():
    assert Mixture(np.ones((3, 1)), [1.0, 2.0], 0.5).shape == (3, 2)
