"""Data sets of Hugging Face from a folder; a machine without the package gets one message."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from PIL import Image

from bequest.data import load_dataset
from bequest.errors import DataError, MissingExtra


def test_without_the_package_there_is_one_message(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingExtra, match="need the package datasets"):
        load_dataset("hf:anything")


@pytest.fixture
def hub():
    return pytest.importorskip("datasets")


def test_images_with_class_labels(hub, tmp_path):
    features = hub.Features({"image": hub.Image(), "label": hub.ClassLabel(names=["cat", "dog"])})
    rows = {
        "image": [Image.new("RGB", (9, 7), (k, 0, 0)) for k in range(40)],
        "label": [k % 2 for k in range(40)],
    }
    hub.Dataset.from_dict(rows, features=features).save_to_disk(tmp_path / "set")
    data = load_dataset(f"hf:{tmp_path / 'set'}", size=6)
    assert data.classes == ("cat", "dog")
    assert data.input_shape == (3, 6, 6)
    for split in data.splits.values():
        assert (split.x[:, 0, 0, 0] * 255).round().long().tolist() == split.ids.tolist()
        assert split.y.tolist() == (split.ids % 2).tolist()


def test_numbers_and_own_splits(hub, tmp_path):
    def part(low, high):
        rows = np.arange(low, high)
        return hub.Dataset.from_dict({"a": rows * 1.0, "b": rows * 2.0, "label": [f"c{k % 3}" for k in rows]})

    hub.DatasetDict({"train": part(0, 60), "validation": part(60, 75), "test": part(75, 99)}).save_to_disk(
        tmp_path / "set"
    )
    data = load_dataset(f"hf:{tmp_path / 'set'}")
    assert data.classes == ("c0", "c1", "c2")
    assert data["test"].x[0].tolist() == [75.0, 150.0]
    assert len(data["validation"]) == 15


def test_faults_are_one_message(hub, tmp_path):
    hub.Dataset.from_dict({"a": [1.0, 2.0]}).save_to_disk(tmp_path / "set")
    with pytest.raises(DataError, match="no column of labels"):
        load_dataset(f"hf:{tmp_path / 'set'}")
    only = hub.Dataset.from_dict({"a": [1.0, 2.0], "label": [0, 1]})
    hub.DatasetDict({"test": only}).save_to_disk(tmp_path / "tested")
    with pytest.raises(DataError, match="has no training split"):
        load_dataset(f"hf:{tmp_path / 'tested'}")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="cannot be loaded"):
        load_dataset(f"hf:{tmp_path / 'empty'}")
