"""Items of torch Datasets that are read by index, in other processes: values, order, refusals, ends."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.utils.data import Dataset, IterableDataset

import bequest as bq
from bequest.data import as_dataset
from bequest.data.batches import Batches
from bequest.data.datasets import as_pool
from bequest.data.queries import Source
from bequest.data.rows import LazyRows
from bequest.data.rows.items import ItemReaders, survey
from bequest.data.views import Mixup, Shift
from bequest.distill import engine
from bequest.distill.stores import build_store
from bequest.errors import DataError


class Pictures(Dataset):
    """Images of noise, made from their index."""

    def __init__(self, count=120, form="array", seed=0):
        self.count, self.form, self.seed, self.reads = count, form, seed, []

    def __len__(self):
        return self.count

    def __getitem__(self, row):
        self.reads.append(row)
        pixels = np.random.default_rng([self.seed, row]).integers(0, 256, (1, 6, 6), np.uint8)
        if self.form == "image":
            return Image.fromarray(pixels[0]), row % 3
        return (torch.from_numpy(pixels) / 255 if self.form == "tensor" else pixels), row % 3


@pytest.fixture
def lazily(monkeypatch):
    """Nothing is so small that it is held in memory."""
    monkeypatch.setattr("bequest.data.rows.lazy.IN_MEMORY", 0)


def readers_of(x):
    return x.reader._readers


@pytest.mark.parametrize("readers", [0, 2])
@pytest.mark.parametrize("form", ["array", "image", "tensor"])
def test_items_are_read_by_index_with_the_values_of_the_whole(form, readers, monkeypatch):
    held = as_dataset(Pictures(form=form))
    monkeypatch.setattr("bequest.data.rows.lazy.IN_MEMORY", 0)
    read = as_dataset(Pictures(form=form), readers=readers)
    for name in held.splits:
        assert isinstance(read[name].x, LazyRows)
        assert torch.equal(read[name].x + 0, held[name].x)
        assert torch.equal(read[name].y, held[name].y)
        assert torch.equal(read[name].ids, held[name].ids)


def test_the_parent_reads_no_item_but_the_first_few(lazily):
    data = Pictures()
    x = as_dataset(data, readers=2)["train"].x
    probed = len(data.reads)
    assert probed <= 33
    batch = x[torch.arange(40)]
    assert len(data.reads) == probed
    assert torch.equal(batch, x[torch.arange(40)])


def test_steps_are_read_ahead_in_their_order_and_only_once(lazily, monkeypatch):
    asked = []
    real = ItemReaders.ask

    def ask(self, task, rows):
        if task.__name__ == "_task_read":
            asked.append(rows.tolist())
        return real(self, task, rows)

    monkeypatch.setattr(ItemReaders, "ask", ask)
    split = as_dataset(Pictures())["train"]
    batches = Batches((Source("train", split, Shift(1)),), batch=16, seed=3)
    expected = [batches.at(step).ids.tolist() for step in range(12)]  # two passes of six steps
    rows = {int(split.ids[place]): int(row) for place, row in enumerate(split.x.rows)}
    assert asked[:12] == [[rows[i] for i in ids] for ids in expected]
    assert len(asked) == 12 + 3


def student():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(36, 8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 3))


def teacher():
    torch.manual_seed(1)
    return nn.Sequential(nn.Flatten(), nn.Linear(36, 3))


class Killed(Exception):
    pass


def test_a_training_on_items_is_that_on_arrays_also_when_it_was_killed(tmp_path, monkeypatch):
    monkeypatch.setattr(engine, "STRETCH", 3)
    options = {"teachers": [teacher()], "views": Mixup(0.5), "epochs": 3, "batch": 16, "seed": 5}
    held = bq.distill(student(), as_dataset(Pictures()), **options)
    monkeypatch.setattr("bequest.data.rows.lazy.IN_MEMORY", 0)
    read = bq.distill(student(), Pictures(), **options)
    assert read.record.weights_digest == held.record.weights_digest
    assert read.history == held.history

    epochs = []

    def kill(epoch, network):
        epochs.append(epoch)
        if epoch == 2 and len(epochs) == 3:
            raise Killed

    path = tmp_path / "checkpoint.pt"
    with pytest.raises(Exception, match="callback"):
        bq.distill(student(), Pictures(), checkpoint=path, callbacks=[kill], **options)
    assert path.exists()
    resumed = bq.distill(student(), Pictures(), checkpoint=path, **options)
    assert resumed.record.weights_digest == held.record.weights_digest


def test_ranks_read_their_own_rows(lazily):
    split = as_dataset(Pictures())["train"]
    whole = Batches((Source("train", split, Shift(1)),), batch=16, seed=3)
    parts = [Batches((Source("train", split, Shift(1)),), batch=16, seed=3) for _ in range(2)]
    for step in (0, 5, 6):
        x = whole.at(step).x
        for rank, batches in enumerate(parts):
            assert torch.equal(batches.at(step, every=2, start=rank).x, x[rank::2])


@pytest.mark.parametrize("workers", [1, 2])
def test_a_store_of_items_is_that_of_arrays(workers, tmp_path, monkeypatch):
    held = build_store(teacher(), as_dataset(Pictures()), path=tmp_path / "held", views=Shift(1), count=2)
    monkeypatch.setattr("bequest.data.rows.lazy.IN_MEMORY", 0)
    data = as_dataset(Pictures())
    read = build_store(teacher(), data, path=tmp_path / "read", views=Shift(1), count=2, workers=workers)
    names = sorted(path.name for path in (tmp_path / "held").glob("*.npy"))
    assert names
    for name in names:
        assert (tmp_path / "held" / name).read_bytes() == (tmp_path / "read" / name).read_bytes()
    assert held.bytes == read.bytes


class Drawing(Pictures):
    """Half of the pixels change at every reading, of those items that are asked for."""

    def __init__(self, random, **options):
        super().__init__(**options)
        self.random = random

    def __getitem__(self, row):
        x, y = super().__getitem__(row)
        if row in self.random:
            x = x ^ np.frombuffer(os.urandom(36), np.uint8).reshape(1, 6, 6)
        return x, y


@pytest.mark.parametrize("readers", [0, 2])
def test_an_item_that_differs_is_refused_when_it_is_read_again(readers, lazily):
    with pytest.raises(DataError, match="differs between two reads") as refused:
        as_dataset(Drawing(range(120)), readers=readers)
    assert "views=" in str(refused.value)
    assert "frozen=True" in str(refused.value)
    data = as_dataset(Drawing({17}), readers=readers)  # none of the items that are probed
    for split in data.splits.values():
        rows = split.x.rows
        if 17 in rows:
            with pytest.raises(DataError, match="item 17 of the Dataset differs between two reads"):
                split.x + 0
            with pytest.raises(DataError, match="item 17 of the Dataset differs"):
                split.x[(rows == 17).nonzero()[:, 0]]
        else:
            split.x + 0


def test_frozen_items_are_read_once(lazily):
    data = as_dataset(Drawing(range(120)), frozen=True, readers=2)
    x = data["train"].x
    assert isinstance(x, LazyRows)
    assert torch.equal(x + 0, x + 0)
    assert len(torch.unique(x.flatten(1), dim=0)) == len(x)


def test_an_iterable_dataset_is_refused_with_the_reason(lazily):
    class Stream(IterableDataset):
        def __iter__(self):
            yield from Pictures()

    for door in (as_dataset, as_pool):
        with pytest.raises(DataError, match="IterableDataset cannot be used") as refused:
            door(Stream())
        assert "no ids" in str(refused.value)


class Broken(Pictures):
    def __getitem__(self, row):
        if row == 61:
            self.fail()
        return super().__getitem__(row)

    def fail(self):
        raise ValueError("a broken file")


class Ragged(Pictures):
    def __getitem__(self, row):
        x, y = super().__getitem__(row)
        return (x[:, :5] if row == 61 else x), y


class Dying(Broken):
    def fail(self):
        os._exit(3)


@pytest.mark.parametrize("readers", [0, 2])
@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (Broken, "the Dataset's item 61 cannot be read"),
        (Ragged, r"differ in shape or type(.|\n)*\(1, 5, 6\) of uint8 in item 61"),
    ],
)
def test_what_is_wrong_with_an_item_is_named(kind, message, readers, lazily):
    with pytest.raises(DataError, match=message):
        as_dataset(kind(), readers=readers)


def test_a_reader_that_dies_is_one_message(lazily):
    with pytest.raises(DataError, match="a process that reads the Dataset's items died") as died:
        as_dataset(Dying(), readers=2)
    assert "readers=0" in str(died.value)


def test_nan_in_an_item_is_found(lazily):
    class Holes(Pictures):
        def __getitem__(self, row):
            x, y = super().__getitem__(row)
            x = x.astype(np.float32)
            if row == 61:
                x[0, 0, 0] = np.nan
            return x, y

    with pytest.raises(DataError, match="NaN or infinity in 1 of"):
        as_dataset(Holes())


def test_a_pool_may_be_items_without_labels(monkeypatch):
    class Bare(Pictures):
        def __getitem__(self, row):
            return super().__getitem__(row)[0]

    held = [as_pool(Bare()), as_pool(Pictures())]
    monkeypatch.setattr("bequest.data.rows.lazy.IN_MEMORY", 0)
    for pool in (as_pool(Bare()), as_pool(Pictures())):
        assert pool.y is None
        assert isinstance(pool.x, LazyRows)
        assert all(torch.equal(pool.x + 0, other.x) for other in held)


def test_a_dataset_that_cannot_be_sent_is_refused_where_processes_are_spawned(monkeypatch):
    monkeypatch.setattr("multiprocessing.get_all_start_methods", lambda: ["spawn"])
    readers = ItemReaders(lambda row: (np.zeros(3), row), 1)
    with pytest.raises(DataError, match="cannot be sent to the processes that read its items"):
        survey(readers, 4)


def test_readers_end_with_their_parent():
    code = (
        "import bequest.data.rows.lazy as lazy; lazy.IN_MEMORY = 0\n"
        "import numpy as np, time, torch\n"
        "from bequest.data import as_dataset\n"
        "class Items(torch.utils.data.Dataset):\n"
        "    def __len__(self): return 90\n"
        "    def __getitem__(self, row): return np.full((2, 2), row, np.float32), row % 3\n"
        "x = as_dataset(Items())['train'].x\n"
        "x + 0\n"
        "print(*x.reader._readers._executor._processes, flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        children = [int(pid) for pid in parent.stdout.readline().split()]
        assert len(children) == 2
        parent.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 10
    while any(running(pid) for pid in children) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(running(pid) for pid in children)


def running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_items_are_sent_to_stores_of_several_processes(lazily):
    x = as_dataset(Pictures())["train"].x
    sent = pickle.loads(pickle.dumps(x))
    assert torch.equal(sent[torch.arange(20)], x[torch.arange(20)])
