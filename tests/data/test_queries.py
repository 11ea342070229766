from __future__ import annotations

from typing import get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bequest.data.datasets import Split
from bequest.data.queries import ActiveSpec, By, Generated, Source
from bequest.data.views import Identity, Shift
from bequest.errors import ConfigError


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 20), st.integers(0, 500))
def test_rounds_spend_the_budget_as_evenly_as_can_be(rounds, more):
    sizes = ActiveSpec(budget=rounds + more, rounds=rounds).sizes()
    assert sum(sizes) == rounds + more
    assert len(sizes) == rounds
    assert max(sizes) - min(sizes) <= 1
    assert min(sizes) >= 1


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 20), st.integers(1, 2000))
def test_rounds_begin_with_the_run_and_never_after_it(rounds, steps):
    starts = ActiveSpec(budget=rounds, rounds=rounds).starts(steps=steps, steps_per_epoch=7)
    assert starts[0] == 0
    assert starts == sorted(starts)
    assert max(starts) < steps


@pytest.mark.parametrize("by", get_args(By))
def test_what_does_not_look_at_the_student_asks_at_once(by):
    looks = by in {"divergence", "entropy", "coverage", "badge", "badge_clean"}
    assert ActiveSpec(by=by, budget=30).rounds == (8 if looks else 1)
    assert ActiveSpec(by=by, budget=30, rounds=3).rounds == 3
    assert ActiveSpec.parse(ActiveSpec(by=by, budget=30).plain(), "active").rounds == (8 if looks else 1)


def test_rounds_every_so_many_epochs_start_with_an_epoch():
    spec = ActiveSpec(budget=100, rounds=3, every=2)
    assert spec.starts(steps=1000, steps_per_epoch=20) == [0, 40, 80]
    assert spec.starts(steps=60, steps_per_epoch=20) == [0, 40]
    assert spec.starts(steps=0, steps_per_epoch=20) == [0]


def test_faults_of_a_choice_are_listed():
    with pytest.raises(ConfigError) as caught:
        ActiveSpec.parse({"by": "surprise", "budget": 0, "round": 3}, "queries.pool.active")
    text = str(caught.value)
    assert "queries.pool.active: 3 errors" in text
    assert "by: input should be 'divergence', 'entropy', 'disagreement', 'random'" in text
    assert "'badge_clean' (got \"surprise\")" in text.replace("or ", "")
    assert "budget: input should be greater than or equal to 1 (got 0)" in text
    assert "round: unknown key; did you mean 'rounds'?" in text
    with pytest.raises(ConfigError, match="a budget of 3 cannot be spread over 8 rounds"):
        ActiveSpec.parse({"budget": 3}, "active")


def test_a_source_says_what_it_is():
    x = torch.zeros(3, 1, 4, 4)
    split = Split(x, torch.tensor([0, 1, 2]), torch.arange(3))
    assert Source("a", split, Identity()).plain
    assert not Source("a", split, Shift(1)).plain
    assert Source("a", split, Identity()).labelled
    assert not Source("a", split.unlabelled(), Identity()).labelled
    made = Generated("g", lambda rows, generator: torch.rand(rows, 2, generator=generator))
    assert not made.plain
    assert not made.labelled
