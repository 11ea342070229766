"""RegNetY: sizes as published, and answers on images."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bequest.errors import ModelError
from bequest.models import build_model, parameter_count


def products(model: nn.Module, shape: tuple[int, ...]) -> float:
    """Multiplications of all convolutions and linear layers for one image."""
    total = [0]

    def count(module, _inputs, output):
        if isinstance(module, nn.Conv2d | nn.Linear):
            total[0] += output[0].numel() * module.weight[0].numel()

    for module in model.modules():
        module.register_forward_hook(count)
    with torch.no_grad():
        model.eval()(torch.zeros(1, *shape, device=next(model.parameters()).device))
    return total[0]


@pytest.mark.parametrize(
    ("name", "millions", "milliards"), [("regnety_032", 19.4, 3.2), ("regnety_040", 20.6, 4.0)]
)
def test_sizes_are_those_of_the_paper(name, millions, milliards) -> None:
    """Radosavovic et al. 2020, table 4: parameters and multiplications at 224×224."""
    with torch.device("meta"):
        model = build_model(name, (3, 224, 224), 1000, seed=0)
    assert round(parameter_count(model) / 1e6, 1) == millions
    assert round(products(model, (3, 224, 224)) / 1e9, 1) == milliards


def test_it_answers_on_images_and_refuses_anything_else() -> None:
    model = build_model("regnety_040", (1, 64, 64), 3, seed=0).eval()
    with torch.no_grad():
        assert model(torch.rand(2, 1, 64, 64)).shape == (2, 3)
    with pytest.raises(ModelError, match="a regnet needs images"):
        build_model("regnety_040", (64,), 3, seed=0)
