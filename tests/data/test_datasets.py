from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from bequest.data import Dataset, Split, as_dataset, load_dataset
from bequest.data.datasets import as_pool
from bequest.data.dealing import stratified
from bequest.errors import DataError, UnknownName


def arrays(rows: int = 60, classes: int = 3):
    return torch.randn(rows, 4), torch.arange(rows) % classes


def test_digits_are_scikit_learns_with_a_border_and_their_row_numbers():
    data = load_dataset("digits")
    source = load_digits()
    assert {name: len(split) for name, split in data.splits.items()} == {
        "train": 1297, "validation": 150, "test": 350,
    }  # fmt: skip
    seen = torch.cat([split.ids for split in data.splits.values()])
    assert sorted(seen.tolist()) == list(range(1797))
    for split in data.splits.values():
        inner = split.x[:, 0, 2:-2, 2:-2].numpy() * 16
        assert np.array_equal(inner, source.images[split.ids.numpy()])
        assert np.array_equal(split.y.numpy(), source.target[split.ids.numpy()])
        assert float(split.x.sum()) == pytest.approx(inner.sum() / 16)


def test_digits_never_change():
    """The split is part of every published number: another one would be another dataset."""
    assert load_dataset("digits").digest == load_dataset("digits").digest
    assert (
        load_dataset("digits")["test"].ids[:5].tolist()
        == sorted(load_dataset("digits")["test"].ids.tolist())[:5]
    )


def test_stratified_splits_are_disjoint_complete_and_in_proportion():
    labels = torch.tensor([0] * 600 + [1] * 300 + [2] * 100)
    rows = stratified(labels, {"a": 700, "b": 100, "c": 200}, seed=0)
    assert sorted(torch.cat(list(rows.values())).tolist()) == list(range(1000))
    for name, size in (("a", 700), ("b", 100), ("c", 200)):
        counts = torch.bincount(labels[rows[name]], minlength=3).numpy()
        assert np.abs(counts - size * np.array([0.6, 0.3, 0.1])).max() <= 2
    with pytest.raises(DataError, match="must use every sample"):
        stratified(labels, {"a": 3}, seed=0)


def test_arrays_and_torch_datasets_become_the_same_data():
    x, y = arrays()
    one = as_dataset((x, y))
    other = as_dataset(torch.utils.data.TensorDataset(x, y))
    assert one.digest == other.digest
    assert as_dataset((x.numpy(), y.numpy())).digest == one.digest
    assert {name: len(split) for name, split in one.splits.items()} == {
        "train": 48,
        "validation": 6,
        "test": 6,
    }
    row = one["test"].ids[0]
    assert torch.equal(one["test"].x[0], x[row])


def test_bytes_are_pixels_and_integers_are_tokens():
    y = torch.arange(30) % 3
    assert as_dataset((torch.full((30, 2), 255, dtype=torch.uint8), y))["train"].x.max() == 1.0
    assert as_dataset((torch.ones(30, 2, dtype=torch.int32), y))["train"].x.dtype == torch.int64


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, y: (x.fill_(float("nan")), y), "NaN or infinity in 48 of 48 inputs, the first in row 0"),
        (lambda x, y: (x, y[:-1]), "x has 60 rows and y has 59"),
        (lambda x, y: (x, y - 1), "labels must start at 0, got -1"),
        (lambda x, y: (x, y * 2), "no sample of class 1, 3"),
        (lambda x, y: (x, y.float() + 0.5), "expected integer class indices"),
        (lambda x, y: (x[:0], y[:0]), "no samples"),
        (lambda x, y: ("nonsense", y), "not an array"),
    ],
)
def test_bad_arrays_are_refused(change, message):
    with pytest.raises(DataError, match=message):
        as_dataset(change(*arrays()))


def test_several_faults_are_listed_at_once():
    x, y = arrays(9)
    bad = Split(x.clone().fill_(float("inf")), y + 7, torch.zeros(9, dtype=torch.int64))
    with pytest.raises(DataError) as caught:
        as_dataset(Dataset("mine", {"train": Split(x, y, torch.arange(9)), "test": bad}, ("a", "b", "c")))
    text = str(caught.value)
    assert "test: NaN or infinity in 9 of" in text
    assert "test: 8 ids are repeated" in text
    assert "test: labels: expected 0..2, got 7..9" in text


