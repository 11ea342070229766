from __future__ import annotations

import pytest
import torch
from torch import nn

from bequest.errors import ModelError
from bequest.models import build_model
from bequest.models.weights import load_weights, save_weights, weights_digest


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
    with pytest.raises(ModelError, match="cannot be read"):
        load_weights(tmp_path / "none", nn.Linear(1, 1))


def test_a_pickle_is_refused_without_running(tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    torch.save(Trap(), tmp_path / "w.pt")
    with pytest.raises(ModelError, match="cannot be read"):
        load_weights(tmp_path / "w.pt", nn.Linear(1, 1))
    assert not (tmp_path / "ran").exists()
