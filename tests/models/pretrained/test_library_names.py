"""Networks of timm, torchvision and transformers by name, in Python, in TOML and on the command line.

Each name stands for tiny random weights on this disk, where the library itself would look for them.
"""

from __future__ import annotations

import json
import os
import warnings
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import bequest as bq
from bequest.cli.main import app
from bequest.errors import ModelError
from bequest.models.pretrained.torchvision_import import import_torchvision, prepare_torchvision
from bequest.records import RunRecord, StudyRecord, read_record

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

SIZE = 32
TORCHVISION = "shufflenet_v2_x0_5"  # the smallest that torchvision has weights for


def timm_folder(folder):
    import timm
    from timm.models import save_for_hf

    save_for_hf(timm.create_model("resnet10t", num_classes=4), folder, safe_serialization=True)
    return f"timm:local-dir:{folder}"


def torchvision_cache(folder):
    """A file of weights where torchvision keeps those that it has fetched."""
    models = import_torchvision().models
    url = models.get_model_weights(TORCHVISION).DEFAULT.url
    checkpoints = folder / "hub" / "checkpoints"
    checkpoints.mkdir(parents=True)
    torch.save(models.get_model(TORCHVISION).state_dict(), checkpoints / url.rpartition("/")[2])
    os.environ["TORCH_HOME"] = str(folder)
    return f"torchvision:{TORCHVISION}"


def transformers_folder(folder):
    import transformers

    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    config = transformers.ViTConfig(**sizes, image_size=SIZE, patch_size=8, num_labels=7)
    transformers.ViTForImageClassification(config).save_pretrained(folder)
    preset = {"image_processor_type": "ViTImageProcessor", "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    (folder / "preprocessor_config.json").write_text(json.dumps(preset))
    return f"transformers:{folder}"


WRITERS = {"timm": timm_folder, "torchvision": torchvision_cache, "transformers": transformers_folder}


@pytest.fixture(scope="module", params=list(WRITERS))
def name(request, tmp_path_factory):
    """A network of each library, by its name."""
    if find_spec(request.param) is None:
        pytest.skip(f"{request.param} is not installed")
    home = os.environ.get("TORCH_HOME")
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        prepare_torchvision()
        yield WRITERS[request.param](tmp_path_factory.mktemp(request.param))
    if home is None:
        os.environ.pop("TORCH_HOME", None)
    else:
        os.environ["TORCH_HOME"] = home


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Images that are bright on the left or on the right, in a file."""
    path = tmp_path_factory.mktemp("data") / "halves.npz"
    y = np.arange(40) % 2
    x = np.random.default_rng(0).random((40, 3, SIZE, SIZE)).astype(np.float32) / 2
    for index, side in enumerate(y):
        x[index, :, :, side * SIZE // 2 : (side + 1) * SIZE // 2] += 0.5
    np.savez(path, x=x, y=y)
    return f"npz:{path}"


def test_in_python_a_name_is_a_student_and_once_trained_a_teacher(name, data):
    trained = bq.fit(name, data, epochs=1, batch=8)
    assert trained.family == name.partition(":")[0]
    student = bq.distill(name, data, teachers=[trained], epochs=1, batch=8)
    assert student.record.teachers[0].digest_before == trained.record.weights_digest
    with pytest.raises(ModelError, match="has parameters that nobody has trained"):
        bq.distill("mlp", data, teachers=[name], epochs=1, batch=8)  # its head is new


def test_in_a_study(name, data, tmp_path):
    study = {
        "name": "named", "title": "Named", "question": "Does it run?", "seeds": 1, "data": {"name": data},
        "recipe": {"epochs": 1, "batch": 8}, "models": {"named": {"network": name}},
        "splits": {"test": {"description": "held out"}}, "arms": {"named": {"student": "named"}},
        "scales": {"small": {}},
    }  # fmt: skip
    result = bq.run(study, out=tmp_path / "run", workers=1)
    assert result.failed == ()
    cell = result.study.cells[0]
    record = read_record(tmp_path / "run" / "cells" / cell.id / "record.json", RunRecord)
    assert record.config["student"]["family"] == name.partition(":")[0]
    taught = bq.distill("mlp", data, teachers=[f"{tmp_path / 'run'}:named"], epochs=1, batch=8)
    assert taught.record.teachers[0].digest_before == record.weights_digest


def test_on_the_command_line(name, data, tmp_path):
    arguments = ["--student", name, "--teacher", "cnn", "--data", data, "--epochs", "1", "--batch", "8"]
    small = ["--teacher-option", "channels=[4]", "--teacher-option", "pool_after=[]"]
    where = ["--workers", "1", "--out", str(tmp_path / "run")]
    ended = CliRunner().invoke(app, ["distill", *arguments, *small, *where], catch_exceptions=False)
    assert ended.exit_code == 0, ended.output
    study = read_record(tmp_path / "run" / "study.json", StudyRecord)
    assert [cell.status for cell in study.cells] == ["done"] * 3
