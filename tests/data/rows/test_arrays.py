"""Rows of arrays in the library's types: converted as the whole is, verified, mended, changed."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch

from bequest.data import as_dataset, load_dataset
from bequest.data.arrays import inputs_of
from bequest.data.corruptions import CORRUPTIONS, corrupt
from bequest.data.rows import ArrayRows, ChangedRows, LazyRows, as_library_type
from bequest.data.rows.lazy import digest_of
from bequest.data.transforms import Rotate, Translate
from bequest.errors import DataError
from bequest.studies.datasets import shifted
from bequest.studies.spec import SplitSpec

RNG = np.random.default_rng(0)
ARRAYS = {
    "pixels": RNG.integers(0, 256, (12, 3, 8, 8), np.uint8),
    "grey": RNG.integers(0, 256, (12, 8, 8), np.uint8),
    "halves": RNG.random((12, 5)).astype(np.float16),
    "doubles": RNG.random((12, 5)),
    "flags": RNG.random((12, 5)) > 0.5,
    "bytes": RNG.integers(-9, 9, (12, 4), np.int8),
}


@pytest.fixture
def tiny_memory(monkeypatch):
    """Nothing is so small that it is held in memory."""
    monkeypatch.setattr("bequest.data.rows.lazy.IN_MEMORY", 0)


@pytest.mark.parametrize("name", sorted(ARRAYS))
def test_rows_are_converted_as_the_whole_is(name, tiny_memory):
    array = ARRAYS[name]
    x = inputs_of(array)
    expected = as_library_type(torch.from_numpy(array))
    assert isinstance(x, LazyRows)
    assert (x.shape, x.dtype) == (expected.shape, expected.dtype)
    assert torch.equal(x[torch.tensor([7, 2])], expected[[7, 2]])
    assert torch.equal(x + 0, expected)
    assert x.reader.finite == (name not in ("halves", "doubles"))


def test_what_needs_no_conversion_is_used_as_it_is(tiny_memory):
    for array in (np.zeros((4, 3), np.float32), np.zeros((4, 3), np.int64)):
        x = inputs_of(array)
        assert not isinstance(x, LazyRows)
        assert x.data_ptr() == array.ctypes.data


def test_the_same_dataset_whether_read_or_held(monkeypatch):
    x, y = ARRAYS["pixels"], np.arange(12) % 2
    held = as_dataset((x, y), validation=(x[:4], y[:4]), test=(x[4:8], y[4:8]))
    monkeypatch.setattr("bequest.data.rows.lazy.IN_MEMORY", 0)
    read = as_dataset((x, y), validation=(x[:4], y[:4]), test=(x[4:8], y[4:8]))
    for name in held.splits:
        assert isinstance(read[name].x, LazyRows)
        assert torch.equal(read[name].x + 0, held[name].x)
        assert torch.equal(read[name].ids, held[name].ids)


def test_a_memory_map_is_not_copied_also_into_another_process(tmp_path, tiny_memory):
    for split in ("train", "val", "test"):
        np.save(tmp_path / f"x_{split}.npy", ARRAYS["pixels"])
        np.save(tmp_path / f"y_{split}.npy", np.arange(12) % 2)
    x = load_dataset(f"npy:{tmp_path}")["train"].x
    assert isinstance(x, LazyRows)
    assert isinstance(x.reader._array, np.memmap)
    sent = pickle.dumps(x)
    assert len(sent) < ARRAYS["pixels"].nbytes
    assert torch.equal(pickle.loads(sent) + 0, as_library_type(torch.from_numpy(ARRAYS["pixels"])))
    part = np.load(tmp_path / "x_val.npy", mmap_mode="r")[3:9]
    again = pickle.loads(pickle.dumps(ArrayRows(part)))
    assert torch.equal(LazyRows(again) + 0, as_library_type(torch.from_numpy(ARRAYS["pixels"][3:9])))


def test_nan_is_found_in_rows_that_are_read(tiny_memory):
    x = np.zeros((40, 3))
    x[17, 1] = np.nan
    with pytest.raises(DataError, match=r"train: NaN or infinity in 1 of \d+ inputs, the first in row 17"):
        as_dataset(
            (x, np.arange(40) % 2), validation=(x[:8], np.arange(8) % 2), test=(x[:8], np.arange(8) % 2)
        )


def digests_of(array):
    return np.stack([np.frombuffer(digest_of(row), np.uint8) for row in array])


def test_a_damaged_row_is_made_again_and_one_that_cannot_be_is_named():
    array, digests = ARRAYS["pixels"].copy(), digests_of(ARRAYS["pixels"])
    array[5, 0, 0, 0] ^= 1
    asked = []

    def mend(row):
        asked.append(row)
        return ARRAYS["pixels"][row]

    x = LazyRows(ArrayRows(array, digests=digests, mend=mend))
    expected = as_library_type(torch.from_numpy(ARRAYS["pixels"]))
    assert torch.equal(x[torch.tensor([4, 5])], expected[[4, 5]])
    assert asked == [5]
    for reader in (
        ArrayRows(array, digests=digests),
        ArrayRows(array, digests=digests, mend=lambda row: array[row]),
    ):
        assert torch.equal(LazyRows(reader)[:5] + 0, expected[:5])
        with pytest.raises(DataError, match="row 5 of the array has changed since it was loaded"):
            LazyRows(reader)[4:6] + 0


@pytest.mark.parametrize("name", ["gaussian_noise", "rotate", "occlusion"])
def test_corruptions_change_rows_as_they_are_read(name, tiny_memory):
    x, ids = inputs_of(ARRAYS["pixels"]), torch.arange(100, 112)
    level = 2 if len(CORRUPTIONS[name].levels) > 1 else 1
    read = corrupt(name, x, ids, level)
    assert isinstance(read, LazyRows)
    expected = corrupt(name, as_library_type(torch.from_numpy(ARRAYS["pixels"])), ids, level)
    rows = torch.tensor([9, 3])
    assert torch.allclose(read[rows], expected[rows], atol=1e-6)
    assert torch.allclose(read + 0, expected, atol=1e-6)


def test_shifted_splits_are_read_in_variants(monkeypatch):
    x, y = ARRAYS["pixels"], np.arange(12) % 2
    spec = SplitSpec(description="", of="test", variants=(Translate(1, 0), Rotate(30.0)))
    splits = {"validation": (x, y), "test": (x, y)}
    held = shifted(as_dataset((x, y), **splits), spec)
    monkeypatch.setattr("bequest.data.rows.lazy.IN_MEMORY", 0)
    read = shifted(as_dataset((x, y), **splits), spec)
    assert isinstance(read.x, LazyRows)
    assert read.x.shape == held.x.shape
    assert torch.allclose(read.x[torch.tensor([20, 1, 13])], held.x[[20, 1, 13]], atol=1e-6)
    assert torch.equal(read.ids, held.ids)


def test_digests_follow_the_values_of_changed_rows(tiny_memory):
    x = inputs_of(ARRAYS["pixels"])
    brighter, same = (LazyRows(ChangedRows(x, change)) for change in (lambda a, r: a + 1, lambda a, r: a * 1))
    assert brighter.digests() != same.digests()
    assert len(same.digests()) == 12 * 16
