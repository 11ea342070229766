"""What the page on the engine shows is true."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

import bequest as bq
from bequest.distill.recipe import Recipe
from bequest.models.tokens import logits_of

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "engine.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


class Vision(nn.Module):
    """In the style of other libraries: any image size, an output with logits, dropout and BatchNorm."""

    def __init__(self, channels: int = 1) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(channels, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Dropout(0.1))
        self.head = nn.Linear(6, 10)

    def forward(self, pixel_values):
        features = self.body(pixel_values).amax((2, 3))
        return SimpleNamespace(logits=self.head(features))


def small(data):
    """The first samples of each split."""
    return data.with_splits({name: split.take(torch.arange(80)) for name, split in data.splits.items()})


@pytest.fixture
def scope():
    torch.manual_seed(0)
    data = small(bq.load_dataset("digits"))
    train = data["train"]
    loader = [(train.x[k : k + 8], train.y[k : k + 8], train.ids[k : k + 8]) for k in range(0, 80, 8)]
    network = Vision()
    names = {"bq": bq, "torch": torch, "data": data, "pool": data["test"].x.numpy(), "network": network}
    return {**names, "student": Vision(), "teacher": Vision().train(), "loader": loader}


def test_the_teachers_shown_teach(scope):
    code = BLOCKS[0].replace("Teacher(network, name=", "Teacher(wide, name=")
    exec(code, {**scope, "wide": Vision(3)})


def test_the_first_python_of_the_readme_runs(capsys):
    first = re.findall(r"```python\n(.*?)```", README, re.DOTALL)[0]
    exec(first.replace("seed=0", "seed=0, epochs=1"), {})
    assert "accuracy" in capsys.readouterr().out


def transformers_vit() -> nn.Module:
    package = pytest.importorskip("transformers")
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    config = package.ViTConfig(image_size=12, patch_size=4, num_channels=1, num_labels=10, **sizes)
    return package.ViTForImageClassification(config)


def timm_resnet() -> nn.Module:
    return pytest.importorskip("timm").create_model("resnet10t", in_chans=1, num_classes=10)


def torchvision_resnet() -> nn.Module:
    model = pytest.importorskip("torchvision").models.resnet18(num_classes=10)
    model.conv1 = nn.Conv2d(1, 64, 3, bias=False)
    return model


@pytest.mark.parametrize("student", [Vision, transformers_vit, timm_resnet, torchvision_resnet])
def test_a_loop_of_ones_own_is_short_and_learns(scope, student):
    (code,) = (block for block in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if "loader" in block)
    assert sum(bool(line) for line in code.splitlines()) <= 15
    scope["student"] = student()
    teacher, x = scope["teacher"], scope["data"]["train"].x
    before = {name: value.clone() for name, value in teacher.state_dict().items()}

    def gap():
        answers = [
            torch.softmax(logits_of(model.eval()(x)), -1).detach() for model in (scope["student"], teacher)
        ]
        return float((answers[0] - answers[1]).abs().mean())

    first = gap()
    teacher.train()
    exec(code, scope)
    assert teacher.training
    assert all(torch.equal(value, before[name]) for name, value in teacher.state_dict().items())
    assert gap() < first


def test_the_queries_shown_are_asked(scope):
    for block in BLOCKS[1:]:
        exec(block, scope)
    sources = scope["student"].record.config["sources"]
    assert sources[0]["active"] == {"by": "divergence", "budget": 300, "rounds": 2, "temperature": 1.0}


def test_every_field_of_the_recipe_is_named():
    table = PAGE[PAGE.index("| `optimizer`") : PAGE.index("Before the first step")]
    assert set(re.findall(r"`(\w+)`", table)) >= set(Recipe.model_fields)
