from __future__ import annotations

import copy
import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits
from torch import nn

from bequest.errors import DataError, ModelError
from bequest.measure import (
    along,
    barrier,
    barrier_height,
    function_path,
    interpolated,
    match_weights,
    plane,
    reason_of,
)
from bequest.measure.basins import _mixed


def net(seed: int, *, norm: bool = True) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        middle = [nn.BatchNorm1d(6), nn.Dropout(0.5)] if norm else []
        return nn.Sequential(nn.Linear(4, 6), nn.ReLU(), *middle, nn.Linear(6, 3))


def vector_of(model: nn.Module) -> np.ndarray:
    return torch.cat([p.detach().flatten() for p in model.parameters()]).double().numpy()


def batches(count: int = 3) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(9)
    return [torch.randn(20, 4, generator=generator) for _ in range(count)]


@settings(max_examples=20, deadline=None)
@given(st.floats(-0.5, 1.5))
def test_weights_lie_on_the_line(share):
    a, b = net(0, norm=False), net(1, norm=False)
    found = vector_of(interpolated(a, b, share))
    assert found == pytest.approx((1 - share) * vector_of(a) + share * vector_of(b), abs=1e-6)


def test_ends_are_exact_copies_in_eval_mode_and_nothing_else_changes():
    a, b = net(0), net(1)
    a.train()
    kept = copy.deepcopy(a.state_dict())
    found = interpolated(a, b, 0.0, batches=batches())
    assert not found.training
    assert a.training
    assert all(torch.equal(p, q) for p, q in zip(found.parameters(), a.parameters(), strict=True))
    assert all(torch.equal(kept[name], tensor) for name, tensor in a.state_dict().items())
    assert found[2].momentum == a[2].momentum


def test_batch_norm_statistics_are_those_of_the_interpolated_network():
    a, b = net(0), net(1)
    found = interpolated(a, b, 0.5, batches=batches())
    hidden = [torch.relu(found[0](x)) for x in batches()]
    mean = torch.stack([h.mean(0) for h in hidden]).mean(0)
    variance = torch.stack([h.var(0) for h in hidden]).mean(0)
    assert torch.allclose(found[2].running_mean, mean, atol=1e-6)
    assert torch.allclose(found[2].running_var, variance, atol=1e-6)
    averaged = 0.5 * (a[2].running_mean + b[2].running_mean)
    assert not torch.allclose(found[2].running_mean, averaged, atol=1e-3)


@pytest.mark.parametrize(
    ("given_batches", "error", "message"),
    [
        (None, ModelError, "needs inputs to estimate its statistics"),
        ([], DataError, "there is no batch"),
        (iter(batches()), DataError, "the batches can be read only once"),
        ([(batches()[0], 0)], DataError, "a batch is not a tensor of inputs"),
    ],
)
def test_batch_norm_needs_batches(given_batches, error, message):
    with pytest.raises(error, match=message):
        interpolated(net(0), net(1), 0.5, batches=given_batches)


def test_networks_of_two_kinds_have_nothing_in_between():
    with pytest.raises(ModelError, match="have different architectures"):
        interpolated(net(0), net(0, norm=False), 0.5, batches=batches())
    a, b = net(0, norm=False), net(1, norm=False)
    a.register_buffer("positions", torch.zeros(2))
    b.register_buffer("positions", torch.ones(2))
    with pytest.raises(ModelError, match="the networks differ in the buffer 'positions'"):
        interpolated(a, b, 0.5)


def test_barriers_of_known_losses():
    """A loss of one weight w, between w = -1 and w = 1: (w² − 1)² is 1 in the middle and 0 at both ends."""
    a, b = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
    nn.init.constant_(a.weight, -1.0)
    nn.init.constant_(b.weight, 1.0)
    double_well = barrier(a, b, lambda m: (float(m.weight) ** 2 - 1) ** 2, points=5)
    assert (double_well.height, double_well.at) == (1.0, 0.5)
    assert double_well.losses == pytest.approx([0, 0.5625, 1, 0.5625, 0])
    bowl = barrier(a, b, lambda m: float(m.weight) ** 2)
    assert bowl.height == 0
    slope = barrier(a, b, lambda m: 5 * float(m.weight) + 7)
    assert slope.height == pytest.approx(0, abs=1e-6)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(-5, 5), min_size=2, max_size=9), st.floats(-3, 3), st.floats(-3, 3))
def test_barrier_heights_are_never_negative_and_ignore_slopes(losses, offset, slope):
    shares = np.linspace(0, 1, len(losses))
    height = barrier_height(shares, losses)
    assert height >= 0
    tilted = np.array(losses) + offset + slope * shares
    assert barrier_height(shares, tilted) == pytest.approx(height, abs=1e-9)
    assert barrier_height(1 - shares[::-1], losses[::-1]) == pytest.approx(height, abs=1e-9)


