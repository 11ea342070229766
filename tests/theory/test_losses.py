from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.special import expit

from bequest.theory.losses import LOSSES, Lesson, against

MIX = st.sampled_from([0.0, 0.3, 1.0])
TEMPERATURE = st.sampled_from([0.5, 1.0, 4.0])
KIND = st.sampled_from(["logistic", "square"])


def lesson(mix: float, temperature: float, hard: bool) -> Lesson:
    return Lesson(np.array(mix), np.array(1.0 if hard else temperature), hard)


@given(
    kind=KIND,
    mix=MIX,
    temperature=TEMPERATURE,
    hard=st.booleans(),
    cavity=st.floats(-60, 60),
    response=st.floats(1e-3, 1e4),
    teacher=st.floats(-20, 20),
)
@settings(max_examples=200, deadline=None)
def test_the_proximal_point_solves_its_equation(kind, mix, temperature, hard, cavity, response, teacher):
    loss, given_lesson = LOSSES[kind], lesson(mix, temperature, hard)
    drive = loss.drive(np.array([teacher]), given_lesson).value
    found = loss.proximal(np.array([cavity]), np.array([response]), given_lesson, drive, None)

    def excess(x: float) -> float:
        return x - cavity - response * float(loss.force(np.array([x]), given_lesson, drive)[0])

    reach = response * (1 + 2 * temperature + 100) + abs(cavity) + 100
    exact = brentq(excess, -reach, reach, xtol=1e-13, rtol=1e-14, maxiter=500)
    assert found.margin[0] == pytest.approx(exact, abs=1e-8)
    assert response * found.force[0] == pytest.approx(exact - cavity, abs=1e-7 * (1 + response))


@given(
    kind=KIND, mix=MIX, temperature=TEMPERATURE, hard=st.booleans(), x=st.floats(-8, 8), t=st.floats(-8, 8)
)
@settings(max_examples=100, deadline=None)
def test_force_curvature_and_cross_are_derivatives(kind, mix, temperature, hard, x, t):
    if hard and abs(t) < 1e-2:
        return
    loss, rules, step = LOSSES[kind], lesson(mix, temperature, hard), 1e-5
    margin, teacher = np.array([x]), np.array([t])
    drive = loss.drive(teacher, rules)
    value = [loss.value(margin + d, rules, teacher)[0] for d in (-step, step)]
    force, curvature = loss.pull(margin, rules, drive.value)
    assert force == loss.force(margin, rules, drive.value)
    assert force[0] == pytest.approx(-(value[1] - value[0]) / (2 * step), abs=1e-7)
    forces = [loss.force(margin + d, rules, drive.value)[0] for d in (-step, step)]
    assert curvature[0] == pytest.approx(-(forces[1] - forces[0]) / (2 * step), abs=1e-7)
    moved = [loss.force(margin, rules, loss.drive(teacher + d, rules).value)[0] for d in (-step, step)]
    assert drive.cross[0] == pytest.approx((moved[1] - moved[0]) / (2 * step), abs=1e-7)


@given(mix=MIX, temperature=TEMPERATURE, h=st.floats(-9, 9), h_t=st.floats(-9, 9), y=st.sampled_from([0, 1]))
@settings(max_examples=60, deadline=None)
def test_the_logistic_value_is_the_loss_of_the_paper(mix, temperature, h, h_t, y):
    def cross_entropy(p: float, logit: float) -> float:
        return -p * np.log(expit(logit)) - (1 - p) * np.log(expit(-logit))

    tau = 2 * y - 1
    rules = lesson(mix, temperature, False)
    found = LOSSES["logistic"].value(np.array([tau * h]), rules, np.array([tau * h_t]))[0]
    soft = cross_entropy(expit(h_t / temperature), h / temperature)
    assert found == pytest.approx((1 - mix) * cross_entropy(y, h) + mix * temperature**2 * soft, rel=1e-9)


def test_both_ends_keep_their_digits():
    wrong, slope = against(np.array([-40.0, 40.0]))
    assert wrong == pytest.approx(np.array([1.0, np.exp(-40)]), rel=1e-14)
    assert slope == pytest.approx(np.exp(-40), rel=1e-14)


def test_a_guess_changes_nothing_but_the_way():
    loss, rules = LOSSES["logistic"], lesson(0.5, 2.0, False)
    cavity = np.linspace(-30, 30, 41)
    response, drive = np.full(41, 50.0), np.full(41, 0.4)
    cold = loss.proximal(cavity, response, rules, drive, None)
    warm = loss.proximal(cavity, response, rules, drive, cavity[::-1])
    assert cold.margin == pytest.approx(warm.margin, abs=1e-9)
