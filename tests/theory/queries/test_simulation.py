"""Exact minimisers beside theory."""

from __future__ import annotations

import numpy as np
import pytest

from bequest.errors import ConfigError
from bequest.theory import BlockMixture, QueryGroup, simulate_queries

WORLD = BlockMixture(2, 0.5, shares=(0.5, 0.5), signal=(1, 0), variances=(1, 1e-4))
ASKED = {"lambda_teacher": (0.3, 1e4), "lambda_student": (0.01, 0.01)}
TRAINING = QueryGroup(2, 1, (1, 1e-4))


def typical(rows) -> bool:
    """Deviations of standard normal size: a root mean square near one, none far out."""
    deviations = np.array([row["deviation"] for row in rows.values() if row["deviation"] is not None])
    return bool(np.sqrt((deviations**2).mean()) < 2.0 and np.abs(deviations).max() < 4.5)


@pytest.mark.parametrize("place", [1, 3, 5, 6, 8, 9, 11])
def test_theory_is_the_limit_that_small_simulations_scatter_around(shown, place):
    _, world, asked, shifted = shown.cases()[place]
    assert typical(shown.observed(world, asked, shifted, 250, 10))


@pytest.mark.slow
def test_the_table_is_within_three_standard_errors_of_a_thousand_coordinates(shown):
    for title, groups in shown.TABLE.items():
        rows = shown.observed(WORLD, {**shown.BIAS, "groups": groups}, shown.SHIFTED, 1000, 20)
        for name, row in rows.items():
            if "error" in name or "agreement" in name:
                assert abs(row["deviation"]) < 3.0, (title, name, row)


@pytest.mark.slow
@pytest.mark.parametrize("place", range(12))
def test_twelve_further_points_are_within_three_standard_errors(shown, place):
    title, world, asked, shifted = shown.cases()[place]
    rows = shown.observed(world, asked, shifted, 1000, 20)
    for name, row in rows.items():
        if "error" in name or "agreement" in name:
            assert abs(row["deviation"]) < 3.0, (title, name, row)


def test_what_cannot_move_stays_at_the_start():
    run = simulate_queries(
        WORLD,
        lambda_teacher=(0.3, np.inf),
        lambda_student=(0.01, np.inf),
        groups=[TRAINING],
        start=3,
        inputs=40,
        seeds=3,
    )
    assert run.teacher.q[1] == pytest.approx(np.zeros(3))
    assert run.student.q[1] == pytest.approx(np.full(3, 1.5))


def test_the_number_of_workers_and_of_other_seeds_changes_nothing():
    one = simulate_queries(WORLD, **ASKED, groups=[TRAINING], inputs=40, seeds=3, workers=1)
    two = simulate_queries(WORLD, **ASKED, groups=[TRAINING], inputs=40, seeds=3, workers=3)
    last = simulate_queries(WORLD, **ASKED, groups=[TRAINING], inputs=40, seeds=[2])
    assert np.array_equal(one.student.q, two.student.q)
    assert one.student.q[:, 2] == pytest.approx(last.student.q[:, 0], abs=0)


def test_every_fault_of_a_simulation_is_named_at_once():
    with pytest.raises(ConfigError) as caught:
        simulate_queries(WORLD, **ASKED, groups=[QueryGroup([1, 2], 1, (1, 1))], inputs=0, seeds=0, workers=0)
    assert caught.value.faults == (
        "inputs: must be at least 1 (got 0)",
        "seeds: must be at least 1 (got 0)",
        "workers: must be at least 1 (got 0)",
        "every parameter must be one number (got a grid of 2 points)",
    )
    with pytest.raises(ConfigError, match="a draw needs a finite alpha"):
        simulate_queries(WORLD, **ASKED, groups=[QueryGroup(np.inf, 1, (1, 1))])
