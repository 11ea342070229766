"""Outputs without a label, beside those of the classes."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import cross_entropy

from bequest.errors import ConfigError, ModelError
from bequest.models.auxiliary import AuxiliaryLogits, auxiliary_of
from bequest.models.catalogue import build_model
from bequest.models.network_checks import check_network
from bequest.models.taps import activations
from bequest.models.tokens import logits_of
from bequest.models.weights import load_weights, save_weights

X = torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(0))
TOKENS = torch.ones(3, 7, dtype=torch.int64)


@pytest.mark.parametrize(
    ("family", "x", "options"),
    [
        ("mlp", X, {}),
        ("cnn", X, {}),
        ("resnet8", X, {}),
        ("vit", X, {"width": 16, "depth": 1}),
        ("lstm", TOKENS, {"vocabulary": 9}),
        ("lstm_lm", TOKENS, {}),
    ],
)
def test_every_family_has_them(family, x, options):
    """They are the last outputs of the same network with so many more classes, to the last bit."""
    model = build_model(family, tuple(x.shape[1:]), 5, seed=0, auxiliary=3, **options).eval()
    wide = build_model(family, tuple(x.shape[1:]), 8, seed=0, **options).eval()
    answer = model(x)
    assert isinstance(answer, AuxiliaryLogits)
    assert torch.equal(torch.cat([logits_of(answer), auxiliary_of(answer)], -1), wide(x))
    assert (logits_of(answer).shape[-1], auxiliary_of(answer).shape[-1]) == (5, 3)
    check_network(model, x, classes=5, learns=True)


def test_labels_leave_the_weights_of_auxiliary_outputs_alone_and_imitation_trains_the_features():
    model = build_model("mlp", (1, 8, 8), 5, seed=0, auxiliary=3)
    head, first = model.network[-1], model.network[1]
    cross_entropy(logits_of(model(X)), torch.tensor([0, 1, 2, 3, 4, 0])).backward()
    assert not head.weight.grad[5:].any()
    assert head.weight.grad[:5].any()
    model.zero_grad()
    auxiliary_of(model(X)).square().mean().backward()
    assert not head.weight.grad[:5].any()
    assert first.weight.grad.any()


def test_they_are_stored_and_share_the_penultimate_activation(tmp_path):
    model = build_model("mlp", (1, 8, 8), 5, seed=0, auxiliary=3, hidden=[7])
    assert activations(model, X)["penultimate"].shape == (6, 7)
    path = save_weights(tmp_path / "w.safetensors", model)
    other = load_weights(path, build_model("mlp", (1, 8, 8), 5, seed=1, auxiliary=3, hidden=[7]))
    assert torch.equal(auxiliary_of(other(X)), auxiliary_of(model(X)))


def test_none_is_the_network_itself():
    plain = build_model("mlp", (1, 8, 8), 5, seed=0)
    none = build_model("mlp", (1, 8, 8), 5, seed=0, auxiliary=0)
    assert type(none) is type(plain)
    assert torch.equal(none(X), plain(X))
    with pytest.raises(ModelError, match="has no auxiliary outputs"):
        auxiliary_of(none(X))


@pytest.mark.parametrize("count", [-1, 1.5, "3", True])
def test_a_number_of_them_that_is_none_is_refused(count):
    with pytest.raises(ConfigError, match="auxiliary: expected a number of outputs"):
        build_model("mlp", (1, 8, 8), 5, seed=0, auxiliary=count)


def test_a_network_with_several_heads_has_no_room_for_them():
    model = build_model("mlp", (1, 8, 8), 5, seed=0, auxiliary=3, tokens=2)
    with pytest.raises(ModelError, match="no room for auxiliary outputs"):
        model(X)
