"""Rows that are read when they are asked for: the values of the tensor, and no more reads than rows."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch

from bequest.data.datasets import Split
from bequest.data.rows import LazyRows, RowReader, blocks_of, in_memory, rows_at
from bequest.data.rows.lazy import digest_of

WHOLE = torch.arange(60.0).view(20, 3)


class Counting(RowReader):
    """Reads the rows of a tensor, and remembers which."""

    def __init__(self, x=WHOLE):
        self.x, self.count, self.shape, self.dtype = x, len(x), tuple(x.shape[1:]), x.dtype
        self.reads, self.ahead = [], []

    def read(self, rows):
        self.reads.append(rows.tolist())
        return self.x[rows]

    def prefetch(self, rows):
        self.ahead.append(rows.tolist())

    def digests(self, rows):
        return b"".join(digest_of(row) for row in self.x[rows].numpy())

    def __reduce__(self):
        return Counting, (self.x,)


@pytest.fixture
def reader():
    return Counting()


CHOICES = {
    "places": lambda x: x[torch.tensor([3, 1, 3])],
    "mask": lambda x: x[torch.arange(20) % 7 == 0],
    "index_select": lambda x: x.index_select(0, torch.tensor([5, 4])),
    "one": lambda x: x[2],
    "last": lambda x: x[-1],
    "slice": lambda x: x[2:5] + 0,
    "steps": lambda x: x[::6] + 0,
    "slice of a slice": lambda x: x[4:18][2:9:3] * 1,
    "none": lambda x: x[7:7] + 0,
}


@pytest.mark.parametrize("name", sorted(CHOICES))
def test_a_choice_of_rows_reads_these(name, reader):
    expected = CHOICES[name](WHOLE)
    assert torch.equal(CHOICES[name](LazyRows(reader)), expected)
    (read,) = reader.reads
    assert len(read) == (len(expected) if expected.ndim > 1 else 1)


WHOLE_OPERATIONS = {
    "sum": lambda x: x.sum(),
    "matmul": lambda x: x @ x.T,
    "columns": lambda x: x[:, 1:],
    "flat": lambda x: x.view(60),
    "two kinds of index": lambda x: x[torch.tensor([1, 2]), torch.tensor([0, 1])],
    "repeat": lambda x: x.repeat(2, 1),
    "cat": lambda x: torch.cat([x, x]),
    "double": lambda x: x.double(),
    "compare": lambda x: x > 4,
    "numpy": lambda x: torch.from_numpy(np.asarray(x)),
    "list": lambda x: torch.tensor(x.tolist()),
    "columns apart": lambda x: torch.split(x, 2, dim=1)[0],
}


@pytest.mark.parametrize("name", sorted(WHOLE_OPERATIONS))
def test_anything_else_reads_all(name, reader):
    operation = WHOLE_OPERATIONS[name]
    assert torch.equal(operation(LazyRows(reader)), operation(WHOLE))
    assert all(len(read) == 20 for read in reader.reads)


def test_cutting_and_looking_at_it_reads_nothing(reader):
    x = LazyRows(reader)
    parts = torch.split(x, 8)
    assert [tuple(part.shape) for part in parts] == [(8, 3), (8, 3), (4, 3)]
    assert (x.shape, x.dtype, x.device.type, len(x), x.ndim) == ((20, 3), torch.float32, "cpu", 20, 2)
    assert x.is_floating_point()
    assert not x.requires_grad
    assert type(x.detach()) is type(x[3:]) is type(x.take(torch.tensor([1]))) is LazyRows
    assert copy.deepcopy(x) is x
    assert "LazyRows((20, 3), torch.float32, read by Counting)" in repr(x)
    assert reader.reads == []
    assert torch.equal(torch.cat(parts), WHOLE)
    assert [len(rows) for rows in reader.reads] == [8, 8, 4]


def test_a_part_that_is_read_lets_the_next_one_be_read_ahead(reader):
    for part in torch.split(LazyRows(reader), 8):
        in_memory(part)
    assert reader.ahead == [list(range(8, 16)), list(range(16, 20))]


def test_it_is_sent_as_its_reader_and_its_rows(reader):
    x = pickle.loads(pickle.dumps(LazyRows(reader).take(torch.tensor([9, 2]))))
    assert isinstance(x, LazyRows)
    assert torch.equal(x + 0, WHOLE[[9, 2]])


def test_a_split_takes_rows_without_reading_and_its_digest_is_that_of_the_rows(reader):
    rows = torch.tensor([4, 4, 11])
    split = Split(LazyRows(reader), None, torch.arange(20))
    part = split.take(rows)
    assert isinstance(part.x, LazyRows)
    assert reader.reads == []
    assert torch.equal(rows_at(WHOLE, rows), part.x + 0)
    same = Split(LazyRows(Counting()), None, torch.arange(20)).take(rows)
    assert part.digest == same.digest != split.digest
    other = WHOLE.clone()
    other[11, 2] += 1
    assert Split(LazyRows(Counting(other)), None, torch.arange(20)).take(rows).digest != part.digest


def test_blocks_are_small_in_memory(reader, monkeypatch):
    monkeypatch.setattr("bequest.data.rows.lazy.BLOCK_BYTES", 7 * 12)
    blocks = list(blocks_of(LazyRows(reader)))
    assert [len(block) for block in blocks] == [7, 7, 6]
    assert not any(isinstance(block, LazyRows) for block in blocks)
    assert torch.equal(torch.cat(blocks), WHOLE)
    assert torch.equal(torch.cat(list(blocks_of(WHOLE))), WHOLE)
