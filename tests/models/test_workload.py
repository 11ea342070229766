"""Operations and memory against counts made by hand."""

from __future__ import annotations

import torch
from torch import nn

from bequest.models import build_model
from bequest.models.workload import workload_of


def test_products_of_a_dense_network_are_counted():
    model = build_model("mlp", (1, 4, 4), 3, seed=0, hidden=[8])
    found = workload_of(model, torch.ones(5, 1, 4, 4))
    assert found.flops == 2 * (16 * 8 + 8 * 3)
    assert found.parameters == found.state == 16 * 8 + 8 + 8 * 3 + 3


def test_products_of_a_convolution_are_counted():
    model = nn.Sequential(nn.Conv2d(2, 3, 3), nn.Flatten())
    assert workload_of(model, torch.ones(2, 2, 6, 6)).flops == 2 * 9 * 2 * 3 * 4 * 4


def test_a_recurrence_is_counted_step_by_step():
    """Four gates, each reading input and state, at each of seven words and in each of two layers."""
    found = workload_of(nn.LSTM(8, 16, 2, batch_first=True), torch.ones(2, 7, 8))
    assert found.flops == 2 * 7 * 4 * 16 * ((8 + 16) + (16 + 16))


def test_attention_is_counted():
    """Projections (4nd²), scores and sums (2n²d), two layers of the feed-forward part, for n = 5."""
    layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
    found = workload_of(layer, torch.ones(2, 5, 16))
    assert found.flops == 2 * (4 * 5 * 16 * 16 + 2 * 5 * 5 * 16 + 2 * 5 * 16 * 32)


def test_what_is_kept_for_the_backward_pass_grows_with_the_rows_alone():
    model = nn.Sequential(nn.Linear(10, 20), nn.Tanh(), nn.Linear(20, 3))
    few, many = (workload_of(model, torch.ones(rows, 10)) for rows in (2, 64))
    assert few == many
    assert few.saved == 4 * (10 + 20)


def test_the_model_is_left_as_it_was():
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout()).eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    workload_of(model, torch.rand(8, 4, generator=torch.Generator().manual_seed(0)))
    assert torch.equal(torch.rand(1), expected)
    assert not model.training
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in before.items())
    assert all(parameter.grad is None for parameter in model.parameters())
