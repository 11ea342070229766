"""Arrays in files by name: the same data as the arrays themselves, or one message."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
import torch

from bequest.data import as_dataset, load_dataset
from bequest.data.idx import idx_bytes
from bequest.errors import ConfigError, DataError

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(100, 5)).astype(np.float32), np.arange(100) % 4


def test_x_and_y_are_dealt_out_like_arrays(tmp_path):
    np.savez(tmp_path / "a.npz", x=X, y=Y)
    data = load_dataset(f"npz:{tmp_path / 'a.npz'}")
    same = as_dataset((X, Y))
    assert {name: split.digest for name, split in data.splits.items()} == {
        name: split.digest for name, split in same.splits.items()
    }
    assert len(load_dataset(f"npz:{tmp_path / 'a.npz'}", validation=0.2, test=0.3)["test"]) == 30


def test_own_splits_are_used(tmp_path):
    np.savez_compressed(
        tmp_path / "a.npz", x_train=X[:60], y_train=Y[:60], x_val=X[60:80], y_val=Y[60:80],
        x_test=X[80:], y_test=Y[80:],
    )  # fmt: skip
    data = load_dataset(f"npz:{tmp_path / 'a.npz'}", classes=["a", "b", "c", "d"])
    assert np.array_equal(data["validation"].x.numpy(), X[60:80])
    assert data["test"].ids.tolist() == list(range(80, 100))
    assert data.classes == ("a", "b", "c", "d")


def test_a_test_split_of_its_own_and_validation_dealt_out(tmp_path):
    np.savez(tmp_path / "a.npz", x_train=X[:80], y_train=Y[:80], x_test=X[80:], y_test=Y[80:])
    data = load_dataset(f"npz:{tmp_path / 'a.npz'}")
    assert {name: len(split) for name, split in data.splits.items()} == {
        "train": 72, "validation": 8, "test": 20
    }  # fmt: skip


def test_channels_last_is_said(tmp_path):
    images = RNG.integers(0, 256, (40, 8, 9, 3), dtype=np.uint8)
    np.savez(tmp_path / "a.npz", x=images, y=np.arange(40) % 2)
    with pytest.raises(DataError, match="the images seem to have their channels last"):
        load_dataset(f"npz:{tmp_path / 'a.npz'}")
    data = load_dataset(f"npz:{tmp_path / 'a.npz'}", channels_last=True)
    row = int(data["train"].ids[0])
    assert torch.equal(data["train"].x[0], torch.from_numpy(images[row]).permute(2, 0, 1).float() / 255)


def test_memory_maps_are_not_copied(tmp_path):
    for split, rows in (("train", 60), ("val", 20), ("test", 20)):
        np.save(tmp_path / f"x_{split}.npy", X[:rows])
        np.save(tmp_path / f"y_{split}.npy", Y[:rows])
    data = load_dataset(f"npy:{tmp_path}")
    mapped = [
        line for line in Path("/proc/self/maps").read_text().splitlines() if line.endswith("x_train.npy")
    ]
    low, high = (int(end, 16) for end in mapped[0].split()[0].split("-"))
    assert low <= data["train"].x.data_ptr() < high
    assert np.array_equal(data["train"].x.numpy(), X[:60])


@pytest.mark.parametrize("form", ["plain", "gz", "dotted"])
def test_any_set_in_the_form_of_mnist(tmp_path, form):
    x, y = RNG.integers(0, 256, (60, 6, 6), dtype=np.uint8), (np.arange(60) % 3 + 1).astype(np.uint8)
    for part, rows in (("train", slice(0, 40)), ("test", slice(40, 60))):
        for kind, array in (("images-idx3-ubyte", x), ("labels-idx1-ubyte", y)):
            kind = kind.replace("-idx", ".idx") if form == "dotted" else kind
            content = idx_bytes(array[rows])
            path = tmp_path / f"letters-{part}-{kind}{'.gz' if form == 'gz' else ''}"
            path.write_bytes(gzip.compress(content) if form == "gz" else content)
    data = load_dataset(f"idx:{tmp_path}", prefix="letters-")
    assert data.classes == ("1", "2", "3")
    assert data.input_shape == (1, 6, 6)
    assert np.array_equal((data["test"].x[:, 0] * 255).round().byte().numpy(), x[40:])
    assert data["test"].ids.tolist() == list(range(40, 60))
    assert (data["test"].y.numpy() + 1).tolist() == y[40:].tolist()


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"a": X, "b": Y}, "lacks arrays"),
        ({"x": X, "y": Y[:-1]}, "100 inputs and 99 labels"),
        ({"x": X, "y": Y - 1}, "labels must start at 0"),
        ({"x": X, "y": np.where(Y == 3, 1 << 40, Y)}, "labels go up to"),
        ({"x": X, "y": np.array(["cat", "dog"] * 50)}, "expected integer class indices"),
        ({"x": X, "y": Y * 2}, "no sample of class 1, 3, 5"),
        ({"x": X[:0], "y": Y[:0]}, "0 inputs"),
    ],
)
def test_faults_are_one_message(tmp_path, arrays, message):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(DataError, match=message):
        load_dataset(f"npz:{tmp_path / 'a.npz'}")


def test_files_that_cannot_be_read_are_one_message(tmp_path):
    (tmp_path / "a.npz").write_bytes(b"no archive")
    with pytest.raises(DataError, match="cannot be read"):
        load_dataset(f"npz:{tmp_path / 'a.npz'}")
    with pytest.raises(DataError, match="no such file"):
        load_dataset("npz:/nowhere.npz")
    with pytest.raises(DataError, match="is not a path"):
        load_dataset("npz:" + "x" * 5000)
    (tmp_path / "x.npy").write_bytes(b"no array")
    np.save(tmp_path / "y.npy", Y)
    with pytest.raises(DataError, match="cannot be read"):
        load_dataset(f"npy:{tmp_path}")
    with pytest.raises(DataError, match="lacks IDX files"):
        load_dataset(f"idx:{tmp_path}")
    np.savez(tmp_path / "b.npz", x=X, y=Y)
    with pytest.raises(ConfigError, match="did you mean 'channels_last'"):
        load_dataset(f"npz:{tmp_path / 'b.npz'}", chanels_last=True)
    with pytest.raises(ConfigError, match="validation"):
        load_dataset(f"npz:{tmp_path / 'b.npz'}", validation=1.5)
