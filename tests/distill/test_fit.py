from __future__ import annotations

import copy
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

import bequest as bq
from bequest.data.generators import Normal
from bequest.data.queries import ActiveSpec, Generated, Source
from bequest.data.views import Identity, Shift
from bequest.distill import fit as fitting
from bequest.distill.adapters import parse_adapter
from bequest.distill.checkpoint import CheckpointIgnored
from bequest.distill.combine import MeanLogits
from bequest.distill.fit import as_teacher
from bequest.distill.fitted import Fitted
from bequest.distill.objectives import KD
from bequest.distill.online import OnlineTeacher
from bequest.distill.recipe import Recipe
from bequest.distill.teachers import Teacher
from bequest.errors import ConfigError, InputError, ObjectiveError
from bequest.models.weights import weights_digest

QUICK = {"batch": 12, "epochs": 2}


def state(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def unchanged(model, before):
    return all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_a_network_is_copied_and_trained(network, toy):
    given = network(1)
    before = state(given)
    fitted = bq.fit(given, toy, batch=12, epochs=30, lr=0.01)
    assert unchanged(given, before)
    assert isinstance(fitted, Fitted)
    assert fitted.score("validation") == pytest.approx(
        {name: fitted.record.last[name] for name in ("accuracy", "nll")}
    )
    assert fitted.score(toy["train"])["accuracy"] > 0.8
    assert torch.equal(fitted.logits(toy["test"].x), fitted.model(toy["test"].x).detach())
    assert fitted.record.config["recipe"]["epochs"] == 30
    assert fitted.record.config["objective"] == {"name": "cross_entropy", "smoothing": 0.0}
    assert len(fitted.history) == 31


def test_distilling_is_the_package_and_the_function(network, toy):
    teacher = bq.fit(network(2), toy, **QUICK)
    one = bq.distill(network(1), toy, teachers=[teacher], seed=3, **QUICK)
    other = fitting.distill(network(1), toy, teachers=[teacher], seed=3, **QUICK)
    assert one.record.weights_digest == other.record.weights_digest
    assert one.record.teachers[0].arm == teacher.record.arm


@pytest.mark.parametrize("kind", ["network", "noisy", "online", "adapted"])
def test_whoever_teaches_is_left_as_it_was(kind, network, toy):
    model = network(2, dropout=0.5, batch_norm=True).train()
    model[2].eval()
    before = state(model)
    teacher = {
        "network": lambda: model,
        "noisy": lambda: Teacher(model, mode="noisy"),
        "online": lambda: OnlineTeacher(model),
        "adapted": lambda: Teacher(
            model, adapter=parse_adapter({"name": "normalise", "mean": [0.1], "std": [2.0]})
        ),
    }[kind]()
    fitted = bq.distill(network(1), toy, teachers=[teacher], **QUICK)
    assert unchanged(model, before)
    if kind == "network":
        assert model.training
        assert not model[2].training
    modes = {"noisy": "noisy", "online": "online"}
    assert fitted.record.teachers[0].mode == modes.get(kind, "eval")


def test_a_teacher_of_the_callers_stays_a_teacher(network, toy):
    model = network(2, dropout=0.5).train()
    teacher = Teacher(model)
    for _ in range(2):
        bq.distill(network(1), toy, teachers=[teacher], **QUICK)
    teacher.verify()
    teacher.release()
    assert model.training


def test_modes_come_back_also_when_a_run_fails(network, toy):
    first, second = network(2).train(), network(3).train()
    with pytest.raises(ObjectiveError):
        bq.distill(network(1), toy, teachers=[first, second, first], objective=KD(), **QUICK)
    assert first.training
    assert second.training


def test_labels_are_shown_to_those_who_need_them_only(network, toy):
    free = bq.distill(network(1), toy, teachers=[network(2)], **QUICK)
    mixed = bq.distill(network(1), toy, teachers=[network(2)], objective=KD(label_weight=0.5), **QUICK)
    assert free.record.config["sources"][0]["labels"] is False
    assert mixed.record.config["sources"][0]["labels"] is True
    assert set(free.history[-1]) == {"epoch", "step", "loss", "kd", "accuracy", "nll"}
    assert "cross_entropy" in mixed.history[-1]


def test_several_teachers_become_one(network, toy):
    teachers = [network(2), network(3)]
    both = bq.distill(network(1), toy, teachers=teachers, combine=MeanLogits(), **QUICK)
    alone = bq.distill(network(1), toy, teachers=teachers, combine=MeanLogits([1.0, 0.0]), **QUICK)
    first = bq.distill(network(1), toy, teachers=teachers[:1], **QUICK)
    assert [teacher.arm for teacher in both.record.teachers] == ["teacher 0", "teacher 1"]
    assert alone.record.weights_digest == first.record.weights_digest != both.record.weights_digest


def test_queries_may_be_arrays_data_generators_or_mixtures(network, toy):
    def noise(rows, generator):
        return torch.randn(rows, 1, 6, 6, generator=generator)

    pool = np.random.default_rng(0).normal(size=(50, 1, 6, 6))
    mixture = [
        Source("clean", toy["train"], Identity(), 0.5),
        Source("pool", toy["test"].unlabelled(), Shift(1), 0.25),
        Generated("noise", noise, 0.25),
    ]
    active = ActiveSpec(budget=20, rounds=2)
    cases = {
        "pool": {"queries": pool},
        "split": {"queries": toy["test"], "views": Shift(1)},
        "dataset": {"queries": toy, "views": Shift(1), "view_count": 2, "active": active},
        "generator": {"queries": noise},
        "named generator": {"queries": Normal(clip=True)},
        "source": {"queries": Source("only", toy["train"], Identity())},
        "mixture": {"queries": mixture, "objective": KD(label_weight=0.5)},
    }
    digests = {}
    for name, options in cases.items():
        fitted = bq.distill(network(1), toy, teachers=[network(2)], **options, **QUICK)
        digests[name] = fitted.record.weights_digest
    assert len(set(digests.values())) == len(cases)
    named = bq.distill(network(1), toy, teachers=[network(2)], queries=Normal(clip=True), **QUICK)
    assert named.record.asked == {"teacher 0": named.record.steps * named.record.config["recipe"]["batch"]}
    assert named.record.config["sources"][0]["generate"] == Normal(clip=True).spec()
    shares = [source["share"] for source in fitted.record.config["sources"]]
    assert shares == [0.5, 0.25, 0.25]


def test_views_and_choices_belong_to_sources(network, toy):
    mixture = [Source("clean", toy["train"], Identity())]
    for options in ({"views": Shift(1)}, {"active": ActiveSpec(budget=8)}):
        for queries in (mixture, lambda rows, generator: torch.zeros(rows, 1, 6, 6)):
            with pytest.raises(InputError, match="these queries cannot be combined with views or active"):
                bq.distill(network(1), toy, teachers=[network(2)], queries=queries, **options, **QUICK)


def test_teachers_or_a_signal_but_not_both(network, toy):
    with pytest.raises(InputError, match="distill got no teacher") as caught:
        bq.distill(network(1), toy)
    assert "expected: teachers=[...], or signal=STORE" in str(caught.value)
    with pytest.raises(InputError, match="distill got both teachers and a signal"):
        bq.distill(network(1), toy, teachers=[network(2)], signal=lambda batch: None)
    with pytest.raises(InputError, match="the signal is not a store"):
        bq.distill(network(1), toy, signal="signals")


def test_options_are_fields_of_the_recipe(network, toy):
    recipe = Recipe(batch=12, lr=0.5, schedule={"name": "linear"})
    fitted = bq.fit(network(1), toy, recipe=recipe, steps=3)
    assert fitted.record.config["recipe"] == recipe.model_copy(update={"steps": 3}).plain()
    with pytest.raises(ConfigError, match=r"epoch: unknown key; did you mean 'epochs'\?"):
        bq.fit(network(1), toy, epoch=3)


def test_a_run_goes_on_from_its_file_and_from_no_others(network, toy, tmp_path):
    path = tmp_path / "state.pt"
    whole = bq.fit(network(1), toy, checkpoint=path, **QUICK)
    assert path.exists()
    again = bq.fit(network(1), toy, checkpoint=path, **QUICK)
    assert again.record.weights_digest == whole.record.weights_digest
    assert again.history == whole.history
    with pytest.warns(CheckpointIgnored, match="belongs to another run"):
        other = bq.fit(network(1), toy, checkpoint=path, batch=12, epochs=3)
    assert other.record.weights_digest == bq.fit(network(1), toy, batch=12, epochs=3).record.weights_digest


def test_students_by_name_start_from_the_seed(toy):
    found = [bq.fit("mlp", toy, seed=seed, **QUICK).record for seed in (0, 0, 1)]
    digests = [record.weights_digest for record in found]
    assert digests[0] == digests[1] != digests[2]
    assert found[0].arm == "mlp"


def test_models_in_the_style_of_other_libraries(network, toy):
    class Transformers(nn.Module):
        """Takes ``pixel_values`` and answers with an object that has logits."""

        def __init__(self):
            super().__init__()
            self.vit = network(1)

        def forward(self, pixel_values, labels=None):
            return SimpleNamespace(loss=None, logits=self.vit(pixel_values))

    plain = bq.distill(network(1), toy, teachers=[network(2)], **QUICK)
    dressed = bq.distill(Transformers(), toy, teachers=[Transformers()], **QUICK)
    assert dressed.record.arm == "transformers"
    same = bq.distill(Transformers(), toy, teachers=[network(2)], **QUICK)
    assert torch.equal(same.model.vit[1].weight, plain.model[1].weight)


def test_as_teacher_keeps_names(network, toy):
    fitted = bq.fit(network(1), toy, **QUICK)
    assert as_teacher(fitted).name == fitted.record.arm
    assert as_teacher(network(1), 2).name == "teacher 2"
    made = Teacher(network(1))
    assert as_teacher(made) is made


def test_random_state_is_left_alone(network, toy):
    student, teacher = network(1, dropout=0.5), copy.deepcopy(network(2))
    torch.manual_seed(5)
    before = torch.get_rng_state()
    bq.fit("mlp", toy, **QUICK)
    bq.distill(student, toy, teachers=[Teacher(teacher, mode="noisy")], views=Shift(1), **QUICK)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_record_is_of_the_kept_weights(network, toy):
    fitted = bq.fit(network(1), toy, batch=12, epochs=6, lr=0.3, select="accuracy", ema=0.5)
    assert fitted.record.weights_digest == weights_digest(fitted.model)
    assert fitted.score("validation")["accuracy"] == pytest.approx(fitted.record.selected["accuracy"])
