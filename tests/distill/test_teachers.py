from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from bequest.data.batches import Batches
from bequest.data.queries import ActiveSpec, Generated, Source
from bequest.data.views import Identity, Shift
from bequest.distill import live as live_teachers
from bequest.distill.combine import MeanLogits
from bequest.distill.live import LiveTeachers
from bequest.distill.ranking import Ranking
from bequest.distill.signal import Combined, Signal
from bequest.distill.teachers import Teacher
from bequest.errors import ModelError, TeacherChanged, UnknownName

X = torch.randn(10, 1, 6, 6, generator=torch.Generator().manual_seed(3))


class Counting(nn.Module):
    """Counts the rows that it is asked about."""

    def __init__(self, network):
        super().__init__()
        self.network, self.asked = network, 0

    def forward(self, x):
        self.asked += len(x)
        return self.network(x)


def state(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one) and one.keys() == other.keys()


def test_asking_changes_no_byte(network):
    model = network(dropout=0.5, batch_norm=True).train()
    before = state(model)
    teacher = Teacher(model)
    assert torch.equal(teacher(X), teacher(X))
    assert not teacher(X).requires_grad
    assert teacher.verify() == teacher.digest
    assert same(state(model), before)


def test_a_noisy_teacher_draws_dropout_and_batch_statistics_but_keeps_its_buffers(network):
    model = network(dropout=0.5, batch_norm=True)
    before = state(model)
    noisy = Teacher(model, mode="noisy")
    assert not torch.equal(noisy(X), noisy(X))
    assert torch.equal(noisy.evaluated(X), noisy.evaluated(X))
    torch.manual_seed(0)
    expected = network(dropout=0.5, batch_norm=True).train()
    torch.manual_seed(1)
    wanted = expected(X)
    torch.manual_seed(1)
    assert torch.equal(noisy(X), wanted)
    assert same(state(model), before)
    noisy.verify()
    noisy.features(X, ["penultimate"])
    noisy.verify()


@pytest.mark.parametrize("what", ["parameter", "buffer", "mode"])
def test_a_teacher_that_moved_is_found(network, what):
    model = network(batch_norm=True)
    teacher = Teacher(model)
    if what == "parameter":
        with torch.no_grad():
            model[1].weight[0, 0] += 1e-6
    elif what == "buffer":
        model[2].num_batches_tracked += 1
    else:
        model[2].train()
    got = "training mode in '2'" if what == "mode" else "digest [0-9a-f]{16}"
    with pytest.raises(TeacherChanged, match=got) as caught:
        teacher.verify()
    assert "the teacher 'teacher' changed while it taught" in str(caught.value)


def test_the_network_gets_its_modes_back(network):
    model = network(dropout=0.5, batch_norm=True).train()
    model[2].eval()
    with Teacher(model) as teacher:
        assert not any(module.training for module in model.modules())
        teacher(X)
    assert model.training
    assert not model[2].training
    with pytest.raises(TeacherChanged), Teacher(model):
        model[1].weight.data.zero_()
    assert model.training


def test_adapters_change_what_the_teacher_sees_only(network):
    model = network()
    teacher = Teacher(model, adapter=lambda x: x.flip(-1))
    assert torch.equal(teacher(X), model(X.flip(-1)).detach())


def test_precision_is_the_teachers_own(network):
    model = network()
    half = Teacher(model, precision="bf16")(X)
    assert half.dtype == torch.float32
    assert torch.allclose(half, model(X), atol=0.05)
    assert not torch.equal(half, model(X).detach())


@pytest.mark.parametrize(
    "wrap", [lambda logits: SimpleNamespace(logits=logits), lambda logits: {"logits": logits}]
)
def test_outputs_with_logits_are_understood(network, wrap):
    model = network()

    class Wrapped(nn.Module):
        def forward(self, x):
            return wrap(model(x))

    assert torch.equal(Teacher(Wrapped())(X), model(X).detach())


def test_answers_without_logits_are_refused():
    class Silent(nn.Module):
        def forward(self, x):
            return (x, x)

    with pytest.raises(
        ModelError, match="the teacher 'mime': the model does not answer with logits"
    ) as caught:
        Teacher(Silent(), name="mime")(X)
    assert "got:      tuple" in str(caught.value)


def test_shared_tensors_are_seen(network):
    model = network()
    teacher = Teacher(model)
    assert teacher.shares(model)
    assert teacher.shares(nn.Sequential(nn.Flatten(), model[1]))
    assert not teacher.shares(network())


def test_answers_to_samples_as_they_are_are_looked_up(network, toy):
    model = Counting(network())
    sources = (Source("train", toy["train"], Identity()),)
    live = LiveTeachers([Teacher(model)], sources)
    batches = Batches(sources, batch=8, seed=0)
    for step in range(30):
        batch = batches.at(step)
        (logits,), features = live.answer(batch)
        assert features == ()
        assert torch.allclose(logits, model.network(batch.x), atol=1e-6)
    assert model.asked == 72
    assert isinstance(live, Signal)


