"""``bequest distill``: one's own student under one's own teacher, and the warning where it cannot help."""

from __future__ import annotations

import os
import sys

import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from bequest.cli.main import app
from bequest.data.datasets import load_dataset
from bequest.errors import DataError, MissingExtra
from bequest.models import build_model
from bequest.models.weights import save_weights
from bequest.record_files import read_record
from bequest.records import RunRecord, StudyRecord
from bequest.runs.networks import check_classes

pytestmark = pytest.mark.usefixtures("one_worker_here_all_along")

NUMBERS = {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]}


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    """Photographs of two kinds: bright on the left, bright on the right."""
    root = tmp_path_factory.mktemp("images") / "shapes"
    for k, name in enumerate(("left", "right")):
        (root / name).mkdir(parents=True)
        for index in range(15):
            image = Image.new("RGB", (16, 16), (10 * index, 30, 90))
            image.paste((250, 200, 12 * index), (8 * k, 0, 8 * k + 8, 16))
            image.save(root / name / f"{index}.png")
    return root


def run(*arguments):
    return CliRunner().invoke(app, ["distill", *map(str, arguments)], catch_exceptions=False)


@pytest.fixture(scope="module")
def finished(shapes, tmp_path_factory):
    """A run from weights in a file, and what it printed."""
    folder = tmp_path_factory.mktemp("run")
    os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
    save_weights(folder / "w.safetensors", build_model("resnet20", (3, 16, 16), 7, seed=5, **NUMBERS))
    printed = run(
        "--student", f"resnet20:{folder / 'w.safetensors'}",
        "--teacher", "cnn", "--teacher-option", "channels=[4]", "--teacher-option", "pool_after=[]",
        "--data", f"folder:{shapes}", "--data-option", "size=16",
        "--epochs", 1, "--batch", 6, "--workers", 1, "--out", folder / "run",
    )  # fmt: skip
    return folder / "run", printed


@pytest.mark.parametrize(("role", "other"), [("teacher", "student"), ("student", "teacher")])
def test_an_absent_library_is_said_before_any_training(role, other, shapes, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)  # as where it is not installed
    refused = CliRunner().invoke(
        app,
        ["distill", f"--{role}", "timm:resnet18", f"--{other}", "mlp", "--data", f"folder:{shapes}",
         "--data-option", "size=16", "--out", str(tmp_path / "run")],
    )  # fmt: skip
    assert isinstance(refused.exception, MissingExtra)
    assert refused.exception.message == f"--{role}: networks of timm need timm"
    assert not (tmp_path / "run").exists()


def test_a_pretrained_student_is_fine_tuned_beside_its_twin_under_the_teacher(finished):
    folder, printed = finished
    assert printed.exit_code == 0, printed.output
    study = read_record(folder / "study.json", StudyRecord)
    assert [cell.arm for cell in study.cells] == ["teacher", "alone", "taught"]
    assert (folder / "report.html").stat().st_size > 10_000
    records = {
        cell.arm: read_record(folder / "cells" / cell.id / "record.json", RunRecord) for cell in study.cells
    }
    assert "head new (linear.bias, linear.weight)" in records["taught"].start
    assert records["teacher"].start is None
    assert records["taught"].steps == records["alone"].steps
    assert records["taught"].teachers[0].validation["accuracy"] == records["teacher"].selected["accuracy"]
    assert f"cells/{study.cells[2].id}/weights.safetensors" in printed.output


def test_a_teacher_that_is_no_better_is_warned_about_everywhere(finished):
    folder, printed = finished
    study = read_record(folder / "study.json", StudyRecord)
    taught = read_record(folder / "cells" / study.cells[2].id / "record.json", RunRecord)
    accuracy = {
        cell.arm: read_record(folder / "cells" / cell.id / "record.json", RunRecord).selected["accuracy"]
        for cell in study.cells
    }
    assert accuracy["teacher"] <= accuracy["alone"]  # a tiny network of one epoch: else choose another
    assert "no better on the validation split" in taught.warnings[0]
    assert "no better on the validation images" in printed.output
    assert printed.output.index("no better on the validation images") < printed.output.index("taught, seed 0")
    assert "no better on the validation split" in (folder / "report.html").read_text()


def test_a_trained_network_teaches_as_it_is(finished, shapes, tmp_path):
    folder, _ = finished
    printed = run(
        "--student", "cnn", "--student-option", "channels=[4]", "--student-option", "pool_after=[]",
        "--teacher", f"{folder}:alone", "--as-is",
        "--data", f"folder:{shapes}", "--data-option", "size=16",
        "--epochs", 1, "--batch", 6, "--workers", 1, "--out", tmp_path / "run",
    )  # fmt: skip
    assert printed.exit_code == 0, printed.output
    study = read_record(tmp_path / "run" / "study.json", StudyRecord)
    teacher = read_record(tmp_path / "run" / "cells" / study.cells[0].id / "record.json", RunRecord)
    before = read_record(folder / "study.json", StudyRecord).cells[1].id
    trained = read_record(folder / "cells" / before / "record.json", RunRecord)
    assert teacher.steps == 0
    assert teacher.weights_digest == trained.weights_digest


def test_a_trained_teacher_of_other_classes_is_refused_by_name(finished, shapes, tmp_path):
    folder, _ = finished
    other = tmp_path / "other"
    other.mkdir()
    (other / "left").symlink_to(shapes / "left")
    (other / "up").symlink_to(shapes / "right")
    with pytest.raises(DataError) as refused:
        check_classes(f"{folder}:alone", load_dataset(f"folder:{other}", size=16))
    assert "right for up" in str(refused.value)


def test_weights_that_do_not_fit_end_the_cells_with_their_names(shapes, tmp_path):
    torch.save({"conv1.weight": torch.ones(3)}, tmp_path / "odd.pt")
    printed = run(
        "--student", f"resnet20:{tmp_path / 'odd.pt'}", "--teacher", "cnn",
        "--data", f"folder:{shapes}", "--data-option", "size=16",
        "--epochs", 1, "--workers", 1, "--out", tmp_path / "run",
    )  # fmt: skip
    assert printed.exit_code == 3
    assert "does not fit the network" in printed.output
