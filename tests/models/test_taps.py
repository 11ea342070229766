from __future__ import annotations

import pytest
import torch
from torch import nn

from bequest.errors import ModelError, UnknownName
from bequest.models.taps import PENULTIMATE, activations, head_of, known_activations, tapped

from .odd_networks import plain, script

X = torch.rand(7, 5)


class Recurrent(nn.Module):
    """A layer with several outputs, one of them inside of a dictionary."""

    def __init__(self):
        super().__init__()
        self.cells = nn.LSTM(5, 4, batch_first=True)
        self.named = Named()
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        found, _ = self.cells(x[:, None])
        return self.head(self.named(found[:, 0])["value"])


class Named(nn.Module):
    def forward(self, x):
        return {"value": x}


def network():
    return nn.Sequential(
        nn.Linear(5, 6), nn.ReLU(), nn.Dropout(0.5), nn.BatchNorm1d(6), nn.Linear(6, 3)
    ).eval()


def test_the_penultimate_activation_enters_the_last_linear_layer():
    model = network()
    with tapped(model, [PENULTIMATE, "1"]) as caught:
        answer = model(X)
    assert torch.equal(caught["1"], model[1](model[0](X)))
    assert torch.equal(model[4](caught[PENULTIMATE]), answer)
    assert head_of(model) == ("4", model[4])
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_of_several_outputs_the_first_counts():
    model = Recurrent()
    with tapped(model, ["cells"]) as caught:
        model(X)
    assert caught["cells"].shape == (7, 1, 4)


def test_activations_are_gathered_in_eval_mode_and_modes_are_left():
    model = network().train()
    model[3].eval()
    found = activations(model, X, [PENULTIMATE, "0"], batch=3)
    assert model.training
    assert not model[3].training
    with tapped(model.eval(), [PENULTIMATE, "0"]) as caught:
        model(X)
    assert all(torch.allclose(found[name], caught[name], atol=1e-6) for name in caught)
    assert not found["0"].requires_grad


def test_known_names_are_those_that_can_be_tapped():
    model = Recurrent()
    assert known_activations(model) == [PENULTIMATE, "cells", "named", "head"]
    assert known_activations(nn.Sequential(nn.Flatten())) == ["0"]


def test_what_is_not_there_is_refused():
    with (
        pytest.raises(UnknownName, match="there is no activation 'cels'") as caught,
        tapped(Recurrent(), ["cels"]),
    ):
        pass
    assert "did you mean 'cells'?" in str(caught.value)
    with pytest.raises(ModelError, match="the model has no linear layer"):
        head_of(nn.Sequential(nn.Flatten()))
    model = Recurrent()
    with (
        tapped(model, ["named"]),
        pytest.raises(ModelError, match="the activation 'named' is not a tensor") as caught,
    ):
        model(X)
    assert "got:      dict" in str(caught.value)


def test_layers_of_a_torchscript_program_and_layers_that_do_not_run_are_refused():
    with pytest.raises(ModelError, match="TorchScript program cannot be read"):
        activations(script(), torch.ones(2, 4), ["0"])
    model = plain()
    model.forward = lambda x: model[2](model[1](model[0](x)))
    model.unused = nn.Linear(1, 1)
    with pytest.raises(ModelError, match="'unused' does not run"):
        activations(model, torch.ones(2, 4), ["unused"])
