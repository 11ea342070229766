"""The code of a model card runs without bequest and gives the same answers."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch
from torch import nn

from bequest.errors import ModelError
from bequest.models.catalogue import build_model
from bequest.models.export import loading_code, save_pretrained, save_program
from bequest.models.export.plain_pytorch import needs_program

SHAPE = (3, 8, 8)
X = torch.rand(4, *SHAPE, generator=torch.Generator().manual_seed(0))
WITHOUT_BEQUEST = """
import sys
sys.modules["bequest"] = None  # an import of it would fail
"""


@pytest.mark.parametrize(
    ("family", "options", "program"),
    [
        ("mlp", {"batch_norm": True, "dropout": 0.1, "hidden": [8]}, False),
        ("cnn", {"channels": [4, 4], "dropout": 0.1}, False),
        ("resnet8", {}, True),
        ("vit", {"form": "distilled", "width": 16, "depth": 1}, True),
    ],
)
def test_ten_lines_of_plain_pytorch_give_the_same_answers(family, options, program, tmp_path):
    model = build_model(family, SHAPE, 5, seed=0, **options)
    model(X)  # BatchNorm's statistics are not those of the start
    model.eval()
    save_pretrained(tmp_path, model, family, options, list("abcde"), input_shape=SHAPE)
    assert needs_program(model) is program
    if program:
        save_program(tmp_path, model, X)
    code = loading_code(model)
    assert "bequest" not in code
    assert program or len(code.splitlines()) <= 10 + len(list(model))
    torch.save(X, tmp_path / "x.pt")
    ending = '\nwith torch.no_grad():\n    torch.save(model(torch.load("x.pt")), "logits.pt")\n'
    (tmp_path / "load.py").write_text(WITHOUT_BEQUEST + code + ending)
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    subprocess.run([sys.executable, "load.py"], cwd=tmp_path, check=True, env=environment)
    with torch.no_grad():
        expected = model(X)
    expected = getattr(expected, "logits", expected)
    assert torch.allclose(torch.load(tmp_path / "logits.pt"), expected, atol=1e-6)


def test_a_program_takes_any_number_of_rows(tmp_path):
    model = build_model("resnet8", SHAPE, 5, seed=0).eval()
    program = torch.export.load(save_program(tmp_path, model, X)).module()
    for rows in (X[:1], torch.cat([X, X])):
        assert torch.allclose(program(rows), model(rows), atol=1e-6)


def test_only_chains_of_pytorchs_layers_are_written_out():
    assert not needs_program(nn.Sequential(nn.Flatten(), nn.Linear(4, 2)))
    assert needs_program(build_model("maxout_cnn", SHAPE, 5, seed=0, channels=[16], pools=[1]))
    assert needs_program(nn.Sequential(nn.Sequential(nn.Linear(4, 2))))

    class Chain(nn.Sequential):
        def forward(self, x):
            return super().forward(2 * x)

    assert needs_program(Chain(nn.Linear(4, 2)))


def test_a_network_that_cannot_be_a_program_is_one_message(tmp_path):
    class Branches(nn.Module):
        def forward(self, x):
            return x * 2 if x.sum() > 0 else x

    with pytest.raises(ModelError, match="cannot be exported as a program"):
        save_program(tmp_path, Branches(), X)
    assert not list(tmp_path.iterdir())
