"""Files that NumPy, torch, safetensors, csv and pyarrow wrote, as another program would."""

from __future__ import annotations

import csv
import re

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from bequest.cli.formats import NAMELESS, read_arrays
from bequest.errors import DataError, MissingExtra

X = np.arange(12.0).reshape(4, 3)
Y = np.array([2, 0, 1, 2])


def table(path, header, rows):
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def test_every_format_gives_the_same_arrays(tmp_path):
    np.savez(tmp_path / "a.npz", x=X, y=Y)
    torch.save({"x": torch.tensor(X), "y": torch.tensor(Y), "epoch": 3}, tmp_path / "a.pt")
    save_file({"x": torch.tensor(X), "y": torch.tensor(Y)}, tmp_path / "a.safetensors")
    rows = [[*x, y] for x, y in zip(X, Y, strict=True)]
    table(tmp_path / "a.csv", ["x_0", "x_1", "x_2", "y"], rows)
    for name in ("a.npz", "a.pt", "a.safetensors", "a.csv"):
        arrays = read_arrays(tmp_path / name)
        assert sorted(arrays) == ["x", "y"]
        assert arrays["x"].tolist() == X.tolist()
        assert arrays["y"].tolist() == Y.tolist()


def test_one_array_without_a_name(tmp_path):
    np.save(tmp_path / "a.npy", X)
    torch.save(torch.tensor(X), tmp_path / "a.pt")
    for name in ("a.npy", "a.pt"):
        assert read_arrays(tmp_path / name)[NAMELESS].tolist() == X.tolist()


def test_parquet_with_lists_or_columns(tmp_path):
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(arrow.table({"x": X.tolist(), "y": Y}), tmp_path / "lists.parquet")
    columns = {f"x_{k}": X[:, k] for k in range(3)}
    parquet.write_table(arrow.table({**columns, "y": Y}), tmp_path / "columns.parquet")
    for name in ("lists.parquet", "columns.parquet"):
        arrays = read_arrays(tmp_path / name)
        assert arrays["x"].tolist() == X.tolist()
        assert arrays["y"].tolist() == Y.tolist()
    parquet.write_table(arrow.table({"y": [1, None]}), tmp_path / "holes.parquet")
    with pytest.raises(DataError, match="the column 'y' has empty cells"):
        read_arrays(tmp_path / "holes.parquet")


def test_parquet_without_pyarrow_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    with pytest.raises(MissingExtra, match=r"reading \.parquet needs pyarrow"):
        read_arrays(tmp_path / "a.parquet")


@pytest.mark.parametrize("names", [["p0", "p1"], ["p_0", "p_1"], ["p.0", "p.1"], ["p[0]", "p[1]"]])
def test_numbered_columns_are_one_array_in_any_order(tmp_path, names):
    table(tmp_path / "a.csv", [names[1], "label", names[0]], [[0.25, "cat", 0.75], [0.5, "dog", 0.5]])
    arrays = read_arrays(tmp_path / "a.csv")
    assert arrays["p"].tolist() == [[0.75, 0.25], [0.5, 0.5]]
    assert arrays["label"].tolist() == ["cat", "dog"]


def test_numbers_that_do_not_begin_at_0_stay_columns(tmp_path):
    table(tmp_path / "a.csv", ["top1", "top5"], [[1, 1]])
    assert sorted(read_arrays(tmp_path / "a.csv")) == ["top1", "top5"]


def test_bfloat16_is_read_as_float32(tmp_path):
    save_file({"x": torch.tensor([[1.5]], dtype=torch.bfloat16)}, tmp_path / "a.safetensors")
    assert read_arrays(tmp_path / "a.safetensors")["x"].dtype == np.float32


class Harmful:
    def __reduce__(self):
        return (print, ("unpickled",))


def test_nothing_is_unpickled(tmp_path, capsys):
    torch.save({"x": Harmful()}, tmp_path / "a.pt")
    np.savez(tmp_path / "a.npz", x=np.array([Harmful()], dtype=object))
    np.save(tmp_path / "a.npy", np.array([Harmful()], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match="holds more than tensors, and is not opened") as refused:
        read_arrays(tmp_path / "a.pt")
    assert re.search(r"got: +an object of (builtins\.)?print", str(refused.value))
    for name in ("a.npz", "a.npy"):
        with pytest.raises(DataError, match="cannot be read"):
            read_arrays(tmp_path / name)
    assert "unpickled" not in capsys.readouterr().out


def test_files_that_cannot_be_read_are_named(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        read_arrays(tmp_path / "absent.npz")
    (tmp_path / "notes.txt").write_text("no arrays")
    with pytest.raises(DataError, match=r"notes.txt is not a file that can be measured") as error:
        read_arrays(tmp_path / "notes.txt")
    assert ".safetensors" in error.value.expected
    with pytest.raises(DataError, match="is not a file that can be measured"):
        read_arrays(tmp_path)
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(DataError, match="holds no arrays"):
        read_arrays(tmp_path / "list.pt")
    (tmp_path / "ragged.csv").write_text("a,b\n1\n")
    with pytest.raises(DataError, match="is not a table"):
        read_arrays(tmp_path / "ragged.csv")


@pytest.mark.parametrize("suffix", ["npz", "npy", "csv", "safetensors", "pt"])
@pytest.mark.parametrize("damage", ["empty", "cut", "noise"])
def test_damaged_files_are_one_message(tmp_path, suffix, damage):
    path = tmp_path / f"a.{suffix}"
    if suffix == "npz":
        np.savez(path, x=X)
    elif suffix == "npy":
        np.save(path, X)
    elif suffix == "pt":
        torch.save({"x": torch.tensor(X)}, path)
    elif suffix == "safetensors":
        save_file({"x": torch.tensor(X)}, path)
    else:
        table(path, ["a", "b"], [[1, 2]])
    content = path.read_bytes()
    noise = np.random.default_rng(0).bytes(200)
    path.write_bytes({"empty": b"", "cut": content[: len(content) // 2], "noise": noise}[damage])
    if (suffix, damage) == ("csv", "cut"):
        assert read_arrays(path)["a"].tolist() == []  # a header alone is a table without rows
        return
    with pytest.raises(DataError, match=rf"a\.{suffix}"):
        read_arrays(path)
