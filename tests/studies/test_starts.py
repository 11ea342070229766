"""What networks start from, and what training leaves of the task that it comes from."""

from __future__ import annotations

import pytest
import torch

from bequest.data.datasets import load_dataset
from bequest.errors import ConfigError, ModelError
from bequest.models import build_model
from bequest.models.weights import save_weights
from bequest.runs.planning import planned
from bequest.studies.cell import NetworkSpec
from bequest.studies.spec import StartSpec
from bequest.studies.starts import begin, located_weights, source_scores, start_digest, weights_digest_at

MLP = NetworkSpec(family="mlp", options={"hidden": [8]})


def mlp(classes, seed, hidden=8):
    return build_model("mlp", (1, 12, 12), classes, seed=seed, hidden=[hidden])


def test_forgetting_is_read_under_the_old_head(tmp_path):
    task = load_dataset("digits")
    save_weights(tmp_path / "weights.safetensors", mlp(10, 0))
    student = mlp(4, 1)
    start = StartSpec(arm="source")
    begin(student, start, tmp_path)
    same = source_scores(student, MLP, start, tmp_path, task)
    assert same["before"] == same["after"]
    with torch.no_grad():
        student[3].weight.zero_()  # the new head has no say in it
        assert source_scores(student, MLP, start, tmp_path, task) == same
        student[1].weight.zero_()
    changed = source_scores(student, MLP, start, tmp_path, task)
    assert changed["after"] != changed["before"] == same["before"]


def test_weights_without_a_head_for_the_source_task_tell_nothing_of_it(tmp_path):
    save_weights(tmp_path / "weights.safetensors", mlp(7, 0))
    assert source_scores(mlp(4, 1), MLP, StartSpec(arm="a"), tmp_path, load_dataset("digits")) is None


def test_a_network_begins_with_the_weights_below_its_head(tmp_path):
    source = mlp(10, 0)
    save_weights(tmp_path / "w.safetensors", source)
    student, before = mlp(4, 1), mlp(4, 1)
    text = begin(student, StartSpec(weights=str(tmp_path / "w.safetensors")), None)
    assert torch.equal(student[1].weight, source[1].weight)
    assert torch.equal(student[3].weight, before[3].weight)
    assert "head new" in text
    with pytest.raises(ModelError, match="does not fit the network"):
        begin(mlp(4, 1, hidden=9), StartSpec(weights=str(tmp_path / "w.safetensors")), None)


def test_the_cells_follow_from_the_content_of_the_weights(tmp_path, tiny):
    file = tmp_path / "weights.safetensors"
    tiny["models"]["mlp"]["start"] = {"weights": str(file)}
    save_weights(file, mlp(10, 0, hidden=16))
    first = planned(tiny)
    save_weights(file, mlp(10, 1, hidden=16))
    second = planned(tiny)
    changed = {a.arm for a, b in zip(first.cells, second.cells, strict=True) if a.id != b.id}
    assert changed == {"mlp", "mlp<-mlp", "mlp<-cnn"}


def test_a_digest_is_of_the_files_content_and_an_arm_has_none(tmp_path):
    one, other = tmp_path / "one", tmp_path / "other"
    for folder, content in ((one, b"abc"), (other, b"abc")):
        folder.mkdir()
        (folder / "a").write_bytes(content)
    assert weights_digest_at(str(one)) == weights_digest_at(str(other)) == weights_digest_at(str(one / "a"))
    (other / "b").write_bytes(b"d")
    assert weights_digest_at(str(one)) != weights_digest_at(str(other))
    assert start_digest(StartSpec(arm="source")) is None
    assert start_digest(StartSpec(weights=str(one))) == weights_digest_at(str(one))


def test_weights_lie_where_they_are_given_or_below_the_data_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("BEQUEST_DATA", str(tmp_path))
    (tmp_path / "w.pt").write_bytes(b"x")
    assert located_weights("w.pt") == tmp_path / "w.pt"
    assert located_weights(str(tmp_path / "w.pt")) == tmp_path / "w.pt"
    with pytest.raises(ModelError, match=r"the weights none\.pt do not exist"):
        located_weights("none.pt")


def test_small_says_what_it_needs(monkeypatch, tmp_path):
    monkeypatch.setenv("BEQUEST_DATA", str(tmp_path))
    with pytest.raises((ConfigError, ModelError), match="--scale smoke needs none"):
        planned("thapa2022", scale="small")