def test_what_is_no_data_is_named():
    with pytest.raises(DataError, match="a value of type int cannot be read as data"):
        as_dataset(3)
    with pytest.raises(UnknownName, match="did you mean 'digits'"):
        load_dataset("digit")
    with pytest.raises(UnknownName, match="did you mean 'test'"):
        load_dataset("digits")["tset"]
    with pytest.raises(DataError, match="query pool is wrong: NaN or infinity in 5 of 5 inputs"):
        as_pool(torch.full((5, 2), float("nan")))


def test_a_pool_has_no_labels():
    assert as_pool(load_dataset("digits")).y is None
    assert as_pool(np.zeros((5, 2))).ids.tolist() == [0, 1, 2, 3, 4]


class Items(torch.utils.data.Dataset):
    """A map-style dataset that calls ``item(row)``."""

    def __init__(self, item, rows=60):
        self.item, self.rows = item, rows

    def __len__(self):
        return self.rows

    def __getitem__(self, row):
        return self.item(row)


def test_validation_and_test_of_the_user_are_used():
    x, y = arrays()
    other = arrays(12)
    data = as_dataset((x, y), validation=other, test=torch.utils.data.TensorDataset(*arrays(9)))
    assert {name: len(split) for name, split in data.splits.items()} == {
        "train": 60, "validation": 12, "test": 9
    }  # fmt: skip
    assert data["train"].x.data_ptr() == x.data_ptr()
    assert data["test"].ids.tolist() == list(range(72, 81))
    assert torch.equal(data["validation"].x, other[0])
    one = as_dataset((x, y), test=other)
    assert {name: len(split) for name, split in one.splits.items()} == {
        "train": 54, "validation": 6, "test": 12
    }  # fmt: skip
    digits = load_dataset("digits")
    replaced = as_dataset("digits", test=(digits["test"].x[:50], digits["test"].y[:50]))
    assert replaced["test"].ids.tolist() == list(range(1797, 1847))
    assert replaced["train"].digest == digits["train"].digest


def test_a_random_transform_is_refused_unless_it_is_frozen():
    items = Items(lambda row: (torch.rand(3), row % 2))
    state = torch.get_rng_state()
    with pytest.raises(DataError, match="differs between two reads") as refused:
        as_dataset(items)
    assert "views=" in str(refused.value)
    assert "frozen=True" in str(refused.value)
    assert torch.equal(torch.get_rng_state(), state)
    assert len(as_dataset(items, frozen=True)["train"]) == 48


def test_datasets_that_cannot_be_read_by_index_are_refused():
    class Stream(torch.utils.data.IterableDataset):
        def __iter__(self):
            return iter([])

    with pytest.raises(DataError, match="IterableDataset cannot be used") as refused:
        as_dataset(Stream())
    assert "no ids" in str(refused.value)
    with pytest.raises(DataError, match="item 0 cannot be read"):
        as_dataset(Items(lambda row: [][row]))
    with pytest.raises(DataError, match="pairs"):
        as_dataset(Items(lambda row: (1, 2, 3)))
    with pytest.raises(DataError, match="len"):
        as_dataset(Items(lambda row: (1, 2), rows=-1))


def test_a_data_set_of_the_users_registers_as_ours_do():
    from bequest.data import DATASETS

    @DATASETS.register("mine-for-this-test")
    def mine(*, rows: int = 20):
        return Dataset("mine", as_dataset((torch.ones(rows, 2), torch.arange(rows) % 2)).splits, ("a", "b"))

    try:
        assert len(load_dataset("mine-for-this-test", rows=30)["train"]) == 24
        with pytest.raises(DataError, match="wrong options for the dataset"):
            load_dataset("mine-for-this-test", row=30)
    finally:
        DATASETS._values.pop("mine-for-this-test")


def test_a_dataset_is_one_line_and_a_table_in_a_notebook():
    data = load_dataset("digits")
    assert repr(data).startswith("Dataset(digits: 10 classes of (1, 12, 12); train 1,297, ")
    assert repr(data["train"].unlabelled()) == "Split(1,297 samples of (1, 12, 12), unlabelled)"
    page = replace(data, name="<script>", notes=("a & b",))._repr_html_()
    assert "<script>" not in page
    assert "<td>1,297 samples</td>" in page
    assert "a &amp; b" in page
