"""Inputs and labels as people have them: taken as they are meant, or refused with the way to convert them."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from PIL import Image

from bequest.data import Dataset, Split, as_dataset
from bequest.data.arrays import inputs_of, labels_of, stacked
from bequest.errors import DataError

Y = np.arange(100) % 2
X = np.zeros((100, 4), np.float32)

WRONG_LABELS = {
    "text": (np.array(["cat", "dog"] * 50), "np.unique"),
    "list of text": (["cat", "dog"] * 50, "np.unique"),
    "one-hot": (np.eye(2)[Y], r"y\.argmax\(1\)"),
    "one-hot integers": (np.eye(2, dtype=int)[Y], r"y\.argmax\(1\)"),
    "a column": (Y[:, None], r"y\.reshape\(-1\)"),
    "None": (None, "queries"),
    "None among them": (np.array([None, 1] * 50, dtype=object), "NoneType"),
    "fractions": (np.where(Y, 0.2, 1.7), "regression targets and probabilities are not supported"),
    "NaN": (
        np.where(np.arange(100) == 3, np.nan, Y),
        "regression targets and probabilities are not supported",
    ),
    "complex": (Y.astype(complex), "complex128"),
    "ragged": ([[1], [1, 2]] * 50, "one class index per sample"),
    "dates": (np.array(["2026-01-01"] * 100, dtype="datetime64[D]"), "datetime64"),
}


class Pairs(torch.utils.data.Dataset):
    """A map-style dataset of these inputs and labels."""

    def __init__(self, x, y):
        self.x, self.y = x, y

    def __len__(self):
        return len(self.x)

    def __getitem__(self, row):
        return self.x[row], self.y[row]


@pytest.mark.parametrize("name", WRONG_LABELS)
@pytest.mark.parametrize("door", ["arrays", "torch", "dataset"])
def test_labels_that_are_no_indices_are_refused_at_every_door(name, door, unchecked):
    y, remedy = WRONG_LABELS[name]
    if y is None and door != "arrays":
        y = [None] * 100
        remedy = "NoneType"
    data = {
        "arrays": lambda: (X, y),
        "torch": lambda: Pairs(X, y),
        "dataset": lambda: Dataset(
            "own", {"train": unchecked(Split, torch.from_numpy(X), y, torch.arange(100))}, ("a", "b")
        ),
    }[door]()
    with pytest.raises(DataError, match="expected integer class indices") as refused:
        as_dataset(data)
    assert re.search(remedy, str(refused.value))


@pytest.mark.parametrize(
    "dtype", [bool, np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.uint64, np.float32, ">i4"]
)
def test_labels_of_every_width_are_the_same_classes(dtype):
    for data in ((X, Y.astype(dtype)), Pairs(X, Y.astype(dtype))):
        dataset = as_dataset(data)
        assert dataset.classes == ("0", "1")
        assert dataset.digest == as_dataset((X, Y)).digest


def test_types_of_inputs():
    assert inputs_of(np.array([[0, 51, 255]], np.uint8)).tolist() == [[0.0, pytest.approx(0.2), 1.0]]
    assert inputs_of(np.zeros((2, 8, 8), np.uint8)).shape == (2, 1, 8, 8)
    for dtype in (np.float16, np.float64, bool, ">f4"):
        assert inputs_of(np.ones((2, 3), dtype)).dtype == torch.float32
    for dtype in (np.int8, np.uint16, np.int32):
        assert inputs_of(np.ones((2, 3), dtype)).dtype == torch.int64
    assert not inputs_of(torch.ones(2, 3, requires_grad=True)).requires_grad
    assert inputs_of(np.arange(6.0)[::-1].reshape(2, 3))[0, 0] == 5.0


def test_a_memory_map_is_not_copied(tmp_path):
    np.save(tmp_path / "x.npy", np.ones((10, 3), np.float32))
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    assert inputs_of(mapped).data_ptr() == mapped.ctypes.data


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.ones((100, 4), complex), "complex numbers"),
        (np.zeros((100, 32, 32, 3), np.uint8), "channels last"),
        (torch.zeros(100, 28, 28, 1), "channels last"),
        (np.array([["a", "b"]] * 100), "not an array"),
        ([[1.0], [1.0, 2.0]] * 50, "not an array"),
        (torch.eye(100).to_sparse(), "dense"),
    ],
)
def test_inputs_that_cannot_be_meant_are_refused_at_every_door(x, message, unchecked):
    with pytest.raises(DataError, match=message):
        as_dataset((x, Y))
    with pytest.raises(DataError, match=message):
        as_dataset(
            Dataset("own", {"train": unchecked(Split, x, torch.from_numpy(Y), torch.arange(100))}, ("a", "b"))
        )


def test_channels_first_is_never_taken_for_channels_last():
    for shape in ((2, 3, 32, 32), (2, 1, 28, 28), (2, 3, 5, 3), (2, 16, 3, 3), (2, 4, 4, 4)):
        assert inputs_of(np.zeros(shape, np.float32)).shape == shape


def test_images_of_pillow_have_their_channels_first():
    red = Image.new("RGB", (6, 5), (255, 0, 0))
    data = as_dataset(Pairs([red] * 100, Y))
    assert data.input_shape == (3, 5, 6)
    assert data["train"].x[0, :, 0, 0].tolist() == [1.0, 0.0, 0.0]
    assert as_dataset(([Image.new("L", (6, 5), 51)] * 100, Y))["train"].x.unique().tolist() == [
        pytest.approx(0.2)
    ]
    assert as_dataset(([Image.new("P", (6, 5))] * 100, Y)).input_shape == (3, 5, 6)


def test_inputs_of_mixed_sizes_are_named():
    with pytest.raises(DataError, match="differ in shape") as refused:
        as_dataset(Pairs([Image.new("RGB", (6, 5 + (k == 7))) for k in range(100)], Y))
    assert "(3, 6, 6) in row 7" in str(refused.value)
    with pytest.raises(DataError, match="differ in shape"):
        stacked([torch.zeros(2), torch.zeros(3)])


def test_labels_of_tokens_have_two_axes():
    assert labels_of(np.arange(12).reshape(3, 4)).shape == (3, 4)
