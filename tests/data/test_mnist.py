from __future__ import annotations

import gzip

import numpy as np
import pytest
import torch

from bequest.data import load_dataset
from bequest.data.idx import idx_bytes
from bequest.data.outline import outline_of
from bequest.data.sources import MNIST_FILES, data_root
from bequest.errors import DataError


def arrays(train=200, test=50):
    rng = np.random.default_rng(0)
    found = []
    for count in (train, test):
        found.append(rng.integers(0, 256, (count, 28, 28)).astype(np.uint8))
        found.append((np.arange(count) % 10).astype(np.uint8))
    return found


def write_idx(folder, found, *, packed=False, dotted=False):
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in zip(MNIST_FILES, found, strict=True):
        name = name.replace("-idx", ".idx") if dotted else name
        content = idx_bytes(array)
        (folder / (f"{name}.gz" if packed else name)).write_bytes(
            gzip.compress(content) if packed else content
        )


def write_npz(path, found):
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **dict(zip(("x_train", "y_train", "x_test", "y_test"), found, strict=True)))


def test_every_form_is_the_same_data(tmp_path, monkeypatch):
    found = arrays()
    write_idx(tmp_path / "plain" / "vision" / "mnist", found)
    write_idx(tmp_path / "packed" / "mnist", found, packed=True)
    write_idx(tmp_path / "raw" / "MNIST" / "raw", found, dotted=True)
    write_idx(tmp_path / "here", found)
    write_npz(tmp_path / "npz" / "vision" / "mnist.npz", found)
    roots = [tmp_path / name for name in ("plain", "packed", "raw", "here", "npz", "npz/vision/mnist.npz")]
    digests = {load_dataset("mnist", root=str(root), validation=50).digest for root in roots}
    monkeypatch.setenv("BEQUEST_DATA", str(tmp_path / "plain"))
    assert digests == {load_dataset("mnist", validation=50).digest}


def test_images_are_shares_of_full_brightness_and_ids_are_rows(tmp_path):
    found = arrays()
    write_idx(tmp_path, found)
    data = load_dataset("mnist", root=str(tmp_path), validation=50)
    assert data["train"].x.shape == (150, 1, 28, 28)
    for split in ("train", "validation"):
        rows = data[split].ids.numpy()
        np.testing.assert_array_equal(data[split].x[:, 0].numpy(), found[0][rows] / np.float32(255))
        np.testing.assert_array_equal(data[split].y.numpy(), found[1][rows])
    assert sorted([*data["train"].ids.tolist(), *data["validation"].ids.tolist()]) == list(range(200))
    assert data["test"].ids.tolist() == list(range(200, 250))


def test_subsets_are_balanced_and_leave_the_held_out_images_as_they_are(tmp_path):
    write_idx(tmp_path, arrays())
    whole = load_dataset("mnist", root=str(tmp_path), validation=50)
    part = load_dataset("mnist", root=str(tmp_path), validation=50, train=40, test=20)
    assert part["validation"].digest == whole["validation"].digest
    assert torch.bincount(part["train"].y).tolist() == [4] * 10
    assert torch.bincount(part["test"].y).tolist() == [2] * 10
    assert set(part["train"].ids.tolist()) < set(whole["train"].ids.tolist())


@pytest.mark.parametrize("options", [{"validation": 201}, {"train": 200}, {"test": 51}, {"train": 0}])
def test_more_than_there_is_is_refused(tmp_path, options):
    write_idx(tmp_path, arrays())
    with pytest.raises(DataError, match="images are asked for than MNIST has"):
        load_dataset("mnist", root=str(tmp_path), **{"validation": 50, **options})


def test_absent_files_come_with_a_remedy(tmp_path, monkeypatch):
    monkeypatch.setenv("BEQUEST_DATA", str(tmp_path))
    with pytest.raises(DataError, match="MNIST was not found") as caught:
        load_dataset("mnist")
    for part in ("bequest data fetch mnist", "bequest data import mnist", "BEQUEST_DATA", MNIST_FILES[0]):
        assert part in str(caught.value)


def test_three_of_four_files_are_not_enough(tmp_path):
    write_idx(tmp_path, arrays())
    (tmp_path / MNIST_FILES[2]).unlink()
    with pytest.raises(DataError, match="MNIST was not found"):
        load_dataset("mnist", root=str(tmp_path))


def test_arrays_that_do_not_fit_are_refused(tmp_path):
    found = arrays()
    write_idx(tmp_path / "a", [found[0], found[1][:-1], *found[2:]])
    with pytest.raises(DataError, match="has the wrong type or shape: train"):
        load_dataset("mnist", root=str(tmp_path / "a"))
    (tmp_path / "mnist.npz").write_bytes(b"PK\x03\x04 no archive")
    with pytest.raises(DataError, match="cannot be read"):
        load_dataset("mnist", root=str(tmp_path))


def test_the_outline_needs_no_files_and_says_what_loading_finds(tmp_path, monkeypatch):
    monkeypatch.setenv("BEQUEST_DATA", str(tmp_path))
    assert outline_of("mnist", {}).samples == 55_000
    assert outline_of("mnist", {"train": 4000}).samples == 4000
    found = outline_of("digits", {})
    assert (found.input_shape, found.kind, found.classes, found.samples) == ((1, 12, 12), "float32", 10, 1297)


def test_the_real_set():
    """Mean pixel of the training images as published with the set; classes as LeCun counts them."""
    if not (data_root() / "vision" / "mnist").is_dir():
        pytest.skip("MNIST is not under BEQUEST_DATA")
    data = load_dataset("mnist", validation=0)
    assert data["train"].x.double().mean() * 255 == pytest.approx(33.3184, abs=1e-3)
    assert torch.bincount(data["test"].y).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
