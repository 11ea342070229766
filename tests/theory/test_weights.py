from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bequest.theory import Learner
from bequest.theory.macrostate import Macrostate, Setting
from bequest.theory.weights import overlaps, slabs_of

UNIT = st.floats(0.05, 1.0)


def setting(penalty, eta) -> Setting:
    a = len(penalty)
    one = np.ones(1)
    row = np.ones((a, 1))
    return Setting(
        one, one, one / 2, np.array(penalty)[:, None], np.array(eta)[:, None], row, row, (Learner(1.0),) * a
    )


@given(UNIT, UNIT, UNIT, UNIT, UNIT, st.floats(-1, 1), st.floats(-1, 1), UNIT)
@settings(max_examples=40, deadline=None)
def test_two_learners_have_the_formulas_of_the_derivation(mt, qt, vt, ms, qs, corr, vst, eta):
    lt, ls, vs = 0.7, 0.3, 0.9
    qts = corr * np.sqrt(qt * qs)
    state = Macrostate.empty(2, 1)
    state.force[0], state.noise[0, 0], state.stiffness[0, 0] = mt, qt, vt
    given_setting = setting([lt, ls], [1.0, eta])
    slabs = slabs_of(given_setting, state, 1)
    a, b = 1 / (lt + vt), 1 / (ls + vs)
    found = overlaps(
        state, slabs, 1, np.array([b]), np.array([ms]), np.array([[qts], [qs]]), np.array([[vst]])
    )
    mu = b * (ms - vst * a * mt)
    assert found.m[0] == pytest.approx(eta * mu)
    assert found.q[0] == pytest.approx(
        eta * (mu**2 + b**2 * (qs + vst**2 * a**2 * qt - 2 * vst * a * qts)), abs=1e-12
    )
    assert found.overlap[0, 0] == pytest.approx(eta * (mu * a * mt + a * b * (qts - vst * a * qt)), abs=1e-12)
    assert found.v[0] == pytest.approx(eta * b)
    assert found.response[0, 0] == pytest.approx(-eta * vst * a * b)


def test_three_learners_on_different_inputs_have_the_moments_of_their_weights():
    """Draw the fields, solve the linear system of every input, and take the moments."""
    generator = np.random.default_rng(1)
    penalty, eta = [0.5, 0.2, 0.8], [1.0, 0.3, 0.6]
    spread = generator.standard_normal((3, 3))
    noise, force = spread @ spread.T, generator.standard_normal(3)
    stiffness = np.tril(generator.standard_normal((3, 3)), -1) + np.diag([0.4, 0.9, 0.6])
    state = Macrostate.empty(3, 1)
    state.force[:, 0], state.noise[..., 0], state.stiffness[..., 0] = force, noise, stiffness

    n = 400_000
    v = generator.standard_normal(n)
    field = force[:, None] * v + np.linalg.cholesky(noise) @ generator.standard_normal((3, n))
    place = (np.arange(n) + 0.5) / n
    weights = np.zeros((3, n))
    for a in range(3):
        back = sum(stiffness[a, c] * weights[c] for c in range(a))
        weights[a] = (place < eta[a]) * (field[a] - back) / (penalty[a] + stiffness[a, a])

    slabs = slabs_of(setting(penalty, eta), state, 2)
    gain = np.array([1 / (penalty[2] + stiffness[2, 2])])
    found = overlaps(state, slabs, 2, gain, force[2:], noise[2][:, None], stiffness[2, :2][:, None])
    exact = [found.m[0], found.q[0], *found.overlap[:, 0]]
    drawn = [weights[2] * v, weights[2] ** 2, weights[2] * weights[0], weights[2] * weights[1]]
    for value, sample in zip(exact, drawn, strict=True):
        assert abs(value - sample.mean()) < 4 * sample.std() / np.sqrt(n)
    # responses: the mean derivative of the third weights by fields on the first and the second
    inverse_all = np.linalg.inv(np.diag(penalty) + stiffness)
    without_second = np.linalg.inv(np.diag([penalty[0], penalty[2]]) + stiffness[np.ix_([0, 2], [0, 2])])
    assert found.response[1, 0] == pytest.approx(0.3 * inverse_all[2, 1])
    assert found.response[0, 0] == pytest.approx(0.3 * inverse_all[2, 0] + 0.3 * without_second[1, 0])
    assert found.v[0] == pytest.approx(0.6 * gain[0])
