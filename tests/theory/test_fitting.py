from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression

from bequest.errors import NotConverged
from bequest.theory import Learner, Mixture
from bequest.theory.fitting import Objective, fit
from bequest.theory.losses import LOSSES
from bequest.theory.simulation import draw, lesson_of


def fitted(data, learner, teacher=None):
    margins = np.zeros_like(data.signs) if teacher is None else teacher
    loss, lesson = LOSSES[learner.loss], lesson_of(learner)
    return fit(data.inputs, data.signs, Objective(loss, float(learner.penalty), lesson, margins))


@pytest.mark.parametrize("penalty", [1e-3, 1.0, 100.0])
@pytest.mark.parametrize("alpha", [0.5, 3.0])
def test_the_teacher_is_scikit_learns_logistic_regression(alpha, penalty):
    data = draw(Mixture(alpha, 1.0, 0.3), 80, 0)
    model = LogisticRegression(C=1 / penalty, solver="newton-cholesky", tol=1e-10, max_iter=1000)
    model.fit(data.inputs[:, 1:], data.signs)
    ours = fitted(data, Learner(penalty))
    assert ours.weights[1:] == pytest.approx(model.coef_[0], abs=1e-5)
    assert ours.weights[0] == pytest.approx(model.intercept_[0], abs=1e-5)
    assert ours.gradient <= 1e-8


@given(st.sampled_from([0.0, 0.4, 1.0]), st.sampled_from([0.5, 1.0, 5.0]), st.integers(0, 100))
@settings(max_examples=10, deadline=None)
def test_a_students_fit_is_the_minimum_of_its_objective(mix, temperature, seed):
    data = draw(Mixture(2.0, 1.0, 0.4), 12, seed)
    learner = Learner(0.3, mix=mix, temperature=temperature)
    teacher = 2.0 * np.random.default_rng(seed).standard_normal(data.signs.size)
    ours = fitted(data, learner, teacher)
    loss, lesson = LOSSES["logistic"], lesson_of(learner)

    def objective(w):
        margin = data.signs * (data.inputs @ w)
        return loss.value(margin, lesson, teacher).sum() + 0.15 * (w[1:] ** 2).sum()

    theirs = minimize(objective, np.zeros(13), method="BFGS", options={"gtol": 1e-7})
    assert objective(ours.weights) <= theirs.fun + 1e-9
    assert ours.weights == pytest.approx(theirs.x, abs=1e-3)


def test_the_square_loss_is_least_squares():
    data = draw(Mixture(3.0, 1.0, 0.4), 30, 1)
    ours = fitted(data, Learner(0.0, loss="square"))
    exact = np.linalg.lstsq(data.inputs, data.signs, rcond=None)[0]
    assert ours.weights == pytest.approx(exact, abs=1e-8)


def test_a_start_saves_steps():
    data = draw(Mixture(2.0, 1.0, 0.3), 60, 0)
    first = fitted(data, Learner(0.1))
    loss, lesson = LOSSES["logistic"], lesson_of(Learner(0.1))
    nobody = np.zeros_like(data.signs)
    again = fit(data.inputs, data.signs, Objective(loss, 0.1, lesson, nobody), start=first.weights)
    assert again.steps == 0


def test_penalties_by_weight_pull_to_their_anchor_and_an_offset_counts():
    data = draw(Mixture(2.0, 1.0, 0.4), 12, 3)
    generator = np.random.default_rng(0)
    penalty, anchor = generator.uniform(0.1, 2.0, 12), generator.standard_normal(12)
    offset = generator.standard_normal(data.signs.size)
    loss, lesson, nobody = LOSSES["logistic"], lesson_of(Learner(1.0)), np.zeros_like(data.signs)
    ours = fit(data.inputs, data.signs, Objective(loss, penalty, lesson, nobody, anchor, offset))

    def objective(w):
        margin = data.signs * (data.inputs @ w + offset)
        return np.logaddexp(0.0, -margin).sum() + 0.5 * (penalty * (w[1:] - anchor) ** 2).sum()

    theirs = minimize(objective, np.zeros(13), method="BFGS", options={"gtol": 1e-8})
    assert ours.weights == pytest.approx(theirs.x, abs=1e-4)


def test_separable_samples_without_a_penalty_have_no_minimum():
    data = draw(Mixture(0.5, 1.0, 0.5), 40, 0)
    with pytest.raises(NotConverged) as caught:
        fit(
            data.inputs,
            data.signs,
            Objective(LOSSES["logistic"], 0.0, lesson_of(Learner(0.0)), np.zeros_like(data.signs)),
            tolerance=1e-300,
        )
    assert caught.value.message == "the fit has no minimum within reach"
    assert "separable" in caught.value.remedy
