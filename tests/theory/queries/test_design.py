"""The design of queries: against dense grids, by what must hold, and at the exact limit."""

from __future__ import annotations

import numpy as np
import pytest

from bequest.errors import ConfigError
from bequest.theory import (
    BlockMixture,
    QueryGroup,
    best_queries,
    queries_for_everything,
    queries_needed,
    solve_queries,
)

WORLD = BlockMixture(2, 0.5, shares=(0.5, 0.5), signal=(1, 0), variances=(1, 1e-4))
BIAS = {"lambda_teacher": (0.3, 1e4), "lambda_student": (0.01, 0.01), "start": 20}
TRAINING = QueryGroup(2, 1, (1, 1e-4))
SHIFTED = (1, (1, 1))


def test_the_best_queries_beat_a_dense_grid():
    limits = {"variances": (0.01, 1.0), "centre": (0.0, 1.0)}
    best = best_queries(WORLD, **BIAS, budget=0.3, tests=[SHIFTED], groups=[TRAINING], **limits)
    first, second = np.meshgrid(np.geomspace(0.01, 1, 4), np.geomspace(0.01, 1, 4), indexing="ij")
    dense = solve_queries(WORLD, **BIAS, groups=[TRAINING, QueryGroup(0.3, 0, (first, second))])
    assert best.value <= dense.error("student", centre=1, variances=(1, 1)).min() + 1e-7
    assert best.value == pytest.approx(
        float(best.solution.error("student", centre=1, variances=(1, 1))), abs=1e-6
    )
    assert best.variances[0] == pytest.approx(0.01, rel=0.05)  # what training varies is left alone
    assert best.variances[1] == pytest.approx(1.0, rel=0.05)


def test_every_fault_of_a_design_is_named_at_once():
    with pytest.raises(ConfigError) as caught:
        best_queries(WORLD, **BIAS, budget=0, tests=[], variances=(0, 1), centre=(1, 1))
    assert caught.value.faults == (
        "budget: must be > 0 (got 0)",
        "tests: must have at least one kind of inputs",
        "variances: bounds must rise above 0 (got 0, 1)",
        "centre: bounds must rise (got 1, 1)",
    )


def test_the_number_needed_hands_over_what_was_asked():
    fraction = np.array([0.5, 0.9])
    query = QueryGroup(1, 0, (0, 1))
    needed = queries_needed(WORLD, **BIAS, query=query, fraction=fraction, test=SHIFTED, groups=[TRAINING])
    assert needed[0] < needed[1]
    control = solve_queries(WORLD, **BIAS, groups=[TRAINING])
    solution = solve_queries(WORLD, **BIAS, groups=[TRAINING, QueryGroup(needed, 0, (0, 1))])
    assert solution.inheritance(control, centre=1, variances=(1, 1)) == pytest.approx(fraction, abs=1e-4)


def test_what_is_never_reached_has_no_number():
    """Queries that leave block 2 alone hand nothing of its bias over."""
    needed = queries_needed(
        WORLD, **BIAS, query=QueryGroup(1, 0, (1, 0)), fraction=0.5, test=SHIFTED, groups=[TRAINING]
    )
    assert np.isnan(needed)
    with pytest.raises(ConfigError, match=r"fraction: must be in \(0, 1\) \(got 1\)"):
        queries_needed(WORLD, **BIAS, query=QueryGroup(1, 0, (1, 1)), fraction=1.0, test=SHIFTED)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_everything_is_handed_over_from_the_exact_point_on_and_not_before(temperature):
    share = 0.4
    world = BlockMixture(2, 0.5, (1 - share, share), (1, 0), (1, 0))
    like, query = QueryGroup(2, 1, (1, 0)), QueryGroup(1, 0, (1, 1))
    point = float(queries_for_everything(world, query, [like]))
    assert point == pytest.approx(share)
    solution = solve_queries(
        world,
        lambda_teacher=(0.3, 1),
        lambda_student=(1e-5, 1e-5),
        groups=[like, QueryGroup(point * np.array([0.8, 1.2]), 0, (1, 1))],
        start=5,
        temperature=temperature,
    )
    gap = np.abs(solution.student.q - solution.teacher.q).max(axis=0)
    assert gap[0] > 0.1
    assert gap[1] < 1e-3


def test_a_rank_says_the_same():
    """The matrix of drawn inputs has full column rank from the exact point on."""
    shares, generator = (0.5, 0.3, 0.2), np.random.default_rng(0)
    world = BlockMixture(1, 0.5, shares, (1, 0, 0), (1, 1, 1))
    groups = [QueryGroup(0.6, 0, (1, 1, 0)), QueryGroup(0.1, 0, (0, 0, 1))]
    query = QueryGroup(1, 0, (1, 0, 1))
    point = float(queries_for_everything(world, query, groups))
    assert point == pytest.approx(0.3)
    size = 100
    for extra, full in ((-1, False), (0, True)):
        rows = []
        counts = [60, 10, round(point * size) + extra]
        for group, count in zip([*groups, query], counts, strict=True):
            columns = [
                np.full(round(share * size), v) for share, v in zip(shares, group.variances, strict=True)
            ]
            rows.append(generator.standard_normal((count, size)) * np.sqrt(np.concatenate(columns)))
        assert (np.linalg.matrix_rank(np.concatenate(rows)) == size) == full


def test_a_query_that_varies_nothing_new_never_says_everything():
    world = BlockMixture(2, 0.5, (0.5, 0.5), (1, 0), (1, 0))
    assert queries_for_everything(world, QueryGroup(1, 1, (1, 0)), [QueryGroup(2, 1, (1, 0))]) == np.inf
    assert queries_for_everything(world, QueryGroup(1, 1, (1, 0)), [QueryGroup(2, 1, (1, 1))]) == 0
