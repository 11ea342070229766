"""Arms of a run folder as teachers and students, by name."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest

import bequest as bq
from bequest.config import read_toml, to_toml
from bequest.data.datasets import load_dataset
from bequest.distill.run_networks import classes_of_run, network_of_run
from bequest.errors import ConfigError, DataError, InputError, ModelError, UnknownName
from bequest.files import read_sealed, write_sealed
from bequest.models import build_model
from bequest.models.weights import load_weights
from bequest.record_files import read_record
from bequest.records import RunRecord, StudyRecord

QUICK = {"batch": 64, "epochs": 1}


def record_of(run, arm, seed):
    cells = read_record(run / "study.json", StudyRecord).cells
    cell = next(cell for cell in cells if (cell.arm, cell.seed) == (arm, seed))
    return read_record(run / "cells" / cell.id / "record.json", RunRecord)


@pytest.fixture
def run(finished):
    return finished[0] / "run"


@pytest.fixture
def copied(run, tmp_path):
    return shutil.copytree(run, tmp_path / "copied")


@pytest.mark.parametrize(("text", "arm", "seed"), [("cnn", "cnn", 0), ("mlp<-cnn:1", "mlp<-cnn", 1)])
def test_an_arm_of_a_run_teaches_by_its_name(text, arm, seed, run):
    student = bq.distill("mlp", "digits", teachers=[f"{run}:{text}"], **QUICK)
    teacher = student.record.teachers[0]
    assert teacher.digest_before == teacher.digest_after == record_of(run, arm, seed).weights_digest
    assert teacher.arm == text


def test_an_arm_of_a_run_is_trained_further(run, tmp_path):
    student = bq.fit(f"{run}:mlp", "digits", lr=1e-12, **QUICK)
    network = network_of_run(f"{run}:mlp")
    assert (network.family, network.options) == ("mlp", {"hidden": [16]})
    start = load_weights(network.weights, build_model("mlp", (1, 12, 12), 10, seed=9, hidden=[16]))
    for before, after in zip(start.parameters(), student.model.parameters(), strict=True):
        assert (before - after).abs().max() < 1e-6
    assert bq.load(student.save(tmp_path / "mlp")).family == "mlp"


def test_what_is_no_run_is_left_to_the_other_forms_of_names(tmp_path):
    assert network_of_run("mlp:weights.safetensors") is None
    assert classes_of_run("timm:resnet18") is None
    (tmp_path / "study.toml").write_text("name = 'mine'\n")
    with pytest.raises(ModelError, match="holds a study and no trained networks"):
        network_of_run(f"{tmp_path}:cnn")


def test_what_the_run_does_not_have_is_named(run):
    with pytest.raises(UnknownName, match="did you mean 'cnn'"):
        bq.distill("mlp", "digits", teachers=[f"{run}:cn"], **QUICK)
    for seed in ("2", "x", "-1", ""):
        with pytest.raises(ConfigError, match="there are 0 to 1"):
            network_of_run(f"{run}:cnn:{seed}")


@pytest.mark.parametrize("harm", ["weights", "record", "status", "absent"])
def test_a_network_that_is_not_whole_does_not_teach(harm, copied):
    folder = copied / "cells" / record_of(copied, "cnn", 0).id
    if harm == "weights":
        (folder / "weights.safetensors").write_bytes(b"damaged")
    elif harm == "record":
        (folder / "record.json").write_text("{")
    elif harm == "status":
        write_sealed(folder / "record.json", {**read_sealed(folder / "record.json"), "status": "failed"})
    else:
        shutil.rmtree(folder)
    with pytest.raises(ModelError, match=r"cnn, seed 0, of .* is not trained, or its weights are damaged"):
        network_of_run(f"{copied}:cnn")
    assert network_of_run(f"{copied}:cnn:1").family == "cnn"


def test_a_teacher_of_classes_in_another_order_is_refused(run):
    data = load_dataset("digits")
    assert classes_of_run(f"{run}:cnn") == data.classes
    turned = replace(data, classes=(*data.classes[:8], "9", "8"))
    with pytest.raises(InputError, match="order"):
        bq.distill("mlp", turned, teachers=[f"{run}:cnn"], **QUICK)


def test_data_that_is_gone_is_named(copied):
    folder = copied / "cells" / record_of(copied, "cnn", 0).id
    record = read_sealed(folder / "record.json")
    record["config"]["data"] = {"name": "npz:gone.npz"}
    write_sealed(folder / "record.json", record)
    with pytest.raises(DataError, match=r"gone\.npz"):
        bq.distill("mlp", "digits", teachers=[f"{copied}:cnn"], **QUICK)


def test_a_learner_of_the_solvable_model_is_no_network(simulated):
    with pytest.raises(ModelError, match="a learner of the solvable model"):
        network_of_run(f"{simulated[0] / 'run'}:teacher")


def test_files_with_parts_that_a_run_names_are_imported_first(copied):
    content = read_toml(copied / "study.toml")
    for use, message in (([str(copied / "absent.py")], "no such file"), ("parts.py", "a list of Python")):
        (copied / "study.toml").write_text(to_toml({**content, "use": use}))
        with pytest.raises(ConfigError, match=message):
            network_of_run(f"{copied}:cnn")
