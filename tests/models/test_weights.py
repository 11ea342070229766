from __future__ import annotations

import hashlib

import pytest
import safetensors.torch
import torch
from torch import nn

from bequest.errors import ModelError
from bequest.models import build_model
from bequest.models.weights import load_weights, require_dense, save_weights, weights_digest

from .odd_networks import ODD, plain


def test_round_trip(tmp_path):
    model = build_model("mlp", (4,), 2, seed=0)
    path = save_weights(tmp_path / "w.safetensors", model)
    other = load_weights(path, build_model("mlp", (4,), 2, seed=1))
    assert weights_digest(other) == weights_digest(model)


def test_the_digest_sees_parameters_buffers_and_names():
    digests = set()
    for change in (lambda m: None, lambda m: m.running_mean.add_(1), lambda m: m.weight.data.add_(1)):
        model = nn.BatchNorm1d(3)
        change(model)
        digests.add(weights_digest(model))
    digests.add(weights_digest(nn.Sequential(nn.BatchNorm1d(3))))
    assert len(digests) == 4


def test_what_does_not_fit_or_is_damaged_is_named(tmp_path):
    path = save_weights(tmp_path / "w.safetensors", build_model("mlp", (4,), 2, seed=0))
    with pytest.raises(ModelError, match="does not fit"):
        load_weights(path, build_model("mlp", (5,), 2, seed=0))
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ModelError, match="cannot be read"):
        load_weights(path, build_model("mlp", (4,), 2, seed=0))
    with pytest.raises(ModelError, match="cannot be read as safetensors"):
        load_weights(tmp_path / "none", nn.Linear(1, 1))


def test_a_pickle_is_refused_without_running(tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    torch.save(Trap(), tmp_path / "w.pt")
    with pytest.raises(ModelError, match="would run code"):
        load_weights(tmp_path / "w.pt", nn.Linear(1, 1))
    assert not (tmp_path / "ran").exists()


def test_the_digest_of_extra_state_quantised_and_sparse_weights_sees_their_content():
    for kind, change in {
        "extra state": lambda m: m.extra.update(steps=2),
        "sparse": lambda m: setattr(m[0], "weight", nn.Parameter(m[0].weight.detach() * 2)),
        "compressed": lambda m: m[0].weight.data.values().mul_(2),
    }.items():
        model = ODD[kind]()
        before = weights_digest(model)
        assert weights_digest(model) == before
        change(model)
        assert weights_digest(model) != before, kind
    assert weights_digest(ODD["quantised"]()) != weights_digest(ODD["quantised"]())  # other initial weights


def test_the_digest_of_a_dense_network_is_that_of_its_definition():
    model = nn.Linear(2, 1)
    digest = hashlib.sha256()
    for name, shape in (("bias", (1,)), ("weight", (1, 2))):
        digest.update(f"{name}|torch.float32|{shape}|".encode())
        digest.update(safetensors.torch.save({"": model.get_parameter(name).detach()}))
    assert weights_digest(model) == digest.hexdigest()


@pytest.mark.parametrize(
    ("kind", "message"),
    [("extra state", "type dict"), ("sparse", "sparse"), ("lazy", "lazy"), ("meta", "meta device")],
)
def test_what_safetensors_cannot_hold_is_named(tmp_path, kind, message):
    with pytest.raises(ModelError, match=f"cannot be stored as safetensors: .* {message}"):
        save_weights(tmp_path / "w.safetensors", ODD[kind]())
    assert not list(tmp_path.iterdir())


def test_a_network_that_must_be_dense_and_is_not_is_named():
    with pytest.raises(ModelError, match=r"has a parameter without dense values: .* is sparse"):
        require_dense(ODD["sparse"]())


def test_extra_state_without_a_digest_is_named():
    model = ODD["extra state"]()
    model.extra = object()
    with pytest.raises(
        ModelError,
        match="the weights of the network have no digest: _extra_state is extra state of type object",
    ):
        weights_digest(model)


def test_weights_for_a_network_without_memory_are_refused(tmp_path):
    path = save_weights(tmp_path / "w.safetensors", plain())
    with pytest.raises(ModelError, match="no memory for its weights"):
        load_weights(path, ODD["meta"]())


def test_a_header_whose_length_begins_like_a_pickle_is_read(tmp_path):
    """The first byte of a safetensors file is the lowest of its header's length: 0x80 for some."""
    for length in range(1, 200):
        path = save_weights(tmp_path / "w.safetensors", nn.ModuleDict({"a" * length: nn.Linear(1, 1)}))
        if path.read_bytes()[0] == 0x80:
            load_weights(path, nn.ModuleDict({"a" * length: nn.Linear(1, 1)}))
            return
    pytest.fail("no header has such a length")
