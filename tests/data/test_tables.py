"""Tables by name: numbers in columns, class names in another, splits in a column or in files."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.datasets import load_iris

from bequest.data import load_dataset
from bequest.errors import BequestError, ConfigError, DataError

IRIS = load_iris()
COLUMNS = ["sepal length", "sepal width", "petal length", "petal width"]


def write(path, rows=range(150), *, label="species", extra=None):
    extra = extra or {}
    lines = [",".join([*COLUMNS, label, *extra])]
    for row in rows:
        values = [*map(str, IRIS.data[row]), IRIS.target_names[IRIS.target[row]]]
        lines.append(",".join([*values, *(str(value(row)) for value in extra.values())]))
    path.write_text("\n".join(lines))
    return path


def test_a_table_is_its_columns(tmp_path):
    data = load_dataset(f"csv:{write(tmp_path / 'iris.csv')}", label="species")
    assert data.classes == ("setosa", "versicolor", "virginica")
    assert {name: len(split) for name, split in data.splits.items()} == {
        "train": 120, "validation": 15, "test": 15
    }  # fmt: skip
    for split in data.splits.values():
        rows = split.ids.numpy()
        assert np.allclose(split.x.numpy(), IRIS.data[rows])
        assert split.y.tolist() == IRIS.target[rows].tolist()


def test_chosen_columns_row_numbers_and_standardised(tmp_path):
    path = write(tmp_path / "iris.csv", label="class", extra={"id": lambda row: 1000 + row})
    assert load_dataset(f"csv:{path}").input_shape == (4,)
    data = load_dataset(f"csv:{path}", inputs=["petal width", "sepal width"], standardise=True)
    assert torch.allclose(data["train"].x.mean(0), torch.zeros(2), atol=1e-5)
    assert torch.allclose(data["train"].x.std(0, correction=0), torch.ones(2), atol=1e-5)
    assert not torch.allclose(data["test"].x.mean(0), torch.zeros(2), atol=1e-5)


def test_splits_by_a_column_and_by_files(tmp_path):
    word = lambda row: ("train", "val", "train", "testing", "train")[row % 5]  # noqa: E731
    column = load_dataset(f"csv:{write(tmp_path / 'a.csv', label='label', extra={'split': word})}")
    assert {name: len(split) for name, split in column.splits.items()} == {
        "train": 90, "validation": 30, "test": 30
    }  # fmt: skip
    assert np.allclose(column["test"].x.numpy(), IRIS.data[3::5])
    write(tmp_path / "train.csv", range(0, 150, 2), label="label")
    write(tmp_path / "other.csv", range(1, 150, 2), label="label")
    files = load_dataset(f"csv:{tmp_path / 'train.csv'}", test="other.csv", validation=0.2)
    assert np.allclose(files["test"].x.numpy(), IRIS.data[1::2])
    assert len(files["validation"]) == 15


def test_numbers_are_classes_in_their_order(tmp_path):
    lines = ["a,label", *(f"{row},{(10, 9, 2)[row % 3]}" for row in range(60))]
    (tmp_path / "a.csv").write_text("\n".join(lines))
    assert load_dataset(f"csv:{tmp_path / 'a.csv'}").classes == ("2", "9", "10")


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("a,b\n1,2\n", {}, "no column of labels"),
        ("a,label\n1,x\nfoo,y\n", {}, "column 'a', row 2: 'foo'"),
        ("a,label\n1,x\n,y\n", {}, "column 'a', row 2: ''"),
        ("a,label\n1,x\n2,\n", {}, "row 2 has none"),
        ("a,label\n1,x\n2,y\n", {}, "too few samples"),
        ("a,label\n1,x,3\n", {}, "more or fewer values"),
        ("a,label\n1\n", {}, "more or fewer values"),
        ("a,a,label\n1,2,x\n", {}, "two columns of the same name"),
        ("a,label\n", {}, "holds no rows"),
        ("", {}, "holds no rows"),
        ("a,label\n1,x\n", {"inputs": ["b"]}, "lacks columns"),
        ("a,label,split\n1,x,foo\n", {}, "has values that are not splits"),
        ("a,label,split\n1,x,test\n", {}, "leaves no training rows"),
        ("a,label\n1,x\n", {"standardize": True}, "did you mean 'standardise'"),
        ("a,label\nnan,x\n" + "1,x\n2,y\n" * 20, {}, "NaN or infinity"),
        ("a,label\n\x00,x\n", {}, "are not numbers|cannot be read"),
    ],
)
def test_faults_are_one_message(tmp_path, text, options, message):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(BequestError, match=message):
        load_dataset(f"csv:{tmp_path / 'a.csv'}", **options)


def test_classes_of_the_other_files_are_those_of_training(tmp_path):
    write(tmp_path / "train.csv", range(100), label="label")
    write(tmp_path / "test.csv", range(100, 150), label="label")
    with pytest.raises(DataError, match=r"labels of csv:.* cannot be used: test"):
        load_dataset(f"csv:{tmp_path / 'train.csv'}", test="test.csv")


def test_parquet_is_the_same_as_csv(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    columns = {name: IRIS.data[:, k] for k, name in enumerate(COLUMNS)}
    columns["Species"] = [str(IRIS.target_names[label]) for label in IRIS.target]
    parquet.write_table(pyarrow.table(columns), tmp_path / "iris.parquet")
    table = load_dataset(f"parquet:{tmp_path / 'iris.parquet'}", label="species")
    csv = load_dataset(f"csv:{write(tmp_path / 'iris.csv')}", label="species")
    assert table["train"].digest == csv["train"].digest
    (tmp_path / "bad.parquet").write_bytes(b"no table")
    with pytest.raises(DataError, match="cannot be read as Parquet"):
        load_dataset(f"parquet:{tmp_path / 'bad.parquet'}")


def test_parquet_without_pyarrow_names_the_extra(tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    (tmp_path / "a.parquet").write_bytes(b"")
    with pytest.raises(BequestError, match="Parquet files need pyarrow"):
        load_dataset(f"parquet:{tmp_path / 'a.parquet'}")
    with pytest.raises(ConfigError, match="unknown key"):
        load_dataset(f"parquet:{tmp_path / 'a.parquet'}", size=3)
