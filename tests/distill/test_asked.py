"""Answers asked, against a count of every query of every step."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bequest.data.queries import ActiveSpec, Generated, Source
from bequest.data.views import Identity, Shift
from bequest.distill.lesson import Lesson
from bequest.distill.objectives import KD
from bequest.distill.online import OnlineTeacher
from bequest.distill.recipe import Recipe
from bequest.distill.stores import build_store
from bequest.distill.teachers import Teacher

RECIPE = Recipe(batch=10, epochs=5)  # 7 steps an epoch, 72 samples: two of each pass are left out


def run(network, toy, *sources, recipe=RECIPE, **options):
    options = options or {"teachers": (Teacher(network(2), name="t"),)}
    return Lesson(network(1), toy, sources, KD(), recipe, 0, **options).run()


def pool(toy, view, share=1.0, **options):
    return Source("pool", toy["train"].unlabelled(), view, share, **options)


@pytest.mark.parametrize("epochs", [1, 2, 5])
@pytest.mark.parametrize(("view", "count"), [(Identity(), None), (Shift(2), 2), (Shift(2), None)])
def test_distinct_queries_are_those_of_the_steps(network, toy, epochs, view, count):
    source = pool(toy, view, view_count=count)
    recipe = RECIPE.model_copy(update={"epochs": epochs})
    from bequest.data.batches import Batches

    batches = Batches((source,), batch=10, seed=0)
    queries = set()
    for step in range(7 * epochs):
        for part in batches.at(step).parts:
            shown = 0 if isinstance(view, Identity) else part.view
            queries |= {(shown, row) for row in part.rows.tolist()}
    assert run(network, toy, source, recipe=recipe).asked == {"t": len(queries)}


def test_a_ranked_pool_is_asked_whole_and_a_random_one_in_part(network, toy):
    asked = {}
    for by in ("divergence", "badge", "random", "entropy", "stratified", "far", "coverage", "badge_clean"):
        active = ActiveSpec(by=by, budget=30, rounds=3)
        clean = Source("train", toy["train"], Identity(), 0.5)
        queries = pool(toy, Shift(2), 0.5, view_count=3, active=active)
        asked[by] = run(network, toy, clean, queries).asked["t"]
    whole = {by for by, number in asked.items() if number == 72 + 3 * 72}
    assert whole == {"divergence", "badge"}
    assert {asked[by] for by in asked if by not in whole} == {72 + 30}


def test_every_answer_of_a_noisy_or_online_teacher_is_a_new_one(network, toy):
    source = Source("train", toy["train"], Identity())
    teachers = (Teacher(network(2), name="noisy", mode="noisy"), OnlineTeacher(network(3), name="online"))
    trained = Lesson(
        network(1), toy, (source,), KD(), RECIPE, 0, teachers=teachers, combine=lambda logits: logits[:1]
    ).run()
    assert trained.asked == {"noisy": 350, "online": 350}


def test_made_inputs_are_asked_once_each(network, toy):
    noise = Generated("noise", lambda rows, generator: torch.rand(rows, 1, 6, 6, generator=generator))
    assert run(network, toy, noise).asked == {"t": 350}


def test_a_store_asked_when_it_was_built(network, toy, tmp_path):
    class Counting(nn.Module):
        def __init__(self):
            super().__init__()
            self.network, self.rows = network(2), 0

        def forward(self, x):
            self.rows += len(x)
            return self.network(x)

    teacher = Counting()
    store = build_store(Teacher(teacher, name="t"), toy, views=Shift(1), count=3, path=tmp_path)
    asked = run(network, toy, *store.sources(toy), signal=store).asked
    assert asked == {"t": 3 * 72}
    assert teacher.rows == 3 * 72 + 2  # two rows tell the shape of an answer
