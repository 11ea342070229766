from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from bequest.data.batches import Batches
from bequest.data.queries import Source
from bequest.data.views import Identity
from bequest.distill import engine
from bequest.distill.engine import Callback, train
from bequest.distill.objectives import CrossEntropy
from bequest.distill.recipe import Recipe
from bequest.distill.trainer import Trainer

PER_EPOCH = 9


class Scripted:
    """Hands out scores from a list, one a look, and remembers the weights that it was shown."""

    def __init__(self, accuracies):
        self.accuracies = accuracies
        self.seen: list[torch.Tensor] = []

    def __call__(self, model: nn.Module):
        assert not model.training
        self.seen.append(model[1].weight.detach().clone())
        accuracy = self.accuracies[len(self.seen) - 1]
        return {"accuracy": accuracy, "nll": 1 - accuracy}


@pytest.fixture
def started(network, toy):
    def made(*, epochs=4, **recipe):
        batches = Batches((Source("train", toy["train"], Identity()),), batch=8, seed=0)
        recipe = Recipe(batch=8, **recipe)
        return Trainer(network(1), batches, CrossEntropy(), recipe, steps=epochs * PER_EPOCH)

    return made


def test_epochs_are_looked_at_from_before_the_first_step(started):
    scores, logged, seen = Scripted([0.1, 0.2, 0.3, 0.4, 0.5]), [], []
    callbacks = [lambda epoch, student: seen.append((epoch, student.training))]
    assert isinstance(callbacks[0], Callback)
    outcome = train(
        started(), steps_per_epoch=PER_EPOCH, evaluate=scores, callbacks=callbacks, log=logged.append
    )
    assert seen == [(epoch, False) for epoch in range(5)]
    assert [(row["epoch"], row["step"]) for row in logged] == [(k, 9 * k) for k in range(5)]
    assert logged == outcome.history
    assert set(logged[0]) == {"epoch", "step", "accuracy", "nll"}
    assert set(logged[1]) == {"epoch", "step", "loss", "cross_entropy", "accuracy", "nll"}
    assert outcome.last == outcome.selected == {"epoch": 4, "accuracy": 0.5, "nll": 0.5}
    assert (outcome.steps, outcome.epochs) == (36, 4)
    assert outcome.seconds > 0


@pytest.mark.parametrize(
    ("select", "kept"), [("last", 4), ("accuracy", 2), ("nll", 2)], ids=["last", "accuracy", "nll"]
)
def test_the_selected_epochs_weights_are_kept(select, kept, started):
    scores = Scripted([0.1, 0.2, 0.6, 0.6, 0.5])
    trainer = started(select=select)
    outcome = train(trainer, steps_per_epoch=PER_EPOCH, evaluate=scores)
    assert outcome.selected["epoch"] == kept
    assert outcome.last["epoch"] == 4
    assert torch.equal(trainer.student[1].weight, scores.seen[kept])
    assert not trainer.student.training


def test_nll_is_best_where_it_is_least(started):
    scores = Scripted([0.1, 0.2, 0.3])
    scores_of = lambda model: {**scores(model), "nll": [3.0, 1.0, 2.0][len(scores.seen) - 1]}  # noqa: E731
    outcome = train(started(epochs=2, select="nll"), steps_per_epoch=PER_EPOCH, evaluate=scores_of)
    assert outcome.selected == {"epoch": 1, "accuracy": 0.2, "nll": 1.0}


def test_patience_ends_a_run_that_gets_no_better(started):
    scores = Scripted([0.1, 0.5, 0.4, 0.3, 0.9])
    outcome = train(started(patience=2), steps_per_epoch=PER_EPOCH, evaluate=scores)
    assert (outcome.steps, outcome.epochs) == (27, 3)
    assert outcome.last["accuracy"] == 0.3
    kept = train(
        started(patience=2, select="accuracy"),
        steps_per_epoch=PER_EPOCH,
        evaluate=Scripted([0.1, 0.5, 0.4, 0.3, 0.9]),
    )
    assert kept.selected["accuracy"] == 0.5


def test_evaluation_comes_every_so_many_epochs_and_at_the_end(started):
    scores = Scripted([0.1, 0.2, 0.3])
    outcome = train(started(epochs=5, evaluate_every=3), steps_per_epoch=PER_EPOCH, evaluate=scores)
    assert [row["epoch"] for row in outcome.history] == [0, 3, 5]


def test_a_run_without_steps_is_a_look_at_the_student(started):
    trainer = started(epochs=0)
    before = trainer.student[1].weight.detach().clone()
    outcome = train(trainer, steps_per_epoch=PER_EPOCH, evaluate=Scripted([0.3]))
    assert outcome.selected == {"epoch": 0, "accuracy": 0.3, "nll": 0.7}
    assert torch.equal(trainer.student[1].weight, before)


def test_a_part_of_an_epoch_counts_as_begun(started):
    trainer = started()
    trainer.steps = 12
    outcome = train(trainer, steps_per_epoch=PER_EPOCH, evaluate=Scripted([0.1, 0.2, 0.3]))
    assert (outcome.steps, outcome.epochs) == (12, 2)


@pytest.mark.parametrize("ema", [None, 0.8])
@pytest.mark.parametrize("kill_after", [1, 2, 5, 7])
def test_a_killed_run_goes_on_where_it_stopped(kill_after, ema, started, monkeypatch):
    monkeypatch.setattr(engine, "STRETCH", 4)
    accuracies = [0.1, 0.5, 0.3, 0.2, 0.4]
    options = {"select": "accuracy", "ema": ema, "optimizer": "adamw", "clip": 1.0}
    whole = started(**options)
    expected = train(whole, steps_per_epoch=PER_EPOCH, evaluate=Scripted(accuracies))

    kept = []

    def checkpoint(state):
        if state is None:
            return
        kept.append(copy.deepcopy(state()))
        if len(kept) == kill_after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(
            started(**options),
            steps_per_epoch=PER_EPOCH,
            evaluate=Scripted(accuracies),
            checkpoint=checkpoint,
        )
    state = kept[-1]
    assert state["trainer"]["taken"] == [4, 8, 9, 13, 17, 18, 22][kill_after - 1]
    rest = accuracies[len(state["history"]) :]
    resumed = started(**options)
    outcome = train(
        resumed,
        steps_per_epoch=PER_EPOCH,
        evaluate=Scripted(rest),
        checkpoint=lambda give: state if give is None else None,
    )
    for name, value in whole.student.state_dict().items():
        assert torch.equal(resumed.student.state_dict()[name], value)
    assert outcome.history == expected.history
    assert outcome.selected == expected.selected


def test_a_run_that_was_at_its_end_stays_there(started):
    kept = []
    first = started(patience=1)

    def keep(state):
        if state is not None:
            kept.append(copy.deepcopy(state()))

    train(first, steps_per_epoch=PER_EPOCH, evaluate=Scripted([0.5, 0.4]), checkpoint=keep)
    again = started(patience=1)
    outcome = train(
        again,
        steps_per_epoch=PER_EPOCH,
        evaluate=Scripted([]),
        checkpoint=lambda give: kept[-1] if give is None else None,
    )
    assert outcome.steps == 9
    assert torch.equal(again.student[1].weight, first.student[1].weight)
