from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bequest.errors import NotConverged
from bequest.theory import Learner, Mixture, Status, error, grid_solver, law, solve, solve_chain
from bequest.theory import separability_threshold as threshold

ALPHA, DELTA = st.floats(0.4, 6.0), st.floats(0.3, 3.0)
RHO, ETA = st.floats(0.1, 0.9), st.floats(0.2, 1.0)
PENALTY = st.floats(-2.0, 2.0).map(lambda power: 10.0**power)
FIRM = st.floats(-0.7, 1.5).map(lambda power: 10.0**power)  # where 41 nodes are enough
MIX, TEMPERATURE = st.floats(0.0, 1.0), st.floats(0.5, 8.0)
QUICK = settings(max_examples=15, deadline=None)

# The reference table of the project's fact sheet on the model: 41 × 41 nodes, converged to 1e-10.
COLUMNS = ("alpha", "delta", "rho", "lambda_teacher", "lambda_student", "eta", "mix", "temperature")
TABLE = [
    ((2, 1, 0.2, 1, 0.001, 0.7, 1, 1), (0.19278, 0.19255, 0.33668, 0.34056, 0.23230, -1.31756)),
    ((3, 0.8, 0.3, 0.1, 0.1, 0.5, 0.6, 2), (0.16158, 0.21573, 0.94216, 2.55291, 2.20248, -0.98903)),
    ((1.5, 1, 0.5, 10, 0.01, 1, 1, 4), (0.21938, 0.21934, 0.06736, 0.00757, 0.00767, 0.0)),
    ((2, 1, 0.2, 1, 1, 0.5, 0, 1), (0.19278, 0.19941, 0.21525, 0.16726, 0.14892, -1.32758)),
]


def at(**given_values):
    mixture = Mixture(*(given_values.pop(name) for name in ("alpha", "delta", "rho")))
    return solve(mixture, **given_values)


def test_the_reference_table_to_five_decimals():
    columns = dict(zip(COLUMNS, np.array([row for row, _ in TABLE]).T, strict=True))
    solution = at(**columns)
    student = solution.student
    found = np.stack(
        [error(law(solution, 0)), error(law(solution)), student.m, student.q, student.overlap, student.b],
        axis=1,
    )
    assert found.round(5) == pytest.approx(np.array([expected for _, expected in TABLE]), abs=1e-12)
    assert (solution.residual <= 1e-9).all()
    assert (solution.steps > 0).all()


@given(
    alpha=ALPHA, delta=DELTA, rho=RHO, teacher=FIRM, student=FIRM, eta=ETA, mix=MIX, temperature=TEMPERATURE
)
@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_point_agrees_with_the_plain_fixed_point(
    plain, alpha, delta, rho, teacher, student, eta, mix, temperature
):
    expected = plain.plain_solve(alpha, delta, rho, teacher, student, eta, mix, temperature)
    found = solve(
        Mixture(alpha, delta, rho),
        lambda_teacher=teacher,
        lambda_student=student,
        eta=eta,
        mix=mix,
        temperature=temperature,
    )
    for who in ("teacher", "student"):
        for name, value in expected[who].items():
            assert float(getattr(getattr(found, who), name)) == pytest.approx(value, rel=1e-6, abs=1e-7), name


@given(ALPHA, DELTA, RHO, PENALTY, PENALTY, PENALTY, ETA)
@QUICK
def test_without_distillation_the_teacher_does_not_matter(alpha, delta, rho, one, two, student, eta):
    solution = solve(
        Mixture(alpha, delta, rho), lambda_teacher=[one, two], lambda_student=student, eta=eta, mix=0.0
    )
    for name in ("m", "q", "v", "b"):
        values = getattr(solution.student, name)
        assert values[0] == pytest.approx(values[1], rel=1e-6, abs=1e-8)
    assert solution.student.response == pytest.approx(0, abs=1e-9)


@given(ALPHA, DELTA, RHO, PENALTY)
@QUICK
def test_without_distillation_a_full_student_is_its_teacher(alpha, delta, rho, penalty):
    solution = solve(Mixture(alpha, delta, rho), lambda_teacher=penalty, lambda_student=penalty, mix=0.0)
    teacher, student = solution.teacher, solution.student
    assert student.q == pytest.approx(float(teacher.q), rel=1e-6)
    assert student.overlap == pytest.approx(float(teacher.q), rel=1e-6)


@given(st.floats(1.5, 6.0), DELTA, RHO, PENALTY)
@QUICK
def test_pure_distillation_without_penalty_copies_the_teacher(alpha, delta, rho, penalty):
    solution = solve(Mixture(alpha, delta, rho), lambda_teacher=max(penalty, 0.1), lambda_student=1e-7)
    teacher, student = solution.teacher, solution.student
    for name in ("m", "q", "b"):
        assert float(getattr(student, name)) == pytest.approx(
            float(getattr(teacher, name)), rel=1e-3, abs=1e-4
        )
    assert student.overlap == pytest.approx(float(teacher.q), rel=1e-3)