def test_answers_to_views_and_generated_inputs_are_asked_for_each_time(network, toy):
    model = Counting(network())
    sources = (
        Source("clean", toy["train"], Identity(), 0.5),
        Source("moved", toy["train"], Shift(1), 0.25),
        Generated("noise", lambda rows, generator: torch.rand(rows, 1, 6, 6, generator=generator), 0.25),
    )
    live = LiveTeachers([Teacher(model)], sources)
    batches = Batches(sources, batch=8, seed=0)
    for step in range(5):
        batch = batches.at(step)
        (logits,), _ = live.answer(batch)
        assert torch.allclose(logits, model.network(batch.x), atol=1e-6)
        piece = batch.every(3, 1)
        assert torch.allclose(live.answer(piece)[0][0], model.network(piece.x), atol=1e-6)
    assert model.asked == 72 + 5 * 4 + 5 * len([k for k in range(4, 8) if k % 3 == 1])


@pytest.mark.parametrize("view_seed", [None, 5])
def test_answers_to_finitely_many_views_are_looked_up_for_the_very_pixels(network, toy, view_seed):
    model = Counting(network())
    sources = (Source("moved", toy["train"], Shift(2), view_count=3, view_seed=view_seed),)
    live = LiveTeachers([Teacher(model)], sources, seed=7)
    batches = Batches(sources, batch=8, seed=7)
    for step in range(40):
        batch = batches.at(step)
        (logits,), _ = live.answer(batch)
        assert torch.allclose(logits, model.network(batch.x), atol=1e-6)
    assert model.asked == 3 * 72


@pytest.mark.parametrize(("by", "asked"), [("random", 4 + 8 + 12), ("divergence", 3 * 72)])
def test_of_a_pool_only_what_is_needed_is_answered(network, toy, by, asked):
    """A choice that needs no teacher asks about what was chosen so far, again in each round."""
    model = Counting(network())
    pool = ActiveSpec(by=by, budget=12, rounds=3)
    sources = (Source("pool", toy["train"], Shift(2), view_count=3, active=pool),)
    live = LiveTeachers([Teacher(model)], sources, seed=7)
    rank = Ranking(network(1), live)
    batches = Batches(sources, batch=8, seed=7, steps=30, rank=rank)
    for step in range(30):
        for batch in (batches.at(step), batches.at(step).every(2, 1)):
            (logits,), _ = live.answer(batch)
            assert torch.allclose(logits, model.network(batch.x), atol=1e-6)
    assert model.asked == asked


def test_too_many_answers_are_not_kept(network, toy, monkeypatch):
    monkeypatch.setattr(live_teachers, "LOOKUP_BYTES", 72 * 4 * 4 - 1)
    model = Counting(network())
    sources = (Source("train", toy["train"], Identity()),)
    live = LiveTeachers([Teacher(model)], sources)
    for step in range(3):
        live.answer(Batches(sources, batch=8, seed=0).at(step))
    assert model.asked == 72 + 3 * 8


def test_noisy_answers_are_never_looked_up(network, toy):
    sources = (Source("train", toy["train"], Identity()),)
    live = LiveTeachers([Teacher(network(dropout=0.5), mode="noisy")], sources)
    batch = Batches(sources, batch=8, seed=0).at(0)
    assert not torch.equal(live.answer(batch)[0][0], live.answer(batch)[0][0])


def test_each_teacher_answers_by_itself_or_all_as_one(network, toy):
    sources = (Source("train", toy["train"], Identity()),)
    live = LiveTeachers([Teacher(network(1)), Teacher(network(2))], sources)
    batch = Batches(sources, batch=8, seed=0).at(0)
    (one, two), _ = live.answer(batch)
    assert torch.allclose(one, network(1)(batch.x), atol=1e-6)
    assert torch.allclose(two, network(2)(batch.x), atol=1e-6)
    (mean,), _ = Combined(live, MeanLogits()).answer(batch)
    assert torch.allclose(mean, (one + two) / 2)


def test_features_come_from_the_teachers_that_have_them(network, toy):
    sources = (Source("train", toy["train"], Identity()),)
    deep, shallow = network(1), nn.Sequential(nn.Flatten(), nn.Linear(36, 4))
    live = LiveTeachers([Teacher(deep), Teacher(shallow)], sources, features=["4", "penultimate"])
    batch = Batches(sources, batch=8, seed=0).at(0)
    logits, (first, second) = live.answer(batch)
    assert torch.equal(logits[1], shallow(batch.x).detach())
    assert set(first) == {"4", "penultimate"}
    assert torch.equal(first["penultimate"], deep[:-1](batch.x).detach())
    assert set(second) == {"penultimate"}
    with pytest.raises(UnknownName, match="there is no activation of a teacher 'penultimat'") as caught:
        LiveTeachers([Teacher(deep)], sources, features=["penultimat"])
    assert "did you mean 'penultimate'?" in str(caught.value)
