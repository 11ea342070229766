"""A user's own Dataset: brought into form, or every fault listed."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from bequest.data import Dataset, Split, as_dataset
from bequest.data.checks import name_faults
from bequest.data.datasets import checked
from bequest.errors import DataError

X, IDS = torch.randn(60, 4, generator=torch.Generator().manual_seed(0)), torch.arange(60)
Y = (X[:, 0] > 0).long()


def build(cls, *values):
    """A Split or Dataset without the type checks that run under pytest alone."""
    built = object.__new__(cls)
    for place, field in enumerate(dataclasses.fields(cls)):
        default = {} if field.name == "about" else field.default
        default = () if field.name in ("notes", "vocabulary") else default
        object.__setattr__(built, field.name, values[place] if place < len(values) else default)
    return built


def own(x=X, y=Y, ids=IDS, classes=("a", "b"), about=None):
    def part(low, high):
        known = {name: values[low:high] for name, values in (about or {}).items()}
        return build(Split, x[low:high], y[low:high], ids[low:high], known)

    return build(
        Dataset, "own", {"train": part(0, 40), "validation": part(40, 50), "test": part(50, 60)}, classes
    )


def test_right_data_is_itself():
    data = own()
    assert checked(data) is data


@pytest.mark.parametrize(
    "change",
    [
        {"y": Y.int()}, {"y": Y.float()}, {"y": Y.to(torch.uint8)}, {"y": Y.bool()}, {"y": Y.numpy()},
        {"x": X.numpy()}, {"x": X.double()}, {"x": X.clone().requires_grad_()}, {"ids": IDS.int()},
        {"ids": IDS.numpy()}, {"ids": IDS.float()}, {"classes": ["a", "b"]},
        {"about": {"length": np.arange(60)}},
    ],
)  # fmt: skip
def test_other_types_are_brought_into_form(change):
    data = checked(own(**change))
    plain = own(about={n: torch.from_numpy(v) for n, v in change.get("about", {}).items()})
    assert data.digest == plain.digest


def test_class_names_become_text():
    assert checked(own(classes=(0, 1))).classes == ("0", "1")


def shorter(data, name):
    split = data[name]
    return Dataset("own", {**data.splits, name: Split(split.x[:, :3], split.y, split.ids)}, data.classes)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (lambda: own(classes=("a",)), "labels: expected 0..0, got 0..1"),
        (lambda: own(y=torch.zeros(60, dtype=torch.int64), classes=("a",)), "needs two classes"),
        (lambda: own(classes=("a", "b", "c")), "no sample of class c"),
        (lambda: own(classes=("a", "a")), "two classes have the same name: a"),
        (lambda: own(y=torch.eye(2)[Y]), "one-hot"),
        (lambda: own(y=torch.stack([Y, Y + 0], 1)), r"one class index per sample \(N,\)"),
        (lambda: own(ids=IDS + 0.5), "ids are not integers"),
        (
            lambda: shorter(own(), "validation"),
            r"validation: inputs have shape \(3,\), those of train \(4,\)",
        ),
        (lambda: build(Dataset, "own", {"train": [X, Y]}, ("a", "b")), "is not a Split"),
        (
            lambda: Dataset("own", {"train": own()["train"], "../x": own()["test"]}, ("a", "b")),
            "cannot name a split",
        ),
        (lambda: Dataset("own", {"validation": own()["train"]}, ("a", "b")), "there is no split 'train'"),
    ],
)
def test_faults_are_named(data, message):
    with pytest.raises(DataError, match=message):
        as_dataset(data())


def test_splits_of_other_types_are_refused():
    tokens = Split((X * 3).long(), Y, IDS)
    with pytest.raises(DataError, match=r"test: inputs are torch.int64, those of train are torch.float32"):
        checked(Dataset("own", {"train": own()["train"], "test": tokens}, ("a", "b")))


@pytest.mark.parametrize(
    "name", ["../x", "/x", "a/b", "a\\b", "..", ".hidden", "", "a\0b", "C:x", "a\nb", "x" * 101, "a b", 3]
)
def test_a_split_s_name_never_leads_elsewhere(name):
    assert name_faults(name)
    if isinstance(name, str):
        with pytest.raises(DataError, match="cannot be a file name"):
            own().with_splits({name: own()["test"]})


@pytest.mark.parametrize("name", ["test", "far", "shot_noise-3", "v1.2", "scaled@0.5", "level=3"])
def test_ordinary_names_pass(name):
    assert name in own().with_splits({name: own()["test"]}).splits


def test_faults_of_inputs_are_counted_over_blocks(monkeypatch):
    monkeypatch.setattr("bequest.data.rows.lazy.BLOCK_BYTES", 4 * 40)
    x = X.clone()
    x[[13, 17, 39], 1] = torch.tensor([float("nan"), float("inf"), -float("inf")])
    with pytest.raises(DataError, match=r"train: NaN or infinity in 3 of \d+ inputs, the first in row 13"):
        checked(own(x=x))


def test_one_label_far_beyond_the_others_costs_no_memory():
    y = np.arange(100) % 2
    for label in (1 << 40, 50_000_000):
        y[3] = label
        with pytest.raises(DataError, match=f"labels go up to {label:,}"):
            as_dataset((np.zeros((100, 2), np.float32), y))
    with pytest.raises(DataError, match="needs two classes"):
        as_dataset((np.zeros((100, 2), np.float32), np.zeros(100, int)))
