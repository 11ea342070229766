"""What is said of inputs of any kind: against drawn margins, and by identities."""

from __future__ import annotations

import numpy as np
import pytest

from bequest.errors import ConfigError
from bequest.theory import BlockMixture, QueryGroup, solve_queries

WORLD = BlockMixture(2, 0.3, shares=(0.5, 0.5), signal=(0.8, 0.2), variances=(1, 0.1))
ASKED = {"lambda_teacher": (0.3, 5), "lambda_student": (0.05, 0.1), "start": 1}
FAR = {"centre": 0.8, "variances": (0.5, 1.5)}


@pytest.fixture(scope="module")
def solution():
    return solve_queries(WORLD, **ASKED, groups=[QueryGroup(1, 1, (1, 0.1)), QueryGroup(0.5, 0, (1, 1))])


@pytest.fixture(scope="module")
def drawn(solution):
    """Margins of teacher and student on drawn inputs."""
    generator = np.random.default_rng(0)
    samples, delta = 400_000, np.array(FAR["variances"])
    s = np.where(generator.random(samples) < 0.3, 1.0, -1.0)
    t, u = solution.teacher, solution.student
    cross = delta @ u.overlap
    covariance = np.array([[delta @ t.q, cross], [cross, delta @ u.q]])
    fields = np.linalg.cholesky(covariance) @ generator.standard_normal((2, samples))
    means = np.array([t.m.sum(), u.m.sum()])[:, None] * FAR["centre"] * s
    h = fields + means + np.array([t.b, u.b])[:, None]
    return s * h


def test_errors_and_agreement_are_those_of_drawn_margins(solution, drawn):
    wrong = drawn < 0
    tolerance = 4 * 0.5 / np.sqrt(wrong.shape[1])
    assert solution.error("teacher", **FAR) == pytest.approx(wrong[0].mean(), abs=tolerance)
    assert solution.error("student", **FAR) == pytest.approx(wrong[1].mean(), abs=tolerance)
    assert solution.agreement(**FAR) == pytest.approx((wrong[0] == wrong[1]).mean(), abs=tolerance)
    both = (wrong[0] & wrong[1]).sum() / wrong[0].sum()
    assert solution.agreement_on_errors(**FAR) == pytest.approx(both, abs=3 * tolerance)


def test_the_calibration_error_is_that_of_drawn_margins(solution, drawn):
    confidence = 1 / (1 + np.exp(-np.abs(drawn[1])))
    right = drawn[1] > 0
    bins = np.minimum((confidence * 15).astype(int), 14)
    expected = (
        sum(abs((right[bins == k].astype(float) - confidence[bins == k]).sum()) for k in range(15))
        / bins.size
    )
    assert solution.calibration_error("student", **FAR) == pytest.approx(expected, abs=4e-3)


def test_inheritance_is_zero_for_the_control_and_one_for_a_copy(solution):
    control = solve_queries(WORLD, **ASKED, groups=[QueryGroup(1, 1, (1, 0.1))])
    assert control.inheritance(control, **FAR) == 0
    copy = solve_queries(WORLD, **ASKED, groups=[QueryGroup(np.inf, 1, (1, 1))])
    assert copy.inheritance(control, **FAR) == pytest.approx(1.0, abs=1e-9)
    between = float(solution.inheritance(control, **FAR))
    gap = control.error("student", **FAR) - solution.error("teacher", **FAR)
    way = control.error("student", **FAR) - solution.error("student", **FAR)
    assert between == pytest.approx(float(way / gap))
    assert np.isnan(copy.inheritance(copy, **FAR))


def test_a_learner_and_inputs_that_are_none_are_refused(solution):
    for call, message in (
        (lambda: solution.error("nobody", **FAR), "must be 'teacher', 'student' or a position 0..0"),
        (lambda: solution.agreement(1, **FAR), "must be 'teacher', 'student' or a position 0..0"),
        (
            lambda: solution.error("student", centre=1, variances=(1,)),
            "variances: must have an entry for each of 2 blocks (got 1)",
        ),
        (
            lambda: solution.error("student", centre=1, variances=(1, -1)),
            "variances[1]: must be ≥ 0 (got -1)",
        ),
    ):
        with pytest.raises(ConfigError) as caught:
            call()
        assert message in str(caught.value)
