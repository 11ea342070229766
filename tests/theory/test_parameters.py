from __future__ import annotations

import numpy as np
import pytest

from bequest.errors import ConfigError
from bequest.theory import Learner, Mixture, simulate, solve, solve_chain
from bequest.theory.parameters import checked


def test_everything_wrong_is_named_at_once():
    with pytest.raises(ConfigError) as caught:
        checked(
            "a point",
            {
                "alpha": 0,
                "delta": np.nan,
                "rho": [0.5, 1.0],
                "lambda_teacher": -1,
                "lambda_student": np.inf,
                "eta": [0.1, 0.2, 0.0],
                "mix": 1.5,
                "temperature": 0,
            },
        )
    assert str(caught.value) == (
        "a point: 9 errors\n"
        "  1. alpha: must be > 0 (got 0)\n"
        "  2. delta: must be finite (got nan)\n"
        "  3. rho: must be in (0, 1) (got 1)\n"
        "  4. lambda_teacher: must be ≥ 0 (got -1)\n"
        "  5. lambda_student: must be finite (got inf)\n"
        "  6. eta: must be in (0, 1] (got 0)\n"
        "  7. mix: must be in [0, 1] (got 1.5)\n"
        "  8. temperature: must be > 0 (got 0)\n"
        "  9. shapes: must broadcast together (got rho (2,), eta (3,))"
    )


def test_what_is_no_number_and_what_is_empty():
    with pytest.raises(ConfigError) as caught:
        checked("it", {"alpha": "two", "delta": []})
    assert str(caught.value) == (
        "it: 2 errors\n"
        "  1. alpha: must be a number or an array of numbers (got 'two')\n"
        "  2. delta: must not be empty"
    )


def test_the_ends_of_closed_ranges_are_in():
    values = checked("it", {"eta": 1, "mix": [0, 1], "lambda_teacher": 0})
    assert {name: value.shape for name, value in values.items()} == dict.fromkeys(values, (2,))


def test_solve_lists_its_own_faults_with_the_mixtures():
    with pytest.raises(ConfigError, match="solve: 3 errors") as caught:
        solve(Mixture([1, 2], 1, 0.5), lambda_teacher=-1, lambda_student=[1, 1, 1], accuracy=1.0)
    assert "accuracy: must be in [1e-12, 0.01] (got 1)" in caught.value.faults
    assert "shapes: must broadcast together (got alpha (2,), lambda_student (3,))" in caught.value.faults


def test_a_chain_lists_the_faults_of_its_learners():
    chain = [
        Learner(1, loss="hinge"),
        Learner(-1, teachers=(1,), target="firm"),
        Learner(1, teachers=(0, 1), target="hard", mix=2),
    ]
    with pytest.raises(ConfigError) as caught:
        solve_chain(Mixture(1, 1, 0.5), chain)
    assert str(caught.value) == (
        "solve_chain: 6 errors\n"
        "  1. penalty[1]: must be ≥ 0 (got -1)\n"
        "  2. mix[2]: must be in [0, 1] (got 2)\n"
        "  3. learner[0].loss: must be 'logistic' or 'square' (got 'hinge')\n"
        "  4. learner[1].target: must be 'soft' or 'hard' (got 'firm')\n"
        "  5. learner[1].teachers: must name earlier learners (got (1,))\n"
        "  6. learner[2].target: hard labels come from one teacher (got 2)"
    )
    with pytest.raises(ConfigError, match="chain: must have at least one learner"):
        solve_chain(Mixture(1, 1, 0.5), [])


def test_a_simulation_is_one_point():
    with pytest.raises(ConfigError) as caught:
        simulate(Mixture([1, 2], 1, 0.5), lambda_teacher=1, lambda_student=-1, inputs=0, seeds=0)
    assert caught.value.faults == (
        "penalty[1]: must be ≥ 0 (got -1)",
        "inputs: must be at least 1 (got 0)",
        "seeds: must be at least 1 (got 0)",
        "alpha: must be one number (got 2 of them)",
    )


def test_a_mixture_refuses_what_is_out_of_range():
    with pytest.raises(ConfigError, match="Mixture: 2 errors"):
        Mixture(-1, 1, 2)
