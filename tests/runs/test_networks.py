"""Networks named in a line of text, those of a run among them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bequest.data.datasets import load_dataset
from bequest.errors import ConfigError, DataError, ModelError, UnknownName
from bequest.models import build_model
from bequest.models.weights import save_weights, weights_digest
from bequest.record_files import read_record
from bequest.records import RunRecord
from bequest.runs.folder import RunFolder
from bequest.runs.networks import cell_named, check_classes, load_named, network_table, with_named_networks
from bequest.runs.planning import planned
from bequest.studies.cell import cell_folder

NUMBERS = {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]}


def test_weights_of_a_file_bring_their_normalisation(tmp_path):
    save_weights(tmp_path / "w.safetensors", build_model("resnet20", (3, 8, 8), 7, seed=0, **NUMBERS))
    table = network_table(f"resnet20:{tmp_path / 'w.safetensors'}")
    assert table["options"] == NUMBERS
    assert table["start"] == {"weights": str(tmp_path / "w.safetensors")}
    other = network_table(f"resnet20:{tmp_path / 'w.safetensors'}", {"mean": [0.1, 0.1, 0.1]})
    assert other["options"] == {**NUMBERS, "mean": [0.1, 0.1, 0.1]}


@pytest.mark.parametrize(
    ("text", "family", "options"),
    [
        ("timm:resnet18.a1_in1k", "timm", {"network": "resnet18.a1_in1k"}),
        ("transformers:google/vit", "transformers", {"network": "google/vit"}),
        ("efficientnet_lite:2", "efficientnet_lite", {"variant": 2}),
        ("mlp", "mlp", {}),
    ],
)
def test_networks_are_named(text, family, options):
    assert network_table(text) == {"family": family, "options": options}
    assert network_table(text, {"extra": 1})["options"] == {**options, "extra": 1}


def test_what_names_no_network_is_refused(tmp_path):
    with pytest.raises(UnknownName, match="there is no model"):
        network_table("resnet99")
    with pytest.raises(ModelError, match="do not exist"):
        network_table(f"mlp:{tmp_path / 'none.pt'}")


def test_a_cell_of_a_run_is_named_by_arm_and_seed(finished):
    run = finished[0] / "run"
    plan = RunFolder(run).plan()
    assert cell_named(f"{run}:cnn") == (run, plan.cell("cnn", 0))
    assert cell_named(f"{run}:mlp<-cnn:1") == (run, plan.cell("mlp<-cnn", 1))
    assert cell_named("mlp:weights.pt") is None
    with pytest.raises(UnknownName, match="did you mean 'cnn'"):
        cell_named(f"{run}:cn")
    for seed in ("2", "x", "-1", ""):
        with pytest.raises(ConfigError, match="it has 0 to 1"):
            cell_named(f"{run}:cnn:{seed}")


def test_a_cell_that_is_not_trained_is_refused(tiny, tmp_path):
    RunFolder(tmp_path / "run").path.mkdir()
    RunFolder(tmp_path / "run").prepare(planned(tiny))
    with pytest.raises(ModelError, match=r"cnn, seed 0, of .* is not trained, or its weights are damaged"):
        cell_named(f"{tmp_path / 'run'}:cnn")


def test_a_network_of_a_run_is_a_table_and_a_module(finished):
    run = finished[0] / "run"
    cell = RunFolder(run).plan().cell("cnn", 1)
    files = cell_folder(run, cell.id)
    table = network_table(f"{run}:cnn:1")
    assert table == {
        "family": "cnn",
        "options": {"channels": [4], "pool_after": [1]},
        "start": {"weights": str(files.weights)},
    }
    network = load_named(f"{run}:cnn:1", load_dataset("digits"))
    assert weights_digest(network) == read_record(files.record, RunRecord).weights_digest


def test_a_network_of_the_catalogue_is_built_for_the_data_and_gets_its_weights(tmp_path):
    data = load_dataset("digits")
    saved = build_model("mlp", (1, 12, 12), 10, seed=4, hidden=[8])
    save_weights(tmp_path / "w.safetensors", saved)
    network = load_named(f"mlp:{tmp_path / 'w.safetensors'}", data, {"hidden": [8]})
    assert weights_digest(network) == weights_digest(saved)
    fresh = load_named("mlp", data, {"hidden": [8]})
    assert weights_digest(fresh) == weights_digest(build_model("mlp", (1, 12, 12), 10, seed=0, hidden=[8]))


def test_a_study_may_name_networks_in_a_line(tiny, tmp_path):
    save_weights(tmp_path / "w.safetensors", build_model("mlp", (1, 12, 12), 10, seed=0, hidden=[16]))
    text = f"mlp:{tmp_path / 'w.safetensors'}"
    tiny["models"]["mlp"] = {"network": text, "options": {"hidden": [16]}, "recipe": {"lr": 0.1}}
    written = with_named_networks(tiny)["models"]["mlp"]
    assert written == {
        "family": "mlp",
        "options": {"hidden": [16]},
        "start": {"weights": str(tmp_path / "w.safetensors")},
        "recipe": {"lr": 0.1},
    }
    assert planned(tiny).study.model("mlp").recipe == {"lr": 0.1}
    assert with_named_networks({"models": 3}) == {"models": 3}


def test_a_teacher_of_other_classes_is_refused_by_name(finished):
    text = f"{finished[0] / 'run'}:cnn"
    data = load_dataset("digits")
    check_classes(text, data)
    check_classes("mlp", data)
    with pytest.raises(DataError) as refused:
        check_classes(text, replace(data, classes=(*data.classes[:8], "9", "8")))
    assert "8 for 9; 9 for 8" in str(refused.value)
    assert "--as-is" in str(refused.value)