@given(ALPHA, DELTA, RHO, PENALTY, PENALTY, ETA, MIX, TEMPERATURE)
@QUICK
def test_swapping_the_labels_flips_the_biases(alpha, delta, rho, teacher, student, eta, mix, temperature):
    solution = solve(
        Mixture(alpha, delta, np.array([rho, 1 - rho])),
        lambda_teacher=teacher,
        lambda_student=student,
        eta=eta,
        mix=mix,
        temperature=temperature,
    )
    for learner in (solution.teacher, solution.student):
        size = float(np.sqrt(learner.q[0]))
        assert learner.b[0] == pytest.approx(-learner.b[1], abs=1e-6 * (size + abs(learner.b[0])))
        for name in ("m", "q", "v"):
            values = getattr(learner, name)
            assert values[0] == pytest.approx(values[1], rel=1e-6)


@given(ALPHA, DELTA, RHO, PENALTY, PENALTY, ETA, MIX, TEMPERATURE)
@QUICK
def test_overlaps_keep_to_cauchy_and_schwarz(alpha, delta, rho, teacher, student, eta, mix, temperature):
    solution = solve(
        Mixture(alpha, delta, rho),
        lambda_teacher=teacher,
        lambda_student=student,
        eta=eta,
        mix=mix,
        temperature=temperature,
    )
    one, two = solution.teacher, solution.student
    assert two.overlap**2 <= one.q * two.q * (1 + 1e-9)
    assert two.m**2 <= eta * two.q * (1 + 1e-9)
    assert one.m**2 <= one.q * (1 + 1e-9)


def test_a_grid_is_what_its_points_are_one_by_one():
    teacher, eta = np.array([[0.05], [1.0], [20.0]]), np.array([0.3, 0.8, 1.0])
    together = solve(Mixture(2, 1, 0.3), lambda_teacher=teacher, lambda_student=0.01, eta=eta, mix=0.8)
    assert together.student.m.shape == together.status.shape == together.residual.shape == (3, 3)
    for i in range(3):
        for j in range(3):
            alone = solve(
                Mixture(2, 1, 0.3), lambda_teacher=teacher[i, 0], lambda_student=0.01, eta=eta[j], mix=0.8
            )
            for name in ("m", "q", "v", "b", "overlap", "response"):
                value = getattr(together.student, name)[i, j]
                assert value == pytest.approx(float(getattr(alone.student, name)), rel=1e-6, abs=1e-8)


def test_more_accuracy_moves_the_answer_by_what_was_promised():
    points = {
        "lambda_teacher": 0.02,
        "lambda_student": [0.003, 0.3],
        "eta": 0.6,
        "mix": 0.7,
        "temperature": 3.0,
    }
    exact = solve(Mixture(2, 1, 0.2), **points, accuracy=1e-12)
    for accuracy in (1e-3, 1e-6):
        rough = solve(Mixture(2, 1, 0.2), **points, accuracy=accuracy)
        assert (rough.residual <= accuracy).all()
        assert rough.student.q == pytest.approx(exact.student.q, rel=100 * accuracy)
        assert (rough.steps < exact.steps).all()


@pytest.mark.parametrize("penalty", [1e-6, 1e-3, 1e3, 1e6])
def test_extreme_penalties_are_solved(penalty):
    solution = solve(
        Mixture([0.3, 10.0], 1, 0.3),
        lambda_teacher=penalty,
        lambda_student=penalty,
        eta=0.7,
        mix=0.5,
        temperature=2,
    )
    assert solution.converged.all()
    assert (solution.residual <= 1e-9).all()


def test_strong_penalties_shrink_as_they_should():
    """For λ → ∞ at ρ = ½ the weights are the signed inputs' sum over 2λ: m = α/2λ, q = α(α + Δ)/4λ²."""
    alpha, delta, penalty = 1.7, 0.6, 1e7
    found = solve(Mixture(alpha, delta, 0.5), lambda_teacher=penalty, lambda_student=1.0).teacher
    assert found.m == pytest.approx(alpha / (2 * penalty), rel=1e-5)
    assert found.q == pytest.approx(alpha * (alpha + delta) / (4 * penalty**2), rel=1e-5)


