"""``bequest export``: a folder that plain PyTorch loads, with a card that says what was inherited."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch
from typer.testing import CliRunner

from bequest.cli.main import app
from bequest.errors import ConfigError, ModelError, RunFolderError, UnknownName
from bequest.models.export import load_pretrained
from bequest.runs.folder import RunFolder
from bequest.studies.datasets import load
from bequest.studies.networks import trained_network


def export(folder, arm, to, *options):
    return CliRunner().invoke(app, ["export", str(folder), arm, "--to", str(to), *options])


@pytest.mark.parametrize("arm", ["mlp<-cnn", "cnn"])
def test_the_folder_loads_without_bequest_and_answers_as_the_network_does(finished, tmp_path, arm):
    root = finished[0] / "run"
    result = export(root, arm, tmp_path / "out", "--seed", "1")
    assert result.exit_code == 0, result.output
    cell = RunFolder(root).plan().cell(arm, 1)
    x = load(cell.training.data)["test"].x[:5]
    with torch.no_grad():
        expected = trained_network(root, cell).eval()(x)
    assert torch.equal(load_pretrained(tmp_path / "out").model(x), expected)
    card = (tmp_path / "out" / "README.md").read_text()
    code = card.split("```python\n")[1].split("```")[0]
    torch.save(x, tmp_path / "x.pt")
    check = f"""
import sys
sys.modules["bequest"] = None  # it cannot be imported
{code}
x = torch.load({str(tmp_path / "x.pt")!r}, weights_only=True)
with torch.no_grad():
    torch.save(model(x), {str(tmp_path / "y.pt")!r})
"""
    subprocess.run([sys.executable, "-c", check], check=True, cwd=tmp_path / "out", timeout=120)
    assert torch.allclose(torch.load(tmp_path / "y.pt", weights_only=True), expected, atol=1e-6)


def test_the_card_names_data_teachers_scores_and_what_was_inherited(finished, tmp_path):
    root = finished[0] / "run"
    assert export(root, "mlp<-cnn", tmp_path / "out").exit_code == 0
    card = (tmp_path / "out" / "README.md").read_text()
    cell = RunFolder(root).plan().cell("mlp<-cnn", 0)
    record = json.loads((root / "cells" / cell.id / "record.json").read_text())
    assert record["teachers"][0]["digest_before"] in card
    assert record["weights_digest"] in card
    assert record["data_digest"] in card
    items = json.loads((root / "measurements.json").read_text())
    (accuracy,) = [
        m for m in items if (m["measure"], m["arm"], m["split"]) == ("accuracy", "mlp<-cnn", "moved")
    ]
    assert f"| accuracy (share right) | moved | {accuracy['value']:.3f} [" in card
    assert "## Inherited" in card
    assert card.startswith("---\nlibrary_name: pytorch\n")


def test_what_cannot_be_exported_is_one_message(finished, tmp_path):
    root = finished[0] / "run"
    assert isinstance(export(root, "mpl", tmp_path / "out").exception, UnknownName)
    assert isinstance(export(root, "mlp", tmp_path / "out", "--seed", "9").exception, ConfigError)
    assert isinstance(export(tmp_path, "mlp", tmp_path / "out").exception, RunFolderError)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("precious")
    refused = export(root, "mlp", tmp_path / "mine")
    assert isinstance(refused.exception, ModelError)
    assert "holds other files" in str(refused.exception)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.tex"]


def test_an_export_may_be_made_again(finished, tmp_path):
    for _ in range(2):
        assert export(finished[0] / "run", "mlp", tmp_path / "out").exit_code == 0
