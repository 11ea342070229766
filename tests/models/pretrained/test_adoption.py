"""Pretrained weights in a network: names mapped, the head replaced, the rest listed."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import nn

from bequest.errors import ModelError
from bequest.models.pretrained.adoption import adopt
from bequest.models.pretrained.weights_file import PretrainedWeights
from bequest.models.resnet import resnet


def network(classes=3, *, seed=0, extra=False):
    torch.manual_seed(seed)
    layers = [nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), *([nn.Linear(8, 8)] if extra else [])]
    return nn.Sequential(*layers, nn.Linear(8, classes))


def weights_of(model, **changed):
    state = {name: value.clone() for name, value in model.state_dict().items()}
    return PretrainedWeights({**state, **changed}, "there")


def test_the_backbone_is_taken_up_and_the_head_is_new():
    source, student = network(10), network(3, seed=1)
    head = student[3].weight.clone()
    found = adopt(student, weights_of(source))
    assert torch.equal(student[0].weight, source[0].weight)
    assert torch.equal(student[3].weight, head)
    assert found.replaced == ("3.bias", "3.weight")
    assert (found.missing, found.unexpected) == ((), ())
    assert "head new" in str(found)


def test_the_head_too_where_it_is_asked_for():
    source, student = network(3), network(3, seed=1)
    adopt(student, weights_of(source), keep_head=True)
    x = torch.randn(5, 4)
    assert torch.equal(source.eval()(x), student.eval()(x))
    with pytest.raises(ModelError, match=r"3.weight \(2, 8\), not \(3, 8\)"):
        adopt(network(2), weights_of(source), keep_head=True)


def test_prefixes_wrappers_and_names_are_mapped():
    source = network(3)
    wrapped = {f"module.encoder.{n.replace('0.', 'fc.', 1)}": v for n, v in source.state_dict().items()}
    student = network(3, seed=1)
    adopt(
        student,
        PretrainedWeights({**wrapped, "module.decoder.x": torch.ones(99)}, "there"),
        prefix="encoder.",
        rename={"fc.": "0."},
        keep_head=True,
    )
    assert all(torch.equal(a, b) for a, b in zip(source.parameters(), student.parameters(), strict=True))


def test_what_is_missing_or_left_over_is_refused_above_the_share_and_listed():
    student = network(3, seed=1)
    before = {name: value.clone() for name, value in student.state_dict().items()}
    state = dict(network(3).state_dict())
    del state["1.weight"]
    with pytest.raises(ModelError) as refused:
        adopt(student, PretrainedWeights(state, "there"))
    assert "1.weight" in str(refused.value)
    assert all(torch.equal(before[name], value) for name, value in student.state_dict().items())
    share = 8 / (32 + 8 + 4 * 8 + 1)  # BatchNorm's weights of the first layers' numbers
    with pytest.raises(ModelError):
        adopt(student, PretrainedWeights(state, "there"), tolerance=share - 0.01)
    found = adopt(student, PretrainedWeights(state, "there"), tolerance=share + 0.01)
    assert found.missing == ("1.weight",)
    assert found.missing_share == pytest.approx(share)


def test_left_over_weights_count_too():
    with pytest.raises(ModelError, match="left over") as refused:
        adopt(network(3), weights_of(network(3), aux=torch.ones(500)))
    assert "aux" in str(refused.value)
    found = adopt(network(3), weights_of(network(3), aux=torch.ones(500)), tolerance=0.9)
    assert found.unexpected == ("aux",)


def test_weights_of_something_else_are_refused_whatever_the_tolerance():
    with pytest.raises(ModelError, match="does not fit"):
        adopt(network(3), PretrainedWeights({"a": torch.ones(2)}, "there"), tolerance=1.0)


def test_the_normalisation_must_be_that_of_the_weights():
    plain = resnet((3, 8, 8), 3, depth=8)
    own = resnet((3, 8, 8), 3, depth=8, mean=(0.1, 0.1, 0.1), std=(0.2, 0.2, 0.2))
    weights = PretrainedWeights(dict(own.state_dict()), "there", (0.1, 0.1, 0.1), (0.2, 0.2, 0.2))
    with pytest.raises(ModelError, match="normalisation") as refused:
        adopt(plain, weights)
    assert "mean = [0.1, 0.1, 0.1]" in str(refused.value)
    adopt(resnet((3, 8, 8), 5, depth=8, mean=(0.1, 0.1, 0.1), std=(0.2, 0.2, 0.2)), weights)


def test_counters_and_normalisation_that_a_file_lacks_do_not_count():
    own = resnet((3, 8, 8), 3, depth=8, mean=(0.1, 0.1, 0.1), std=(0.2, 0.2, 0.2))
    state = {n: v for n, v in own.state_dict().items() if "normalise" not in n and "tracked" not in n}
    assert adopt(own, PretrainedWeights(state, "there")).missing == ()


def test_compiled_and_parallel_networks_are_filled_as_the_network_inside():
    source = network(3)
    for wrap in (torch.compile, nn.DataParallel):
        student = network(3, seed=1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what torch.compile imports warns of its own past
            wrapped = wrap(student)
        adopt(wrapped, weights_of(source), keep_head=True)
        assert torch.equal(student[0].weight, source[0].weight)