def test_separable_data_without_a_penalty_are_named():
    solution = solve(Mixture([1.0, 8.0], 1, 0.5), lambda_teacher=0, lambda_student=0.1, throw=False)
    assert 1.0 < threshold(1, 0.5) < 8.0
    assert solution.status.tolist() == [Status.SEPARABLE, Status.CONVERGED]
    assert np.isnan([solution.teacher.m[0], solution.student.m[0], solution.residual[0]]).all()
    assert np.isfinite([solution.teacher.m[1], solution.student.m[1]]).all()
    with pytest.raises(NotConverged) as caught:
        solve(Mixture([1.0, 8.0], 1, 0.5), lambda_teacher=0, lambda_student=0.1)
    assert str(caught.value) == (
        "1 of 2 points have no solution; the first is separable\n"
        "  expected: a unique, finite minimiser for every learner\n"
        "  got:      alpha=1, delta=1, rho=0.5, penalties 0, 0.1\n"
        "  remedy:   the training set can be separated: give every learner of its labels a penalty above 0; "
        "or pass throw=False to keep the points that are solved"
    )


def test_the_weights_grow_without_bound_towards_no_penalty_only_if_separable():
    penalties = np.array([1e-5, 1e-7])
    inside = solve(Mixture(1.0, 1, 0.5), lambda_teacher=penalties, lambda_student=1).teacher.q
    outside = solve(Mixture(8.0, 1, 0.5), lambda_teacher=penalties, lambda_student=1).teacher.q
    assert inside[1] > 1.5 * inside[0]
    assert outside[1] == pytest.approx(outside[0], rel=1e-3)


def test_many_minimisers_are_named():
    free = {"lambda_teacher": 1, "throw": False}
    status = solve(Mixture(0.5, 1, 0.5), **free, lambda_student=0, eta=[0.4, 0.8]).status
    assert status.tolist() == [Status.CONVERGED, Status.UNDETERMINED]
    square = [Learner(0, loss="square")]
    assert solve_chain(Mixture([0.9, 1.1], 1, 0.5), square, throw=False).status.tolist() == [
        Status.UNDETERMINED,
        Status.CONVERGED,
    ]
    with pytest.raises(NotConverged, match="fewer samples than inputs"):
        solve_chain(Mixture(0.9, 1, 0.5), square)


def test_a_full_student_can_always_separate_its_teachers_decisions():
    status = solve(
        Mixture(8, 1, 0.5),
        lambda_teacher=1,
        lambda_student=0,
        eta=[1.0, 0.5],
        mix=1,
        target="hard",
        throw=False,
    ).status
    assert status.tolist() == [Status.SEPARABLE, Status.CONVERGED]


def test_a_point_that_is_not_reached_is_said_to_be(monkeypatch):
    monkeypatch.setattr(grid_solver, "FREE_STEPS", 1)
    monkeypatch.setattr(grid_solver, "MOST_CHECKS", 1)
    asked = {"lambda_teacher": 0.01, "lambda_student": 1, "accuracy": 1e-12}
    solution = solve(Mixture(8, 1, 0.2), **asked, throw=False)
    assert solution.status == Status.STALLED
    assert np.isnan([solution.teacher.m, solution.student.m, solution.residual]).all()
    with pytest.raises(NotConverged) as caught:
        solve(Mixture(8, 1, 0.2), **asked)
    assert caught.value.remedy.startswith(
        "ask for less accuracy, or solve it in one call with points of larger"
    )


@pytest.mark.parametrize("rho", [0.5, 0.2])
def test_a_copy_of_a_barely_penalised_teacher_is_solved_in_time(rho):
    """A first search strays to weights of size e¹⁹; it is left before it costs minutes."""
    copy = solve(Mixture(1.2, 1, rho), lambda_teacher=1e-3, lambda_student=1e-8)
    assert copy.student.q == pytest.approx(float(copy.teacher.q), rel=1e-4)
    assert copy.student.overlap == pytest.approx(float(copy.teacher.q), rel=1e-4)


def test_a_point_that_costs_too_much_is_said_to(monkeypatch):
    monkeypatch.setattr(grid_solver, "MOST_WORK", 1e5)
    asked = {"lambda_teacher": 1e-3, "lambda_student": [1e-8, 1.0]}
    solution = solve(Mixture(1.2, 1, 0.5), **asked, throw=False)
    assert solution.status.tolist() == [Status.EXHAUSTED, Status.CONVERGED]
    assert np.isnan([solution.student.m[0], solution.residual[0]]).all()
    assert np.isfinite(solution.teacher.m).all()
    with pytest.raises(NotConverged) as caught:
        solve(Mixture(1.2, 1, 0.5), **asked)
    assert "the first is exhausted" in str(caught.value)
    assert caught.value.remedy.startswith("the limit on work was reached: give the learner a larger penalty")


def test_plain_values_carry_none_for_what_is_undefined():
    plain_values = solve(Mixture(1, 1, 0.5), lambda_teacher=0, lambda_student=0.1, throw=False).plain()
    assert plain_values["teacher"] == {"m": None, "q": None, "v": None, "b": None, "error": None}
    assert plain_values["status"] == "separable"
    assert plain_values["residual"] is None
