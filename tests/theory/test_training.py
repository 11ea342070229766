from __future__ import annotations

import numpy as np
import pytest
from scipy.special import ndtr

from bequest.theory import (
    Learner,
    Mixture,
    estimate,
    simulate,
    solve,
    solve_chain,
    training_error,
    training_loss,
)
from bequest.theory.losses import LOSSES
from bequest.theory.simulation import lesson_of


def drawn(solution, samples: int, seed: int = 0) -> list[np.ndarray]:
    """Training margins of every learner of a solved point, from drawn cavity fields."""
    generator = np.random.default_rng(seed)
    setting, state = solution.setting, solution.state
    delta, rho = float(setting.delta[0]), float(setting.rho[0])
    tau = np.where(generator.random(samples) < rho, 1.0, -1.0)
    count = len(solution.learners)
    covariance = delta * state.q[..., 0] + 1e-14 * np.eye(count)
    cavity = np.linalg.cholesky(covariance) @ generator.standard_normal((count, samples))
    cavity += state.m + tau * state.b
    margins: list[np.ndarray] = []
    forces: list[np.ndarray] = []
    for a, learner in enumerate(solution.learners):
        loss, lesson = LOSSES[learner.loss], lesson_of(learner)
        taught = learner.taught_by(a)
        teacher = sum(margins[d] for d in taught) / max(1, len(taught)) if taught else np.zeros(samples)
        push = sum((delta * state.v[a, c] * forces[c] for c in range(a)), np.zeros(samples))
        drive = loss.drive(teacher, lesson).value
        response = np.full(samples, delta * state.v[a, a, 0])
        found = loss.proximal(cavity[a] + push, response, lesson, drive, None)
        margins.append(found.margin)
        forces.append(found.force)
    return margins


CHAINS = {
    "student seeing half": [Learner(0.3), Learner(0.1, 0.5, 0.8, 2.0)],
    "nearly the teacher": [Learner(0.3), Learner(1e-4, 1.0, 1.0)],
    "three": [Learner(0.1), Learner(0.1, mix=1.0), Learner(0.3, 0.7, 0.6, 2.0)],
    "decisions": [Learner(0.3), Learner(0.2, 0.7, 0.9, target="hard")],
    "square": [Learner(0.3, loss="square"), Learner(0.1, 0.5, 0.8, loss="square")],
    "plain": [Learner(0.3), Learner(0.1, 0.2, 0.0)],
}


@pytest.mark.parametrize("name", CHAINS)
def test_error_and_loss_on_training_samples_by_monte_carlo(name):
    samples = 400_000
    solution = solve_chain(Mixture(1.5, 1.0, 0.3), CHAINS[name])
    margins = drawn(solution, samples)
    for a, learner in enumerate(solution.learners):
        wrong = float(training_error(solution, a))
        assert wrong == pytest.approx((margins[a] < 0).mean(), abs=4 * np.sqrt(wrong / samples)), a
        taught = learner.taught_by(a)
        teacher = sum(margins[d] for d in taught) / max(1, len(taught)) if taught else 0 * margins[0]
        losses = LOSSES[learner.loss].value(margins[a], lesson_of(learner), teacher)
        assert float(training_loss(solution, a)) == pytest.approx(
            losses.mean(), abs=4 * losses.std() / np.sqrt(samples)
        ), a


def test_the_teachers_training_error_is_one_normal_probability():
    """κ < 0 where ω < −Δv/2, as the force at zero is one half."""
    solution = solve(Mixture(2, 0.7, 0.3), lambda_teacher=0.2, lambda_student=1.0)
    t = solution.teacher
    width = np.sqrt(0.7 * t.q)
    exact = sum(p * ndtr((-0.7 * t.v / 2 - t.m - tau * t.b) / width) for tau, p in ((1, 0.3), (-1, 0.7)))
    assert training_error(solution, 0) == pytest.approx(float(exact), abs=1e-8)


def test_a_copy_misses_the_samples_that_its_teacher_misses():
    solution = solve(Mixture(2, 1, 0.3), lambda_teacher=0.5, lambda_student=1e-7)
    assert training_error(solution) == pytest.approx(float(training_error(solution, 0)), abs=1e-4)


def test_nothing_is_said_of_what_is_not_solved():
    solution = solve(Mixture(1, 1, 0.3), lambda_teacher=0.0, lambda_student=1.0, throw=False)
    assert np.isnan(training_error(solution))
    assert np.isnan(training_loss(solution, 0))


PEAK = {"lambda_teacher": 0.175, "eta": 0.5, "mix": 1.0}
SAMPLES_PER_INPUT, PENALTIES = np.array([0.4, 0.45, 0.5, 0.55]), np.array([1e-5, 1e-4, 1e-3])


def at_the_peak(alpha, penalty):
    return solve(Mixture(alpha, 1.0, 0.2), lambda_student=penalty, **PEAK)


def test_near_the_peak_of_distillation_the_steep_axis_is_not_skipped():
    """There the training margin moves hundreds of times as far with the teacher's field as with its own."""
    samples = 400_000
    solution = at_the_peak(SAMPLES_PER_INPUT[:, None], PENALTIES)
    wrong = training_error(solution)
    for i, alpha in enumerate(SAMPLES_PER_INPUT):
        for j, penalty in enumerate(PENALTIES):
            drawn_error = (drawn(at_the_peak(alpha, penalty), samples)[1] < 0).mean()
            scatter = np.sqrt(wrong[i, j] / samples)
            assert wrong[i, j] == pytest.approx(drawn_error, abs=4 * scatter), (alpha, penalty)


@pytest.mark.slow
@pytest.mark.parametrize("alpha", SAMPLES_PER_INPUT)
@pytest.mark.parametrize("penalty", PENALTIES)
def test_near_the_peak_exact_minimisers_miss_as_many(alpha, penalty):
    exact = simulate(
        Mixture(alpha, 1.0, 0.2), lambda_student=penalty, **PEAK, inputs=1000, seeds=60, samples=100
    )
    for function, name in ((training_error, "training_error"), (training_loss, "training_loss")):
        simulated = estimate(exact.measured[1][name])
        theory = float(function(at_the_peak(alpha, penalty)))
        assert theory == pytest.approx(simulated.mean, abs=3 * simulated.standard_error), name