def test_a_loss_that_blows_up_has_no_barrier():
    assert (
        reason_of(barrier_height([0.0, 0.5, 1.0], [1, math.inf, 1])) == "the loss is not finite at share 0.5"
    )
    a = nn.Linear(1, 1)
    found = barrier(a, a, lambda m: math.nan)
    assert reason_of(found.height) == "the loss is not finite at share 0"
    assert reason_of(found.at) == "the loss is not finite at share 0"
    with pytest.raises(DataError, match="points is too small"):
        barrier(a, a, lambda m: 0.0, points=1)
    with pytest.raises(DataError, match="the number of points is too small"):
        barrier_height([0.0], [1.0])


def test_function_similarity_passes_from_one_end_to_the_other():
    a, b = net(0, norm=False), net(1, norm=False)
    x = torch.randn(200, 4, generator=torch.Generator().manual_seed(0))
    found = function_path(a, b, lambda m: m(x).argmax(1), points=5)
    assert found.to_first[0] == found.to_second[-1] == 1
    assert found.to_first[-1] == found.to_second[0] == (a(x).argmax(1) == b(x).argmax(1)).double().mean()
    assert along(a, b, lambda m: m.training, points=2) == [False, False]


def test_the_plane_goes_through_its_three_solutions():
    models = [net(k, norm=False) for k in range(3)]
    target = vector_of(net(7, norm=False))

    def distance(model):
        return float(np.linalg.norm(vector_of(model) - target))

    found = plane(models, distance, steps=4, margin=0.1)
    a, b, c = (vector_of(model) for model in models)
    assert np.linalg.norm(found.corners[2] - found.corners[1]) == pytest.approx(np.linalg.norm(c - b))
    assert np.linalg.norm(found.corners[2]) == pytest.approx(np.linalg.norm(c - a))
    assert found.corners[1].tolist() == pytest.approx([np.linalg.norm(b - a), 0])
    u = (b - a) / np.linalg.norm(b - a)
    v = (c - a) - ((c - a) @ u) * u
    v /= np.linalg.norm(v)
    for i, j in ((0, 0), (3, 1), (2, 3)):
        expected = np.linalg.norm(a + found.x[j] * u + found.y[i] * v - target)
        assert found.losses[i, j] == pytest.approx(expected, rel=1e-5)
    assert found.x[0] < found.corners[:, 0].min()
    assert found.y[-1] > found.corners[:, 1].max()


def test_no_plane_goes_through_one_line():
    a, b = net(0, norm=False), net(1, norm=False)
    middle = _mixed([a, b], [0.5, 0.5], None)
    for models in ([a, b, middle], [a, a, b], [a, a, a]):
        with pytest.raises(ModelError, match="the three networks lie on one line"):
            plane(models, lambda m: 0.0)
    with pytest.raises(ModelError, match="a plane needs three networks"):
        plane([a, b], lambda m: 0.0)


def digits() -> tuple[torch.Tensor, torch.Tensor]:
    data = load_digits()
    return torch.from_numpy(data.data / 16).float(), torch.from_numpy(data.target).long()


def trained(seed: int, x: torch.Tensor, y: torch.Tensor, *, order: int, norm: bool) -> nn.Module:
    """A network initialised by ``seed`` and trained on batches in an order of its own."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        widths = [64, 64, 64, 64]
        layers: list[nn.Module] = []
        for a, b in itertools.pairwise(widths):
            layers += [nn.Linear(a, b), *([nn.BatchNorm1d(b)] if norm else []), nn.ReLU()]
        model = nn.Sequential(*layers, nn.Linear(64, 10))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    generator = torch.Generator().manual_seed(order)
    for _ in range(30):
        for rows in torch.randperm(len(x), generator=generator).split(64):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x[rows]), y[rows]).backward()
            optimizer.step()
    return model.eval()


@pytest.mark.slow
@pytest.mark.parametrize("norm", [False, True])
def test_one_initialisation_shares_a_basin_two_do_not_and_matching_lowers_the_barrier(norm):
    """MLPs on digits, test NLL and answers along the line; the order of batches differs in every run."""
    x, y = digits()
    train, test = slice(0, 1300), slice(1300, None)
    one, sibling, stranger = (
        trained(seed, x[train], y[train], order=order, norm=norm) for seed, order in ((0, 1), (0, 2), (1, 3))
    )

    def loss(model):
        return float(nn.functional.cross_entropy(model(x[test]), y[test]))

    def predict(model):
        return model(x[test]).argmax(1)

    inputs = list(x[train].split(100))
    matched = match_weights(stranger, one).model
    within, across, lowered = (
        barrier(one, m, loss, batches=inputs).height for m in (sibling, stranger, matched)
    )
    assert within < 0.05
    assert across > 0.4
    assert lowered < across / 2
    # In one basin every network between the two answers like both of them.
    joined, parted = (function_path(one, m, predict, batches=inputs) for m in (sibling, stranger))
    assert np.maximum(joined.to_first, joined.to_second).min() > 0.95
    assert np.maximum(parted.to_first, parted.to_second).min() < 0.9
