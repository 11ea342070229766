"""The theory of queries: against the table, a plain iteration, the seed model, and what must hold exactly."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bequest.errors import ConfigError, NotConverged
from bequest.theory import BlockMixture, Mixture, QueryGroup, Status, grid_solver, solve, solve_queries
from bequest.theory.queries.solver import QuerySolution

ALPHA, RHO, SHARE, PENALTY = st.floats(0.5, 4), st.floats(0.1, 0.9), st.floats(0.1, 0.9), st.floats(0.01, 10)
VARIANCE, START, TEMPERATURE = st.floats(0.05, 3), st.floats(0, 20), st.sampled_from([0.5, 1.0, 2.0, 5.0])
QUICK = settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

WORLD = BlockMixture(2, 0.5, shares=(0.5, 0.5), signal=(1, 0), variances=(1, 1e-4))
BIAS = {"lambda_teacher": (0.3, 1e4), "lambda_student": (0.01, 0.01), "start": 20}
TRAINING = QueryGroup(2, 1, (1, 1e-4))

# The table of the project's fact sheet: the student's errors on clean and shifted inputs, 41 nodes each way.
ERRORS = {
    "2 training-like": (0.1945, 0.3940),
    "2 + 0.1 shifted": (0.1948, 0.3836),
    "2 + 0.25 shifted": (0.1951, 0.3623),
    "2 + 0.5 shifted": (0.1954, 0.3061),
    "2 + 1 shifted": (0.1944, 0.2178),
    "2 + 0.5 noise": (0.1956, 0.3017),
    "2 + 0.5 noise in block 2 alone": (0.1944, 0.2855),
}


def same(one: QuerySolution, other: QuerySolution, rel=1e-5, abs_=1e-7) -> None:
    for name in ("m", "q", "b", "overlap"):
        assert getattr(one.student, name) == pytest.approx(getattr(other.student, name), rel=rel, abs=abs_), (
            name
        )
        if name != "overlap":
            assert getattr(one.teacher, name) == pytest.approx(
                getattr(other.teacher, name), rel=rel, abs=abs_
            )


@pytest.mark.parametrize("row", ERRORS)
def test_the_table_within_a_ten_thousandth(shown, row):
    solution = solve_queries(WORLD, **BIAS, groups=shown.TABLE[row])
    errors = [solution.error("student", centre=1, variances=v) for v in ((1, 1e-4), (1, 1))]
    assert errors == pytest.approx(ERRORS[row], abs=1e-4)
    assert solution.error("teacher", centre=1, variances=(1, 1)) == pytest.approx(0.1936, abs=1e-4)
    assert solution.residual <= 1e-8


@pytest.mark.parametrize(
    ("alpha", "rho", "share", "teacher", "student", "variance", "start", "temperature", "centre"),
    [(2, 0.3, 0.5, 0.3, 0.1, 1.0, 5, 1.0, 1), (0.8, 0.6, 0.2, 1.0, 0.5, 2.0, 0, 3.0, 0)],
)
def test_any_point_agrees_with_the_plain_iteration(
    plain, alpha, rho, share, teacher, student, variance, start, temperature, centre
):
    world = {
        "alpha": alpha,
        "rho": rho,
        "shares": (share, 1 - share),
        "signal": (0.8, 0.2),
        "variances": (1.0, 0.3),
    }
    groups = [(1.5, 1, (1.0, 0.3)), (0.7, centre, (0.2, variance))]
    penalties = ((teacher, 10 * teacher), (student, 0.3))
    expected = plain.plain_queries(world, *penalties, groups, temperature, start, 1e-9)
    solution = solve_queries(
        BlockMixture(**world),
        lambda_teacher=penalties[0],
        lambda_student=penalties[1],
        groups=[QueryGroup(*group) for group in groups],
        temperature=temperature,
        start=start,
    )
    for name in ("m", "q", "b"):
        assert getattr(solution.teacher, name) == pytest.approx(expected["teacher"][name], rel=1e-5, abs=1e-7)
    for name in ("m", "q", "v", "b", "overlap"):
        assert getattr(solution.student, name) == pytest.approx(expected["student"][name], rel=1e-5, abs=1e-7)


@pytest.mark.parametrize(
    ("mix", "temperature", "target"),
    [(1.0, 1.0, "soft"), (0.6, 3.0, "soft"), (1.0, 0.5, "soft"), (0.7, 1.0, "hard"), (0.0, 1.0, "soft")],
)
def test_one_isotropic_block_on_the_teachers_own_inputs_is_the_seed_model(mix, temperature, target):
    world = BlockMixture(2, 0.2, (1,), (1,), (0.8,))
    ours = solve_queries(
        world,
        lambda_teacher=(0.3,),
        lambda_student=(0.05,),
        groups=[QueryGroup.training(world, mix=mix, target=target)],
        temperature=temperature,
    )
    seed = solve(
        Mixture(2, 0.8, 0.2),
        lambda_teacher=0.3,
        lambda_student=0.05,
        mix=mix,
        temperature=temperature,
        target=target,
    )
    for name in ("m", "q", "v", "b"):
        assert np.squeeze(getattr(ours.teacher, name)) == pytest.approx(getattr(seed.teacher, name), rel=1e-6)
        assert np.squeeze(getattr(ours.student, name)) == pytest.approx(getattr(seed.student, name), rel=1e-6)
    assert np.squeeze(ours.student.overlap) == pytest.approx(seed.student.overlap, rel=1e-6)


@given(ALPHA, RHO, PENALTY, VARIANCE)
@QUICK
def test_one_isotropic_block_has_the_seed_models_teacher(alpha, rho, penalty, delta):
    ours = solve_queries(
        BlockMixture(alpha, rho, (1,), (1,), (delta,)),
        lambda_teacher=(penalty,),
        lambda_student=(1,),
        groups=[QueryGroup(1, 1, (delta,))],
    ).teacher
    seed = solve(Mixture(alpha, delta, rho), lambda_teacher=penalty, lambda_student=1).teacher
    for name in ("m", "q", "v", "b"):
        assert np.squeeze(getattr(ours, name)) == pytest.approx(getattr(seed, name), rel=1e-6, abs=1e-7)


@given(RHO, SHARE, PENALTY, PENALTY, TEMPERATURE)
@QUICK
def test_ever_more_training_like_queries_make_the_student_its_teacher(
    rho, share, teacher, student, temperature
):
    world = BlockMixture(2, rho, (share, 1 - share), (0.7, 0.3), (1, 0.5))
    asked = {"lambda_teacher": (teacher, 1), "lambda_student": (student, 0.1), "temperature": temperature}
    many = [1e2, 1e4, np.inf]
    solution = solve_queries(world, **asked, groups=[QueryGroup(many, 1, (1, 0.5))], start=1)
    gap = np.abs(solution.student.q - solution.teacher.q).max(axis=0)
    assert gap[1] < 0.2 * gap[0]
    assert gap[2] == 0
    assert solution.handed_over.tolist() == [False, False, True]
    assert solution.agreement(centre=1, variances=(1, 1))[2] == pytest.approx(1.0, abs=1e-6)


@given(ALPHA, RHO, SHARE, PENALTY, VARIANCE, START)
@QUICK
def test_permuted_blocks_are_the_same_world(alpha, rho, share, penalty, variance, start):
    def solved(order):
        def pick(*values):
            return tuple(values[k] for k in order)

        return solve_queries(
            BlockMixture(alpha, rho, pick(share, 1 - share), pick(0.9, 0.1), pick(1.0, 0.1)),
            lambda_teacher=pick(0.2, 5.0),
            lambda_student=pick(penalty, 0.1),
            groups=[QueryGroup(1, 1, pick(1.0, 0.1)), QueryGroup(0.5, 0, pick(0.1, variance))],
            start=start,
        )

    one, other = solved((0, 1)), solved((1, 0))
    for name in ("m", "q", "v", "overlap"):
        values = getattr(other.student, name)[::-1]
        assert getattr(one.student, name) == pytest.approx(values, rel=1e-5, abs=1e-8)
    assert one.student.b == pytest.approx(float(other.student.b), rel=1e-5, abs=1e-7)


def test_a_block_that_is_cut_in_two_is_the_same_world():
    whole = solve_queries(WORLD, **BIAS, groups=[TRAINING, QueryGroup(0.5, 0, (1, 1))])
    cut = solve_queries(
        BlockMixture(2, 0.5, (0.2, 0.3, 0.5), (0.4, 0.6, 0), (1, 1, 1e-4)),
        lambda_teacher=(0.3, 0.3, 1e4),
        lambda_student=(0.01, 0.01, 0.01),
        groups=[QueryGroup(2, 1, (1, 1, 1e-4)), QueryGroup(0.5, 0, (1, 1, 1))],
        start=20,
    )
    assert cut.student.q[:2].sum() == pytest.approx(whole.student.q[0], rel=1e-6)
    assert cut.student.overlap[:2] / cut.student.overlap[:2].sum() == pytest.approx([0.4, 0.6], abs=1e-2)
    assert cut.student.b == pytest.approx(float(whole.student.b), abs=1e-7)


@given(ALPHA, RHO, SHARE, PENALTY)
@QUICK
def test_without_queries_a_student_of_the_labels_is_a_plain_learner(alpha, rho, share, penalty):
    """Fresh labelled inputs like the training ones: as the teacher, and empty groups change nothing."""
    world = BlockMixture(alpha, rho, (share, 1 - share), (0.6, 0.4), (1, 0.4))
    penalties = (penalty, 0.5)
    labelled = QueryGroup(alpha, 1, (1, 0.4), mix=0.0)
    empty = QueryGroup(0, 1, (1, 1))
    solution = solve_queries(
        world, lambda_teacher=penalties, lambda_student=penalties, groups=[labelled, empty]
    )
    for name in ("m", "q", "v", "b"):
        expected = getattr(solution.teacher, name)
        assert getattr(solution.student, name) == pytest.approx(expected, rel=1e-5, abs=1e-7)


@given(ALPHA, RHO, PENALTY, VARIANCE, TEMPERATURE)
@QUICK
def test_swapping_the_labels_flips_the_biases(alpha, rho, penalty, variance, temperature):
    solution = solve_queries(
        BlockMixture(alpha, np.array([rho, 1 - rho]), (0.5, 0.5), (1, 0), (1, 0.1)),
        lambda_teacher=(0.3, 3),
        lambda_student=(penalty, 0.1),
        groups=[QueryGroup(1, 1, (1, 0.1), mix=0.5), QueryGroup(0.5, 0, (1, variance))],
        temperature=temperature,
    )
    for learner in (solution.teacher, solution.student):
        assert learner.b[0] == pytest.approx(-learner.b[1], rel=1e-5, abs=1e-6)
        assert learner.q[:, 0] == pytest.approx(learner.q[:, 1], rel=1e-5)


def test_a_large_penalty_goes_over_into_an_infinite_one():
    groups = [TRAINING, QueryGroup(0.5, 1, (1, 1))]
    large = solve_queries(
        WORLD, lambda_teacher=(0.3, 1e10), lambda_student=(0.01, 1e10), groups=groups, start=3
    )
    exact = solve_queries(
        WORLD, lambda_teacher=(0.3, np.inf), lambda_student=(0.01, np.inf), groups=groups, start=3
    )
    same(large, exact, abs_=1e-6)
    assert exact.teacher.q[1] == exact.teacher.m[1] == exact.teacher.v[1] == 0
    assert exact.student.q[1] == pytest.approx(3 * 0.5)  # its start, untouched
    assert exact.student.overlap[1] == exact.student.v[1] == 0


def test_a_grid_is_what_its_points_are_one_by_one():
    alpha, temperature = np.array([[0.1], [0.8]]), np.array([0.7, 3.0])
    together = solve_queries(
        WORLD, **BIAS, groups=[TRAINING, QueryGroup(alpha, 0, (1, 1))], temperature=temperature
    )
    assert together.student.q.shape == (2, 2, 2)
    assert together.status.shape == together.error("student", centre=1, variances=(1, 1)).shape == (2, 2)
    for i in range(2):
        for j in range(2):
            alone = solve_queries(
                WORLD,
                **BIAS,
                groups=[TRAINING, QueryGroup(float(alpha[i, 0]), 0, (1, 1))],
                temperature=float(temperature[j]),
            )
            for name in ("m", "q", "b", "overlap"):
                value = getattr(together.student, name)[..., i, j]
                assert value == pytest.approx(getattr(alone.student, name), rel=1e-6, abs=1e-7)


def test_two_equal_teachers_are_one():
    groups = [TRAINING, QueryGroup(0.5, 0, (1, 1))]
    one = solve_queries(WORLD, **BIAS, groups=groups)
    two = solve_queries(WORLD, **BIAS, more_teachers=[BIAS["lambda_teacher"]], groups=groups)
    same(one, two)
    assert two.products[0, 1] == pytest.approx(two.teacher.q, rel=1e-6)
    assert two.student.overlaps[0] == pytest.approx(two.student.overlaps[1], rel=1e-6, abs=1e-9)


def test_a_group_that_asks_one_of_two_teachers_hears_nothing_of_the_other():
    groups = [QueryGroup(1, 1, (1, 1), teachers=(1, 0)), QueryGroup(0.5, 0, (1, 1), teachers=(1, 0))]
    alone = [QueryGroup(1, 1, (1, 1)), QueryGroup(0.5, 0, (1, 1))]
    two = solve_queries(WORLD, **BIAS, more_teachers=[(5, 0.1)], groups=groups)
    same(two, solve_queries(WORLD, **BIAS, groups=alone))


def test_a_student_follows_each_teacher_where_it_was_asked():
    """Blocks alike; each teacher ignores one. What is asked of whom decides whose weights the student has."""
    world = BlockMixture(2, 0.5, (0.5, 0.5), (0.5, 0.5), (1, 1))
    solution = solve_queries(
        world,
        lambda_teacher=(0.3, np.inf),
        more_teachers=[(np.inf, 0.3)],
        lambda_student=(0.01, 0.01),
        groups=[QueryGroup(2, 1, (1, 0), teachers=(1, 0)), QueryGroup(2, 0, (0, 1), teachers=(0, 1))],
    )
    student, teachers = solution.student, solution.teachers
    for k in range(2):
        cosine = student.overlaps[k, k] / np.sqrt(student.q[k] * teachers[k].q[k])
        assert cosine > 0.95
    assert solution.student.overlaps[0, 1] == solution.student.overlaps[1, 0] == 0


def test_no_penalty_and_enough_queries_hand_everything_over():
    """One noise query a coordinate of block 2, none of which the training-like ones vary."""
    world = BlockMixture(2, 0.5, (0.5, 0.5), (1, 0), (1, 0))
    asked = [QueryGroup(2, 1, (1, 0)), QueryGroup([0.4, 0.5, 0.6], 0, (0, 1))]
    solution = solve_queries(
        world, lambda_teacher=(0.3, 1), lambda_student=(0, 0), groups=asked, start=5, throw=False
    )
    assert solution.status.tolist() == [Status.UNDETERMINED, Status.CONVERGED, Status.CONVERGED]
    assert solution.handed_over.tolist() == [False, True, True]
    assert solution.student.q[:, 1] == pytest.approx(solution.teacher.q[:, 1], abs=1e-12)
    nearly = solve_queries(world, lambda_teacher=(0.3, 1), lambda_student=(1e-6, 1e-6), groups=asked, start=5)
    gap = np.abs(nearly.student.q - nearly.teacher.q).max(axis=0)
    assert gap[0] > 0.1
    assert gap[2] < 1e-2


def test_what_has_no_minimiser_is_named():
    hard = [QueryGroup(1, 1, (1, 1), target="hard")]
    free = {"lambda_teacher": (0.3, 0.3), "lambda_student": (0, 0), "throw": False}
    assert solve_queries(WORLD, **free, groups=hard).status == Status.SEPARABLE
    labels = [QueryGroup([0.5, 20.0], 1, (1, 1), mix=0.0)]
    assert solve_queries(WORLD, **free, groups=labels).status.tolist() == [
        Status.SEPARABLE,
        Status.CONVERGED,
    ]
    unvaried = [QueryGroup(2, 1, (1, 0))]
    assert solve_queries(WORLD, **free, groups=unvaried).status == Status.UNDETERMINED
    few = solve_queries(
        WORLD, lambda_teacher=(0, 0), lambda_student=(1, 1), groups=[QueryGroup(1, 1, (1, 1))], throw=False
    )
    assert few.status == Status.SEPARABLE
    assert np.isnan([*few.teacher.q, *few.student.q, few.residual]).all()
    with pytest.raises(NotConverged) as caught:
        solve_queries(WORLD, **{**free, "throw": True}, groups=hard)
    assert str(caught.value) == (
        "1 of 1 points have no solution; the first is separable\n"
        "  expected: a unique, finite minimiser for every learner\n"
        "  got:      the point at flat index 0\n"
        "  remedy:   the training set can be separated: give every learner of its labels a penalty above 0; "
        "or pass throw=False to keep the points that are solved"
    )


def test_failures_are_statuses(monkeypatch):
    monkeypatch.setattr(grid_solver, "FREE_STEPS", 1)
    monkeypatch.setattr(grid_solver, "MOST_CHECKS", 1)
    stalled = solve_queries(WORLD, **BIAS, groups=[TRAINING], accuracy=1e-12, throw=False)
    assert stalled.status == Status.STALLED
    monkeypatch.setattr(grid_solver, "MOST_WORK", 10.0)
    assert solve_queries(WORLD, **BIAS, groups=[TRAINING], throw=False).status == Status.EXHAUSTED


def test_the_accuracy_has_bounds():
    with pytest.raises(ConfigError) as caught:
        solve_queries(WORLD, **BIAS, groups=[TRAINING], accuracy=1.0)
    assert caught.value.faults == ("accuracy: must be in [1e-12, 0.01] (got 1)",)


def test_plain_values_have_the_keys_of_the_contract():
    plain_values = solve_queries(WORLD, **BIAS, groups=[TRAINING]).plain()
    assert list(plain_values) == ["teacher", "student", "status", "handed_over", "steps", "residual"]
    assert list(plain_values["student"]) == ["m", "q", "v", "b", "overlap"]
    assert len(plain_values["teacher"]["m"]) == 2
