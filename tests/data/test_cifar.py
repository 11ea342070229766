"""CIFAR-10 from both kinds of files, made small; the real set where it lies under BEQUEST_DATA."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from bequest.data import load_dataset
from bequest.data.cifar import BATCHES, NPZ, PYTHON_100, data_root
from bequest.errors import DataError


def pixels(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)


def labels(count: int) -> np.ndarray:
    return np.arange(count) % 10


def write_npz(root: Path, **changes: np.ndarray) -> None:
    (root / "vision").mkdir(parents=True, exist_ok=True)
    arrays = {
        "x_train": pixels(100, 0),
        "y_train": labels(100),
        "x_test": pixels(20, 1),
        "y_test": labels(20),
    }
    np.savez(root / NPZ, **{**arrays, **changes})


def write_batches(root: Path) -> None:
    folder = root / BATCHES
    folder.mkdir(parents=True)
    train, test = pixels(100, 0), pixels(20, 1)
    parts = [(f"data_batch_{k + 1}", train[20 * k : 20 * k + 20]) for k in range(5)]
    for name, part in [*parts, ("test_batch", test)]:
        rows = part.transpose(0, 3, 1, 2).reshape(20, -1)
        content = {b"data": rows, b"labels": labels(20).tolist(), b"batch_label": name.encode()}
        (folder / name).write_bytes(pickle.dumps(content, protocol=2))


def test_both_kinds_of_files_are_the_same_data(tmp_path: Path) -> None:
    write_npz(tmp_path / "npz")
    write_batches(tmp_path / "batches")
    sets = [load_dataset("cifar10", root=str(tmp_path / kind), validation=20) for kind in ("npz", "batches")]
    assert sets[0].digest == sets[1].digest


def test_images_are_shares_of_full_brightness_with_channels_first(tmp_path: Path) -> None:
    write_npz(tmp_path)
    data = load_dataset("cifar10", root=str(tmp_path), validation=0)
    expected = pixels(100, 0)[7, 3, 5] / np.float32(255)
    assert data["train"].x.shape == (100, 3, 32, 32)
    np.testing.assert_array_equal(data["train"].x[7, :, 3, 5].numpy(), expected)
    assert "validation" not in data.splits


def test_held_out_images_are_balanced_and_ids_are_rows(tmp_path: Path) -> None:
    write_npz(tmp_path)
    data = load_dataset("cifar10", root=str(tmp_path), validation=20)
    held = data["validation"]
    assert held.y is not None
    assert torch.bincount(held.y).tolist() == [2] * 10
    assert sorted([*data["train"].ids.tolist(), *held.ids.tolist()]) == list(range(100))
    assert data["test"].ids.tolist() == list(range(100, 120))


def test_absent_files_come_with_a_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BEQUEST_DATA", str(tmp_path))
    with pytest.raises(DataError, match="CIFAR-10 was not found") as caught:
        load_dataset("cifar10")
    assert "BEQUEST_DATA" in str(caught.value)


def test_without_the_variable_data_lies_in_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BEQUEST_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert data_root() == tmp_path / "bequest"


def test_a_damaged_file_is_said(tmp_path: Path) -> None:
    (tmp_path / "vision").mkdir()
    (tmp_path / NPZ).write_bytes(b"PK\x03\x04 no archive")
    with pytest.raises(DataError, match="cannot be read"):
        load_dataset("cifar10", root=str(tmp_path))


def test_arrays_of_another_shape_are_refused(tmp_path: Path) -> None:
    write_npz(tmp_path, x_train=pixels(100, 0).transpose(0, 3, 1, 2))
    with pytest.raises(DataError, match="has the wrong type or shape"):
        load_dataset("cifar10", root=str(tmp_path))


def test_more_held_out_images_than_there_are_is_refused(tmp_path: Path) -> None:
    write_npz(tmp_path)
    with pytest.raises(DataError, match="too many images for validation"):
        load_dataset("cifar10", root=str(tmp_path), validation=100)


def test_a_part_of_the_images_is_balanced_and_leaves_the_rest_alone(tmp_path: Path) -> None:
    write_npz(tmp_path)
    whole, part = (
        load_dataset("cifar10", root=str(tmp_path), validation=20, **kept)
        for kept in ({}, {"train": 30, "test": 10})
    )
    assert torch.equal(part["validation"].ids, whole["validation"].ids)
    assert set(part["train"].ids.tolist()) < set(whole["train"].ids.tolist())
    assert torch.bincount(part["train"].y).tolist() == [3] * 10
    assert torch.bincount(part["test"].y).tolist() == [1] * 10
    with pytest.raises(DataError, match="more images are asked for"):
        load_dataset("cifar10", root=str(tmp_path), validation=20, train=81)


def test_smaller_images_are_means_over_squares(tmp_path: Path) -> None:
    write_npz(tmp_path)
    whole, small = (load_dataset("cifar10", root=str(tmp_path), validation=0, side=s) for s in (32, 8))
    assert small.input_shape == (3, 8, 8)
    expected = whole["test"].x[5, 1, 4:8, 28:32].mean()
    torch.testing.assert_close(small["test"].x[5, 1, 1, 7], expected)
    with pytest.raises(DataError, match=r"cannot be shown at this size\n  expected: a divisor of 32"):
        load_dataset("cifar10", root=str(tmp_path), side=12)


def write_hundred(root: Path) -> None:
    """CIFAR-100's three files: 200 training images, 100 test images."""
    folder = root / PYTHON_100
    folder.mkdir(parents=True)
    for name, count in (("train", 200), ("test", 100)):
        fine = np.arange(count) % 100
        rows = pixels(count, count).transpose(0, 3, 1, 2).reshape(count, -1)
        content = {b"data": rows, b"fine_labels": fine.tolist(), b"coarse_labels": (fine // 5).tolist()}
        (folder / name).write_bytes(pickle.dumps(content, protocol=2))
    names = {
        b"fine_label_names": [f"f{k}".encode() for k in range(100)],
        b"coarse_label_names": [f"c{k}".encode() for k in range(20)],
    }
    (folder / "meta").write_bytes(pickle.dumps(names, protocol=2))


@pytest.mark.parametrize(("labels", "classes", "label"), [("fine", 100, 7), ("coarse", 20, 1)])
def test_the_hundred_classes_are_read_fine_or_coarse(tmp_path, labels, classes, label) -> None:
    write_hundred(tmp_path)
    data = load_dataset("cifar100", root=str(tmp_path), labels=labels, validation=0)
    assert len(data.classes) == classes
    assert data.classes[label] == f"{labels[0]}{label}"
    assert int(data["train"].y[107]) == int(data["test"].y[7]) == label
    expected = pixels(200, 200)[107, 3, 5] / np.float32(255)
    np.testing.assert_array_equal(data["train"].x[107, :, 3, 5].numpy(), expected)


def test_the_hundred_classes_that_are_not_there_come_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="CIFAR-100 was not found"):
        load_dataset("cifar100", root=str(tmp_path))
    write_hundred(tmp_path)
    (tmp_path / PYTHON_100 / "meta").write_bytes(pickle.dumps({b"fine_label_names": 3}))
    with pytest.raises(DataError, match="is not a CIFAR batch"):
        load_dataset("cifar100", root=str(tmp_path))


class Bomb:
    def __reduce__(self) -> tuple[object, ...]:
        return (os.mkdir, ("exploded",))


def test_a_batch_runs_no_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_batches(tmp_path)
    (tmp_path / BATCHES / "data_batch_3").write_bytes(pickle.dumps({b"data": Bomb()}))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"is not a CIFAR batch\n.*mkdir is not allowed in a batch"):
        load_dataset("cifar10", root=str(tmp_path))
    assert not (tmp_path / "exploded").exists()


@pytest.mark.slow
def test_the_real_set() -> None:
    """Means of the training pixels as published with the set."""
    if not (data_root() / NPZ).exists():
        pytest.skip("CIFAR-10 is not under BEQUEST_DATA")
    train = load_dataset("cifar10", validation=0)["train"]
    means = train.x.double().mean((0, 2, 3))
    torch.testing.assert_close(means, torch.tensor([0.4914, 0.4822, 0.4465]).double(), rtol=0, atol=1e-4)
