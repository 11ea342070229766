"""A student on other samples than its teacher's: the theory of queries says the same, and simulations do."""

from __future__ import annotations

import numpy as np
import pytest

from bequest.errors import ConfigError
from bequest.theory import BlockMixture, Learner, Mixture, QueryGroup, observe, simulate_chain, solve_chain
from bequest.theory.queries import solve_queries

POINTS = [(0.175, 0.001, 1.0, 1.0), (0.01, 0.1, 0.6, 2.0), (1.0, 0.1, 1.0, 4.0)]


def chain(teacher, student, mix, temperature):
    return [Learner(teacher), Learner(student, mix=mix, temperature=temperature, fresh=True)]


@pytest.mark.parametrize("point", POINTS)
def test_queries_that_are_drawn_as_training_samples_are_give_the_same_student(point):
    teacher, student, mix, temperature = point
    solution = solve_chain(Mixture(2, 0.8, 0.2), chain(*point))
    world = BlockMixture(2, 0.2, shares=(1.0,), signal=(1.0,), variances=(0.8,))
    asked = solve_queries(
        world,
        lambda_teacher=(teacher,),
        lambda_student=(student,),
        groups=[QueryGroup(2, 1, (0.8,), mix=mix)],
        temperature=temperature,
    )
    for name in ("m", "q", "b"):
        expected = float(np.sum(getattr(asked.student, name)))
        assert float(getattr(solution.student, name)) == pytest.approx(expected, rel=1e-7)
    error = float(asked.error("student", centre=1, variances=(0.8,)))
    assert float(observe(solution, only=["error"])["error"]) == pytest.approx(error, abs=1e-9)


def test_exact_minimisers_on_drawn_samples_scatter_around_it():
    mixture, learners = Mixture(2, 1, 0.2), chain(0.01, 0.1, 0.6, 2.0)
    expected = observe(solve_chain(mixture, learners))
    run = simulate_chain(mixture, learners, inputs=200, seeds=12, samples=4000)
    for name in ("m", "q", "overlap", "error", "agreement", "training_error", "training_loss"):
        values = run.measured[1][name]
        scatter = values.std(ddof=1) / np.sqrt(values.size)
        assert abs(values.mean() - float(expected[name])) < 4 * scatter + 0.01 * abs(float(expected[name])), (
            name
        )


def test_the_teacher_of_the_same_draw_is_the_same():
    mixture, learners = Mixture(2, 1, 0.2), chain(0.1, 0.1, 1.0, 1.0)
    same = [learners[0], Learner(0.1, mix=1.0)]
    runs = [simulate_chain(mixture, each, inputs=60, seeds=2, samples=200) for each in (learners, same)]
    np.testing.assert_array_equal(runs[0].measured[0]["m"], runs[1].measured[0]["m"])
    assert (runs[0].measured[1]["m"] != runs[1].measured[1]["m"]).all()


def test_without_distillation_other_samples_make_another_learner_of_the_same_law():
    solution = solve_chain(Mixture(2, 1, 0.2), [Learner(0.1), Learner(0.1, fresh=True)])
    assert float(solution.student.q) == pytest.approx(float(solution.teacher.q), rel=1e-7)
    aligned = float(solution.teacher.m) ** 2  # two independent draws share the class centre alone
    assert float(solution.student.overlap) == pytest.approx(aligned, rel=1e-6)


def test_only_the_last_learner_has_other_samples_and_learns_from_logits():
    mixture = Mixture(2, 1, 0.2)
    with pytest.raises(ConfigError, match=r"learner\[1\]\.fresh: only the last"):
        solve_chain(mixture, [Learner(1), Learner(1, mix=1, fresh=True), Learner(1, mix=1)])
    with pytest.raises(ConfigError, match=r"learner\[0\]\.fresh: only the last"):
        simulate_chain(mixture, [Learner(1, fresh=True)], inputs=20, seeds=1)
    with pytest.raises(ConfigError, match="target must be soft"):
        solve_chain(mixture, [Learner(1), Learner(1, mix=1, target="hard", fresh=True)])
