from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn

from bequest.errors import ModelError
from bequest.measure import Place, match_weights, permuted, recurrent_units, symmetries_of


def mlp(seed: int, *widths: int) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        layers = [layer for a, b in itertools.pairwise(widths) for layer in (nn.Linear(a, b), nn.ReLU())]
        return nn.Sequential(*layers[:-1])


def cnn(seed: int) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 6, 3), nn.ReLU(),
            nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(24, 10), nn.ReLU(), nn.Linear(10, 3),
        )  # fmt: skip


def encoder(seed: int) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.TransformerEncoderLayer(16, 4, 20, batch_first=True)


@pytest.mark.parametrize(
    ("build", "shape"),
    [(lambda s: mlp(s, 6, 20, 15, 4), (5, 6)), (cnn, (5, 1, 9, 9)), (encoder, (5, 3, 16))],
)
def test_a_shuffled_network_is_put_back_in_order(build, shape):
    model, generator = build(0), torch.Generator().manual_seed(1)
    found = symmetries_of(model)
    orders = {s.name: torch.randperm(s.size, generator=generator) for s in found}
    shuffled = permuted(model, found, orders)
    matched = match_weights(shuffled, model)
    for name, order in orders.items():
        assert torch.equal(matched.orders[name], order.argsort())
    for name, tensor in model.state_dict().items():
        assert torch.equal(matched.model.state_dict()[name], tensor)
    assert matched.after > matched.before
    x = torch.randn(shape, generator=generator)
    assert torch.allclose(matched.model.eval()(x), shuffled.eval()(x), atol=1e-5)


def test_one_hidden_layer_is_solved_exactly():
    """All 720 orders of six units, against the assignment."""
    model, reference = mlp(0, 3, 6, 2), mlp(1, 3, 6, 2)
    found = symmetries_of(model)

    def product(order):
        changed = permuted(model, found, {"0": torch.tensor(order)})
        pairs = zip(changed.state_dict().values(), reference.state_dict().values(), strict=True)
        return float(sum((a.double() * b.double()).sum() for a, b in list(pairs)[:3]))

    best = max(product(order) for order in itertools.permutations(range(6)))
    matched = match_weights(model, reference)
    assert matched.after == pytest.approx(best, abs=1e-6)
    assert matched.before == pytest.approx(product(range(6)), abs=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_matching_never_makes_it_worse_keeps_the_function_and_leaves_its_inputs(seed):
    model, reference = mlp(seed, 5, 12, 9, 3), mlp(seed + 10, 5, 12, 9, 3)
    kept = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    matched = match_weights(model, reference, seed=seed)
    assert matched.after >= matched.before
    x = torch.randn(4, 5, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(matched.model(x), model(x), atol=1e-6)
    assert all(torch.equal(kept[name], tensor) for name, tensor in model.state_dict().items())
    again = match_weights(matched.model, reference, seed=seed)
    assert again.after == pytest.approx(matched.after)
    assert all(torch.equal(order, torch.arange(len(order))) for order in again.orders.values())


def test_networks_that_cannot_be_matched_are_named():
    with pytest.raises(ModelError, match="have different architectures"):
        match_weights(mlp(0, 3, 6, 2), mlp(0, 3, 5, 2))
    with pytest.raises(ModelError, match="no symmetries were given"):
        match_weights(mlp(0, 3, 6, 2), mlp(1, 3, 6, 2), symmetries=())
    with pytest.raises(ModelError, match="no symmetry of Linear follows"):
        match_weights(nn.Linear(2, 2), nn.Linear(2, 2))


def recurrent(seed: int) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.ModuleDict({"states": nn.LSTM(6, 9, 2), "head": nn.Linear(9, 3)})


def test_units_of_a_shuffled_lstm_are_put_back_in_order():
    model, generator = recurrent(0), torch.Generator().manual_seed(1)
    found = recurrent_units("states", model["states"], [Place("head.weight", 1)])
    orders = {s.name: torch.randperm(s.size, generator=generator) for s in found}
    matched = match_weights(permuted(model, found, orders), model, symmetries=found)
    for name, order in orders.items():
        assert torch.equal(matched.orders[name], order.argsort())


@pytest.mark.parametrize("seed", range(8))
def test_units_that_show_twice_in_a_tensor_never_end_less_alike(seed):
    """Recurrent weights alone: a quadratic assignment, whose linear part may point the wrong way."""
    model, reference = recurrent(2 * seed), recurrent(2 * seed + 1)
    found = recurrent_units("states", model["states"], [Place("head.weight", 1)])
    matched = match_weights(model, reference, symmetries=found)
    assert matched.after >= matched.before
    goal = reference.state_dict()
    weights = matched.model.state_dict()
    product = sum(float((weights[name].double() * goal[name].double()).sum()) for name in goal)
    skipped = "head.bias"  # no unit shows there
    product -= float((weights[skipped].double() * goal[skipped].double()).sum())
    assert product == pytest.approx(matched.after, rel=1e-6)
