from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bequest.theory import Learner, Mixture, solve_chain
from bequest.theory.channel import Channel, factor
from bequest.theory.quadrature import rule_for
from bequest.theory.state_evolution import reaches, tabulate, unknowns_of

ACCURACY = 1e-10


def channel_of(solution, a):
    """The last learner's channel of a solved chain, with its unknowns, rule and proximal points."""
    setting, state = solution.setting, solution.state
    x = unknowns_of(state, a)
    rules = [rule_for(float(r.min()) / 1.5, ACCURACY) for r in reaches(setting, state, a, x)]
    tape = tabulate(setting, state, rules[:a], ACCURACY)
    channel = Channel(setting, tape, factor(setting, state, a), a)
    row = channel.row(x)
    cavity = channel.centre(x, row) + rules[a].nodes[:, None, None, None] * row[a]
    return channel, x, row, rules[a], channel.proximal(cavity, x, None)


@given(
    st.floats(0.5, 5.0), st.floats(0.1, 0.9), st.floats(0.2, 1.0), st.floats(0.1, 1.0), st.floats(0.7, 5.0)
)
@settings(max_examples=10, deadline=None)
def test_the_slopes_obey_steins_identity(alpha, rho, eta, mix, temperature):
    """E[∂G/∂ω] by the chain rule is E[zG] by parts: two ways that share no formula."""
    chain = [Learner(0.3), Learner(0.2, eta, mix, temperature), Learner(0.4, 1.0, mix, 1.5, teachers=(0, 1))]
    solution = solve_chain(Mixture(alpha, 1.0, rho), chain)
    for a in (1, 2):
        channel, x, row, rule, found = channel_of(solution, a)
        by_rule = channel.conjugates(x, row, rule, found)
        channel.tape.slopes = None
        by_parts = channel.conjugates(x, row, rule, found)
        assert by_parts.stiffness == pytest.approx(by_rule.stiffness, rel=1e-6, abs=1e-8)
        assert by_parts.noise == pytest.approx(by_rule.noise)


def test_a_solution_is_a_fixed_point_of_monte_carlo():
    """Conjugates from drawn cavity fields, with the proximal points solved one learner after another."""
    generator = np.random.default_rng(0)
    solution = solve_chain(Mixture(2.0, 0.7, 0.3), [Learner(0.3), Learner(0.1, 0.6, 0.7, 2.0)])
    state, n, delta = solution.state, 400_000, 0.7
    y = (generator.random(n) < 0.3).astype(float)
    covariance = delta * state.q[..., 0]
    omega = np.linalg.cholesky(covariance) @ generator.standard_normal((2, n))
    omega += (2 * y - 1) * state.m + state.b
    sigma = lambda x: 1 / (1 + np.exp(-x))  # noqa: E731
    v_t, v_s, v_st = delta * state.v[0, 0], delta * state.v[1, 1], delta * state.v[1, 0]
    h_t = omega[0].copy()
    for _ in range(60):
        h_t -= (h_t - omega[0] + v_t * (sigma(h_t) - y)) / (1 + v_t * sigma(h_t) * sigma(-h_t))
    g_t = y - sigma(h_t)
    h_s, t, chi = h_t.copy(), 2.0, 0.7
    for _ in range(60):
        push = (1 - chi) * (sigma(h_s) - y) + chi * t * (sigma(h_s / t) - sigma(h_t / t))
        bend = (1 - chi) * sigma(h_s) * sigma(-h_s) + chi * sigma(h_s / t) * sigma(-h_s / t)
        h_s -= (h_s - omega[1] - v_st * g_t + v_s * push) / (1 + v_s * bend)
    g_s = -((1 - chi) * (sigma(h_s) - y) + chi * t * (sigma(h_s / t) - sigma(h_t / t)))
    tau = 2 * y - 1
    drawn = {
        "force": (2.0 * tau * g_s, state.force[1, 0]),
        "noise": (2.0 * delta * g_s**2, state.noise[1, 1, 0]),
        "cross": (2.0 * delta * g_s * g_t, state.noise[1, 0, 0]),
        "teacher's noise": (2.0 * delta * g_t**2, state.noise[0, 0, 0]),
        "bias": (g_s, 0.0),
        "teacher's bias": (g_t, 0.0),
    }
    for name, (sample, exact) in drawn.items():
        assert abs(sample.mean() - exact) < 4 * sample.std() / np.sqrt(n), name
