from __future__ import annotations

import pytest
import torch
from torch import nn

from bequest.distill.objectives.feature_losses import OrthogonalProjector
from bequest.distill.recipe import OPTIMIZERS, Recipe
from bequest.errors import ConfigError, ModelError


def groups(recipe: Recipe, student: nn.Module, learned: nn.Module | None = None):
    return recipe.build_optimizer(student, learned).param_groups


def test_epochs_and_steps():
    assert Recipe(batch=10, epochs=3).total_steps(45) == 12
    assert Recipe(batch=10, epochs=3, steps=7).total_steps(45) == 7
    assert Recipe(batch=10).steps_per_epoch(45) == 4
    assert Recipe(batch=100).steps_per_epoch(45) == 1


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_every_optimizer_takes_a_step(name, network):
    student = network()
    before = student[1].weight.detach().clone()
    optimizer = Recipe(optimizer=name, lr=0.01, weight_decay=0.1).build_optimizer(student)
    student(torch.randn(3, 1, 6, 6)).sum().backward()
    optimizer.step()
    assert not torch.equal(student[1].weight, before)


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd", "adagrad"])
def test_updating_all_at_once_changes_no_number(name, network):
    found = []
    for options in ({}, {"fused": False}):
        student = network()
        optimizer = Recipe(optimizer=name, lr=0.1, weight_decay=0.1, options=options).build_optimizer(student)
        for _ in range(3):
            student(torch.randn(3, 1, 6, 6, generator=torch.Generator().manual_seed(0))).sum().backward()
            optimizer.step()
        found.append(student[1].weight.detach())
    assert torch.allclose(*found, atol=1e-5)


def test_only_matrices_decay_and_only_as_much_as_was_asked(network):
    student = network(batch_norm=True)
    for decay in (0.0, 0.3):
        by_size = {
            tuple(p.shape): group["weight_decay"]
            for group in groups(Recipe(optimizer="adamw", weight_decay=decay), student)
            for p in group["params"]
        }
        assert by_size == {tuple(p.shape): decay if p.ndim > 1 else 0.0 for p in student.parameters()}


def test_rates_are_factors_and_the_first_pattern_counts(network):
    student = network()
    recipe = Recipe(lr=0.01, rates={"4.bias": 3.0, "4.*": 10.0, "1.*": 0.0})
    names = {id(parameter): name for name, parameter in student.named_parameters()}
    rates = {names[id(p)]: group["lr"] for group in groups(recipe, student) for p in group["params"]}
    assert rates == pytest.approx({"3.weight": 0.01, "3.bias": 0.01, "4.weight": 0.1, "4.bias": 0.03})


def test_an_objectives_parameters_have_rates_too(network):
    found = groups(Recipe(lr=0.01, rates={"objective.*": 0.5}), network(), OrthogonalProjector(3, 4))
    assert {group["lr"] for group in found} == {0.01, 0.005}


def test_frozen_parameters_stay_out(network):
    student = network()
    student[1].requires_grad_(False)
    trained = [p for group in groups(Recipe(), student) for p in group["params"]]
    assert len(trained) == 4


@pytest.mark.parametrize(
    ("recipe", "fault"),
    [
        ({"rates": {"haed.*": 2.0}}, r"rates: 'haed\.\*' matches no parameter; did you mean 'head.bias'\?"),
        ({"rates": {"body": 2.0}}, "rates: 'body' matches no parameter; there are head.bias, head.weight$"),
        ({"rates": {"*": 0.0}}, "rates: no parameter is left to train"),
        ({"options": {"momentun": 0.9}}, "options: adam rejects them: .*momentun"),
    ],
)
def test_optimizers_that_cannot_be_built(recipe, fault):
    student = nn.Sequential()
    student.add_module("head", nn.Linear(2, 2))
    with pytest.raises(ConfigError, match=fault):
        Recipe(**recipe).build_optimizer(student)


@pytest.mark.parametrize(
    ("recipe", "fault"),
    [
        ({"optimizer": "adamm"}, "optimizer: there is no optimizer 'adamm'; known: adagrad, adam"),
        ({"epochs": None}, "give epochs or steps"),
        ({"batch": 10, "accumulate": 3}, "batch 10 is not a multiple of accumulate 3"),
        ({"options": {"lr": 1.0}}, "options: lr and weight_decay have their own fields"),
        ({"rates": {"a": -1.0}}, "rates.a: input should be greater than or equal to 0"),
        ({"schedule": "cosin"}, "schedule: there is no schedule 'cosin'; did you mean 'cosine'"),
        ({"ema": 1.0}, "ema: input should be less than 1"),
        ({"clip": 0}, "clip: input should be greater than 0"),
        ({"precision": "int8"}, "precision: input should be 'float32', 'bf16' or 'fp16'"),
        ({"lr": float("nan")}, "lr: input should be"),
        ({"learning_rate": 1.0}, "learning_rate: unknown key"),
    ],
)
def test_faults_of_a_recipe(recipe, fault):
    with pytest.raises(ConfigError) as caught:
        Recipe.parse(recipe, "recipe")
    assert fault in str(caught.value)


def test_a_recipe_survives_being_written_down():
    recipe = Recipe(schedule={"name": "warmup_cosine", "warmup": 0.1}, rates={"head.*": 2.0}, steps=5)
    assert Recipe.parse(recipe.plain(), "recipe") == recipe


def test_a_student_with_sparse_gradients_is_refused():
    student = nn.Sequential(nn.Embedding(5, 3, sparse=True), nn.Flatten(), nn.Linear(6, 2))
    with pytest.raises(ModelError, match="a student with sparse gradients cannot be trained") as caught:
        Recipe().build_optimizer(student)
    assert "sparse=True in '0'" in str(caught.value)
    student[0].sparse = False
    assert Recipe().build_optimizer(student)


def test_a_batch_that_no_memory_holds_is_refused():
    with pytest.raises(ConfigError, match="batch: input should be less than or equal to 16777216"):
        Recipe.parse({"batch": 10**12}, "recipe")
