"""Optima: against SciPy's scalar search, against a dense grid, and where the answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from bequest.errors import ConfigError
from bequest.theory import Learner, Mixture, bayes_error, error, law, optimise, solve, solve_chain


def test_one_parameter_agrees_with_a_scalar_search():
    mixture = Mixture(2, 1, 0.2)

    def teachers_error(power):
        return float(error(law(solve_chain(mixture, [Learner(10.0**power)]))))

    expected = minimize_scalar(teachers_error, bounds=(-3, 3), method="bounded", options={"xatol": 1e-6})
    found = optimise(mixture, ["lambda_teacher"], learner=0, lambda_student=1)
    assert float(found.value) == pytest.approx(expected.fun, abs=1e-8)
    assert float(found.values["lambda_teacher"]) == pytest.approx(10.0**expected.x, rel=0.01)
    assert found.settled
    assert not found.at_bound["lambda_teacher"]
    assert float(error(law(found.solution, 0))) == pytest.approx(float(found.value), abs=1e-8)


def test_a_grid_of_points_is_searched_at_once_and_beats_a_dense_grid():
    eta = np.array([0.4, 0.8])
    found = optimise(Mixture(3, 1, 0.3), ["lambda_teacher", "lambda_student"], eta=eta)
    assert found.value.shape == found.values["lambda_student"].shape == (2,)
    side = np.geomspace(1e-3, 1e3, 16)
    dense = solve(
        Mixture(3, 1, 0.3), lambda_teacher=side[:, None, None], lambda_student=side[None, :, None], eta=eta
    )
    least = error(law(dense)).min(axis=(0, 1))
    assert (found.value <= least + 1e-9).all()
    assert found.value == pytest.approx(least, abs=2e-4)
    assert (found.value >= bayes_error(Mixture(3, 1, 0.3), eta)).all()


def test_at_even_labels_the_best_penalty_has_no_end():
    found = optimise(Mixture(2, 1, 0.5), ["lambda_teacher"], learner=0, lambda_student=1)
    assert found.at_bound["lambda_teacher"]
    assert float(found.value) == pytest.approx(float(bayes_error(Mixture(2, 1, 0.5))), abs=1e-5)


def test_an_observable_can_be_made_greatest():
    found = optimise(
        Mixture(2, 1, 0.2), ["lambda_student"], observable="agreement", sign=-1, lambda_teacher=1.0
    )
    assert found.at_bound["lambda_student"]  # without a penalty the student is its teacher
    assert float(found.value) > 0.99


def test_mix_and_temperature_keep_to_their_bounds():
    bounds = {"mix": (0.2, 0.4), "temperature": (2.0, 3.0)}
    found = optimise(
        Mixture(2, 1, 0.2), list(bounds), bounds=bounds, lambda_teacher=0.2, lambda_student=0.05, eta=0.7
    )
    for name, (low, high) in bounds.items():
        assert low <= float(found.values[name]) <= high


def test_every_fault_is_named_at_once():
    with pytest.raises(ConfigError) as caught:
        optimise(
            Mixture(2, 1, 0.2),
            ["eta", "mix"],
            observable="eror",
            bounds={"mix": (0.5, 2.0)},
            lambda_teacher=-1,
            mix=0.5,
            learner=3,
        )
    text = str(caught.value)
    for part in (
        "lambda_teacher: must be ≥ 0",
        "got 'eta'",
        "mix: is optimised",
        "'eror'",
        "bounds of mix",
        "3",
    ):
        assert part in text
