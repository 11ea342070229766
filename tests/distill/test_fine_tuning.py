"""Layers of a network, decay of the rate with depth, and gradual unfreezing."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import bequest as bq
from bequest.distill.fine_tuning import heights_of, layers_of, start_of
from bequest.distill.recipe import START, Recipe
from bequest.errors import ConfigError
from bequest.models import build_model
from bequest.models.pretrained import Normalised


def rates(model, **options):
    """Each parameter's rate and start."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    groups = Recipe(lr=1.0, **options).build_optimizer(model).param_groups
    return {names[id(p)]: (group["lr"], group[START]) for group in groups for p in group["params"]}


def test_blocks_of_a_residual_network_are_its_layers():
    model = build_model("resnet20", (3, 8, 8), 4, seed=0)
    layers = layers_of(model)
    assert len(layers) == 1 + 9 + 1
    assert layers[0] == ["conv1.weight", "bn1.weight", "bn1.bias"]
    assert layers[-1] == ["linear.weight", "linear.bias"]
    assert sorted(name for layer in layers for name in layer) == sorted(
        name for name, _ in model.named_parameters()
    )


def test_a_wrapped_network_has_the_layers_of_the_network():
    inner = build_model("cnn", (3, 8, 8), 4, seed=0)
    wrapped = Normalised(inner, (0.5,) * 3, (0.5,) * 3)
    assert [[f"network.{n}" for n in layer] for layer in layers_of(inner)] == layers_of(wrapped)


def test_parameters_of_the_whole_count_to_the_first_layer():
    class Prompted(nn.Module):
        def __init__(self):
            super().__init__()
            self.prompt = nn.Parameter(torch.ones(1, 2))
            self.body, self.head = nn.Linear(2, 2), nn.Linear(2, 2)

    assert sorted(n for layer in layers_of(Prompted()) for n in layer) == sorted(
        n for n, _ in Prompted().named_parameters()
    )


def test_the_rate_decays_with_depth_and_rates_multiply_it():
    model = build_model("mlp", (4,), 3, seed=0, hidden=[5, 5])
    found = rates(model, layer_decay=0.5, rates={"5.*": 10.0})
    assert {name: rate for name, (rate, _) in found.items()} == {
        "1.weight": 0.25, "1.bias": 0.25, "3.weight": 0.5, "3.bias": 0.5, "5.weight": 10.0, "5.bias": 10.0,
    }  # fmt: skip


def test_the_head_has_a_rate_of_its_own_unless_a_pattern_fits_it():
    model = build_model("mlp", (4,), 3, seed=0, hidden=[5])
    found = rates(model, head_rate=15.0, rates={"3.bias": 2.0})
    assert {name: rate for name, (rate, _) in found.items()} == {
        "1.weight": 1.0, "1.bias": 1.0, "3.weight": 15.0, "3.bias": 2.0,
    }  # fmt: skip


def test_layers_join_from_the_head_down():
    model = build_model("mlp", (4,), 3, seed=0, hidden=[5, 5])
    found = rates(model, unfreeze=0.6)
    assert {name: start for name, (_, start) in found.items() if "weight" in name} == {
        "1.weight": 0.6, "3.weight": 0.3, "5.weight": 0.0,
    }  # fmt: skip
    assert [start_of(height, 2, 0.6) for height in (0, 1, 2)] == [0.0, 0.3, 0.6]
    assert heights_of(model)["5.bias"] == 0


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_layer_that_has_not_joined_does_not_move(optimizer):
    start = build_model("mlp", (1, 12, 12), 10, seed=0, hidden=[8, 8])
    options = {"optimizer": optimizer, "lr": 0.01, "batch": 64, "epochs": None}
    few = bq.fit(start, "digits", unfreeze=0.9, steps=9, **options)  # joins: .0, 4.05, 8.1
    moved = {
        name: not torch.equal(a, b)
        for (name, a), b in zip(start.named_parameters(), few.model.parameters(), strict=True)
        if "weight" in name
    }
    assert moved == {"1.weight": False, "3.weight": True, "5.weight": True}


def test_weight_decay_leaves_what_has_not_joined():
    start = build_model("mlp", (1, 12, 12), 10, seed=0, hidden=[8])
    found = bq.fit(start, "digits", unfreeze=0.99, steps=3, epochs=None, optimizer="adamw", weight_decay=0.5)
    assert torch.equal(start[1].weight, found.model[1].weight)


def test_a_run_that_resumes_unfreezes_at_the_same_step(tmp_path):
    start = build_model("mlp", (1, 12, 12), 10, seed=0, hidden=[8])
    options = {"epochs": 3, "unfreeze": 0.5, "layer_decay": 0.7, "batch": 64}
    whole = bq.fit(start, "digits", **options)
    with pytest.raises(KeyboardInterrupt):
        interrupted(start, tmp_path / "checkpoint", options)
    again = bq.fit(start, "digits", checkpoint=tmp_path / "checkpoint", **options)
    assert whole.record.weights_digest == again.record.weights_digest


def interrupted(start, checkpoint, options):
    from bequest.distill import trainer

    step, count = trainer.Trainer.step, iter(range(25))

    def stop(self):
        if next(count, None) is None:
            raise KeyboardInterrupt
        step(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer.Trainer, "step", stop)
        bq.fit(start, "digits", checkpoint=checkpoint, **options)


@pytest.mark.parametrize("wrong", [{"layer_decay": 0.0}, {"layer_decay": 1.5}, {"unfreeze": 1.0}])
def test_what_makes_no_sense_is_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        Recipe.parse(wrong, "recipe")
