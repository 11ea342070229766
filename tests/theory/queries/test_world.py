"""Bad input of the theory of queries: every fault is named at once."""

from __future__ import annotations

import numpy as np
import pytest

from bequest.errors import ConfigError
from bequest.theory import BlockMixture, QueryGroup, solve_queries

WORLD = BlockMixture(2, 0.5, shares=(0.5, 0.5), signal=(1, 0), variances=(1, 1e-4))
GROUP = QueryGroup(1, 1, (1, 1))


def faults(call, *args, **kwargs):
    with pytest.raises(ConfigError) as caught:
        call(*args, **kwargs)
    return caught.value.faults


def test_a_world_names_numbers_out_of_range_together():
    assert faults(BlockMixture, 0, 1.5, (0.5, 0.5), (1, -1), (1, -0.1)) == (
        "alpha: must be > 0 (got 0)",
        "rho: must be in (0, 1) (got 1.5)",
        "signal[1]: must be in [0, 1] (got -1)",
        "variances[1]: must be ≥ 0 (got -0.1)",
    )


def test_a_worlds_blocks_sum_to_one_everywhere():
    assert faults(BlockMixture, 1, 0.5, ([0.5, 0.6], 0.5), (0.7, 0.2), (1, 1)) == (
        "shares: must sum to 1 over the blocks (got 1.1)",
        "signal: must sum to 1 over the blocks (got 0.9)",
    )


def test_a_world_has_as_many_of_everything_as_blocks():
    assert faults(BlockMixture, 1, 0.5, (0.5, 0.5), (1,), (1, 1)) == (
        "shares, signal, variances: must have one entry for every block (got 2, 1, 2 entries)",
    )
    assert faults(BlockMixture, 1, 0.5, np.array(1.0), (1,), (1,)) == (
        "shares, signal, variances: each must be a tuple with an entry for every block",
    )


def test_a_group_names_its_faults():
    assert faults(QueryGroup, -1, np.nan, (1, -2), mix=2) == (
        "alpha: must be ≥ 0 (got -1)",
        "centre: must be finite (got nan)",
        "mix: must be in [0, 1] (got 2)",
        "variances[1]: must be ≥ 0 (got -2)",
    )
    assert faults(QueryGroup, 1, 1, np.array(3.0), target="warm") == (
        "target: must be 'soft' or 'hard' (got 'warm')",
        "variances: must be a tuple of numbers (got array(3.))",
    )


def test_a_solve_names_everything_that_does_not_fit_at_once():
    assert faults(
        solve_queries,
        WORLD,
        lambda_teacher=(1,),
        lambda_student=(1, -1),
        groups=[QueryGroup(1, 1, (1, 1, 1), teachers=(0.5, 0.5))],
        temperature=0,
        start=-1,
    ) == (
        "lambda_teacher: must have an entry for each of 2 blocks (got (1,))",
        "groups[0].variances: must have an entry for each of 2 blocks (got (1, 1, 1))",
        "groups[0].teachers: must weigh 1 teachers (got 2)",
        "temperature: must be > 0 (got 0)",
        "start: must be ≥ 0 (got -1)",
        "lambda_student[1]: must be ≥ 0 (got -1)",
    )


def test_a_solve_needs_inputs():
    asked = {"lambda_teacher": (1, 1), "lambda_student": (1, 1)}
    assert faults(solve_queries, WORLD, **asked, groups=[]) == (
        "groups: must have at least one group of inputs to learn on",
    )
    assert faults(solve_queries, WORLD, **asked, groups=[QueryGroup(0, 1, (1, 1))]) == (
        "groups: must have inputs (alpha is 0 in all of them)",
    )


def test_shapes_must_broadcast():
    (fault,) = faults(
        solve_queries,
        WORLD,
        lambda_teacher=([1, 2, 3], 1),
        lambda_student=(1, 1),
        groups=[QueryGroup([1, 2], 1, (1, 1))],
    )
    assert fault == ("shapes: must broadcast together (got lambda_teacher[0] (3,), groups[0].alpha (2,))")


def test_infinitely_many_inputs_must_decide_everything():
    asked = {"lambda_teacher": (1, 1), "lambda_student": (1, 1)}
    message = "groups[0].alpha: may be inf only for fresh inputs that vary every block and ask for logits"
    for group in (
        QueryGroup(np.inf, 1, (1, 0)),
        QueryGroup(np.inf, 1, (1, 1), mix=0.5),
        QueryGroup(np.inf, 1, (1, 1), target="hard"),
    ):
        assert message in faults(solve_queries, WORLD, **asked, groups=[group])[0]
    held = {"lambda_teacher": (1, 1), "lambda_student": (1, np.inf)}
    assert (
        "groups[0].alpha: may be inf"
        in faults(solve_queries, WORLD, **held, groups=[QueryGroup(np.inf, 1, (1, 1))])[0]
    )


def test_training_inputs_are_those_of_the_world_and_of_one_teacher():
    asked = {"lambda_teacher": (1, 1), "lambda_student": (1, 1)}
    other = QueryGroup(1, 1, (1, 1e-4), fresh=False)
    assert faults(solve_queries, WORLD, **asked, groups=[other]) == (
        "groups[0]: the training inputs have the world's alpha and variances, centre 1",
    )
    own = QueryGroup.training(WORLD)
    assert faults(solve_queries, WORLD, **asked, more_teachers=[(2, 2)], groups=[own, own]) == (
        "groups[0].fresh: the training inputs can be a group of one teacher's only",
        "groups[1].fresh: the training inputs can be a group of one teacher's only",
        "groups: the training inputs can be one group only",
    )


def test_weights_of_teachers_sum_to_one():
    group = QueryGroup(1, 1, (1, 1), teachers=(0.5, 0.6))
    assert faults(
        solve_queries,
        WORLD,
        lambda_teacher=(1, 1),
        lambda_student=(1, 1),
        more_teachers=[(2, 2)],
        groups=[group],
    ) == ("groups[0].teachers: weights must sum to 1",)
