from __future__ import annotations

import copy

import pytest
import torch

from bequest.data.batches import Batches
from bequest.data.queries import Source
from bequest.data.views import Identity, Shift
from bequest.distill.live import LiveTeachers
from bequest.distill.objectives import KD, CrossEntropy, kd
from bequest.distill.online import OnlineTeacher
from bequest.distill.recipe import Recipe
from bequest.distill.trainer import Trainer
from bequest.errors import NonFiniteLoss, ObjectiveError

RECIPE = Recipe(batch=8, optimizer="sgd", lr=0.1)


def together(student, teacher, sources, *, steps=20, recipe=RECIPE, seed=0):
    batches = Batches(sources, batch=8, seed=seed)
    signal = LiveTeachers([teacher], sources)
    peer = teacher.learner(batches, recipe, steps=steps)
    return Trainer(student, batches, KD(2.0), recipe, steps=steps, signal=signal, peers=[peer])


@pytest.mark.parametrize("view", [Identity(), Shift(1)])
@pytest.mark.parametrize("accumulate", [1, 4])
def test_the_student_learns_from_the_logits_of_the_teachers_own_step(view, accumulate, network, toy):
    sources = (Source("train", toy["train"], view),)
    recipe = RECIPE.model_copy(update={"accumulate": accumulate})
    online = OnlineTeacher(network(2), recipe=Recipe(optimizer="sgd", lr=0.3))
    student = network(1)
    together(student, online, sources, recipe=recipe).advance(6)

    bare, teacher = network(1), network(2)
    slow, fast = (torch.optim.SGD(m.parameters(), lr) for m, lr in ((bare, 0.1), (teacher, 0.3)))
    batches = Batches(sources, batch=8, seed=0)
    for step in range(6):
        batch = batches.at(step)
        logits = teacher(batch.x)
        for optimizer, loss in (
            (fast, torch.nn.functional.cross_entropy(logits, batch.labels)),
            (slow, kd(bare(batch.x), logits, temperature=2.0)),
        ):
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    for ours, plain in ((student, bare), (online.model, teacher)):
        assert torch.allclose(ours[1].weight, plain[1].weight, atol=1e-6)


def test_the_callers_network_is_left_alone(network, toy):
    given = network(2, dropout=0.5, batch_norm=True).train()
    before = copy.deepcopy(given.state_dict())
    online = OnlineTeacher(given)
    assert online.mode == "online"
    first = online.digest
    together(network(1), online, (Source("train", toy["train"], Identity()),)).advance(5)
    assert all(torch.equal(before[name], value) for name, value in given.state_dict().items())
    assert given.training
    assert online.verify() != first
    online.verify_mode()


def test_it_answers_other_inputs_in_eval_mode(network, toy):
    online = OnlineTeacher(network(2, dropout=0.5))
    x = toy["test"].x
    online.model.train()
    assert torch.equal(online(x), online.evaluated(x))
    assert online.model.training
    assert not online(x).requires_grad
    assert online.activation_names() == []


def test_its_state_is_the_runs_state(network, toy):
    sources = (Source("train", toy["train"], Shift(1)),)
    recipe = RECIPE.model_copy(update={"optimizer": "adam", "lr": 0.01})

    def made():
        online = OnlineTeacher(network(2, dropout=0.5))
        return together(network(1, dropout=0.5), online, sources, recipe=recipe), online

    whole, teacher = made()
    whole.advance(4)
    state = copy.deepcopy(whole.state())
    whole.advance(9)
    resumed, other = made()
    resumed.restore(state)
    resumed.advance(9)
    for one, two in ((whole.student, resumed.student), (teacher.model, other.model)):
        for name, value in one.state_dict().items():
            assert torch.equal(two.state_dict()[name], value)


def test_it_sees_inputs_through_its_adapter(network, toy):
    sources = (Source("train", toy["train"], Identity()),)
    turned = OnlineTeacher(network(2), adapter=lambda x: x.flip(-1))
    made = together(network(1), turned, sources)
    made.advance(3)
    flipped = (
        Source(
            "train",
            toy["train"].__class__(toy["train"].x.flip(-1), toy["train"].y, toy["train"].ids),
            Identity(),
        ),
    )
    plain = OnlineTeacher(network(2))
    together(network(1), plain, flipped).advance(3)
    assert torch.allclose(turned.model[1].weight, plain.model[1].weight, atol=1e-6)


def test_labels_it_needs_must_be_there(network, toy):
    sources = (Source("train", toy["train"].unlabelled(), Identity()),)
    with pytest.raises(ObjectiveError, match="the objective needs labels and the data has none"):
        together(network(1), OnlineTeacher(network(2)), sources)


def test_its_losses_must_be_finite_too(network, toy):
    sources = (Source("train", toy["train"], Identity()),)
    wild = OnlineTeacher(
        network(2), name="wild", recipe=Recipe(optimizer="sgd", lr=1e30), objective=CrossEntropy()
    )
    with pytest.raises(NonFiniteLoss, match="the loss of the online teacher 'wild' is not finite at step 1"):
        together(network(1), wild, sources).advance(5)
