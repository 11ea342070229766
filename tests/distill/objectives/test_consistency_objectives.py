from __future__ import annotations

import pytest
import torch

import bequest as bq
from bequest.data.batches import Batches
from bequest.data.queries import Generated, Source
from bequest.data.views import Shift
from bequest.distill.exchange import Exchange
from bequest.distill.lesson import Lesson
from bequest.distill.objectives import Consistency, CrossEntropy, kd, parse_objective
from bequest.distill.recipe import Recipe
from bequest.distill.trainer import Trainer
from bequest.errors import ObjectiveError

RECIPE = Recipe(batch=12, optimizer="sgd", lr=0.1, epochs=2)


def test_it_is_the_kl_to_the_answers_on_clean_samples_which_get_no_gradient():
    generator = torch.Generator().manual_seed(0)
    view, clean = (torch.randn(5, 4, generator=generator).requires_grad_() for _ in range(2))
    loss, parts = Consistency(2.0)(Exchange(view, clean_logits=clean))
    assert float(loss.detach()) == pytest.approx(float(kd(view, clean, temperature=2.0).detach()))
    assert list(parts) == ["consistency"]
    loss.backward()
    assert clean.grad is None
    assert bool(view.grad.any())


@pytest.mark.parametrize("accumulate", [1, 3])
def test_a_step_is_that_of_a_bare_loop(network, toy, accumulate):
    source = Source("pool", toy["train"].unlabelled(), Shift(2))
    student, bare = network(1, dropout=0.0, batch_norm=False), network(1)
    batches = Batches((source,), batch=12, seed=0)
    recipe = RECIPE.model_copy(update={"accumulate": accumulate})
    Trainer(student, batches, Consistency(), recipe, steps=3).advance(3)
    optimizer = torch.optim.SGD(bare.parameters(), 0.1)
    for step in range(3):
        batch = batches.at(step)
        with torch.no_grad():
            clean = bare(toy["train"].x[batch.parts[0].rows])
        optimizer.zero_grad()
        kd(bare(batch.x), clean, temperature=1.0).backward()
        optimizer.step()
    assert torch.allclose(student[1].weight, bare[1].weight, atol=1e-6)


def test_it_asks_no_teacher_and_stands_beside_labels(network, toy):
    objective = parse_objective(["cross_entropy", "consistency"])
    assert not objective.needs_teacher
    assert objective.reads == ()
    assert objective.reads_clean
    sources = (
        Source("train", toy["train"], Shift(0), 0.5),
        Source("pool", toy["train"].unlabelled(), Shift(2), 0.5),
    )
    trained = bq.distill(network(1), toy, objective=objective, queries=sources, batch=12, epochs=2)
    assert trained.record.teachers == ()
    assert {"cross_entropy", "consistency"} <= set(trained.history[-1])
    lesson = Lesson(network(1), toy, sources, objective, RECIPE, 0)
    assert lesson.run().asked == {}


def test_inputs_without_a_clean_form_are_refused(network, toy):
    noise = Generated("noise", lambda rows, generator: torch.rand(rows, 1, 6, 6, generator=generator))
    batches = Batches((noise,), batch=12, seed=0)
    with pytest.raises(ObjectiveError, match="needs the student's answers to the samples as they are"):
        Trainer(network(1), batches, Consistency(), RECIPE, steps=1)
    assert not CrossEntropy().reads_clean
