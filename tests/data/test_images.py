"""Decoded images in a memory-mapped cache: the pixels of the files, whatever became of the cache."""

from __future__ import annotations

import errno
import os
import pickle
import shutil
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

import bequest as bq
from bequest.data import images, load_dataset
from bequest.data.image_file import Shape, decode
from bequest.data.images import cache_folder, decode_all
from bequest.data.rows import LazyRows
from bequest.errors import DataError

RNG = np.random.default_rng(0)
SHAPE = Shape(8)


@pytest.fixture
def files(tmp_path):
    """Nine images, of which one is cut off."""
    folder = tmp_path / "files"
    folder.mkdir()
    paths = [folder / f"{k}.png" for k in range(9)]
    for path in paths:
        Image.fromarray(RNG.integers(0, 256, (11, 9, 3), np.uint8)).save(path)
    paths[4].write_bytes(paths[4].read_bytes()[:60])
    return paths


@pytest.fixture
def lazily(monkeypatch):
    """Nothing is so small that it is held in memory."""
    monkeypatch.setattr("bequest.data.rows.lazy.IN_MEMORY", 0)


def pixels(files):
    return torch.from_numpy(np.stack([decode(path, SHAPE) for path in files if path.stem != "4"])) / 255


def decoded_again(paths, cache):
    decoded = decode_all(paths, SHAPE, cache=cache)
    return decoded.inputs() + 0, decoded.unreadable


@pytest.mark.parametrize("cached", [True, False])
def test_pixels_are_those_of_the_files_held_or_read(cached, files, tmp_path, monkeypatch):
    cache = tmp_path / "cache" if cached else None
    held = decode_all(files, SHAPE, cache=cache)
    assert not isinstance(held.inputs(), LazyRows)
    monkeypatch.setattr("bequest.data.rows.lazy.IN_MEMORY", 0)
    read = decode_all(files, SHAPE, cache=cache)
    assert isinstance(read.inputs(), LazyRows)
    for decoded in (held, read):
        assert torch.equal(decoded.inputs() + 0, pixels(files))
        assert decoded.x.dtype == torch.uint8
        assert torch.equal(decoded.x / 255, pixels(files))
        assert decoded.readable.tolist() == [0, 1, 2, 3, 5, 6, 7, 8]
        (reason,) = decoded.unreadable
        assert str(files[4]) in reason
    assert torch.equal(read.inputs()[torch.tensor([5, 0])], held.inputs()[[5, 0]])


def test_what_the_cache_has_is_not_decoded_again(files, tmp_path, monkeypatch, lazily):
    decode_all(files, SHAPE, cache=tmp_path)
    monkeypatch.setattr(images, "decode", lambda *_: pytest.fail("decoded again"))
    assert torch.equal(decode_all(files, SHAPE, cache=tmp_path).inputs() + 0, pixels(files))


@pytest.mark.parametrize("name", ["npz", "pixels"])
@pytest.mark.parametrize("damage", [0, 0.5, -1, 100, "byte", "text", "gone"])
def test_a_damaged_cache_is_made_again(name, damage, files, tmp_path, lazily):
    expected = decode_all(files, SHAPE, cache=tmp_path).inputs() + 0
    (file,) = tmp_path.glob(f"*.{name}")
    before = content = file.read_bytes()
    if damage == "byte":
        content = content[:150] + bytes([content[150] ^ 255]) + content[151:]
    elif damage == "text":
        content = b"text"
    else:
        content = (
            content[: int(damage * len(content)) if isinstance(damage, float) else damage]
            if damage != "gone"
            else b""
        )
    file.write_bytes(content)
    if damage == "gone":
        file.unlink()
    x, unreadable = decoded_again(files, tmp_path)
    assert torch.equal(x, expected)
    assert torch.equal(decode_all(files, SHAPE, cache=tmp_path).x, (255 * expected).round().byte())
    assert len(unreadable) == 1
    assert file.read_bytes() == before


def test_a_changed_file_is_decoded_again(files, tmp_path):
    first = decode_all(files, SHAPE, cache=tmp_path).inputs()
    Image.new("RGB", (9, 9), (1, 2, 3)).save(files[0])
    assert not torch.equal(decode_all(files, SHAPE, cache=tmp_path).inputs(), first)


def test_an_image_whose_pixels_are_damaged_and_whose_file_changed_is_named(files, tmp_path, lazily):
    x = decode_all(files, SHAPE, cache=tmp_path).inputs()
    (file,) = tmp_path.glob("*.pixels")
    Image.new("RGB", (9, 9), (1, 2, 3)).save(files[2])
    with file.open("r+b") as damaged:
        damaged.seek(2 * 192 + 5)
        damaged.write(b"\0\1\2")
    with pytest.raises(DataError, match=r"row 2 of .*pixels has changed since it was loaded"):
        x[torch.tensor([2])]
    assert torch.equal(x[torch.tensor([1])], pixels(files)[1:2])


def test_a_folder_that_cannot_be_written_costs_time_only(files, tmp_path, monkeypatch, lazily):
    (tmp_path / "file").write_text("in the way")
    decoded = decode_all(files, SHAPE, cache=tmp_path / "file" / "cache")
    assert torch.equal(decoded.inputs() + 0, pixels(files))


def test_a_full_disk_is_one_message_and_leaves_nothing(files, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(DataError, match="no space for 1,728 bytes of samples") as refused:
        decode_all(files, SHAPE, cache=tmp_path / "cache")
    assert "TMPDIR" in str(refused.value)
    assert [path for path in (tmp_path / "cache").iterdir() if path.suffix != ".lock"] == []


def test_without_reservation_the_disk_of_the_cache_is_asked_for_room(files, tmp_path, monkeypatch):
    def unsupported(*_):
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    monkeypatch.setattr(os, "posix_fallocate", unsupported)
    full, roomy = SimpleNamespace(free=10), SimpleNamespace(free=1 << 40)
    cache = tmp_path / "cache"
    monkeypatch.setattr(shutil, "disk_usage", lambda path: full if Path(path) == cache else roomy)
    with pytest.raises(DataError, match="no space for 1,728 bytes of samples"):
        decode_all(files, SHAPE, cache=cache)


def test_processes_that_start_together_decode_once(files, tmp_path, monkeypatch):
    with ProcessPoolExecutor(3, get_context("spawn")) as pool:
        results = list(pool.map(decoded_again, [files] * 3, [tmp_path] * 3))
    assert all(torch.equal(x, pixels(files)) for x, _ in results)
    assert len(list(tmp_path.glob("*.pixels"))) == len(list(tmp_path.glob("*.npz"))) == 1
    assert list(tmp_path.glob(".*")) == []


def test_they_are_sent_to_another_process_by_name(files, tmp_path, lazily):
    x = decode_all(files, SHAPE, cache=tmp_path).inputs()
    sent = pickle.dumps(x)
    assert torch.equal(pickle.loads(sent) + 0, pixels(files))


def test_a_training_on_a_folder_is_the_same_held_or_read(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for k in range(60):
        path = tmp_path / "photos" / f"class{k % 3}" / f"{k}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(RNG.integers(0, 256, (8, 8, 3), np.uint8)).save(path)
    options = {"epochs": 2, "batch": 8, "views": bq.Shift(1)}
    held = bq.fit("mlp", load_dataset(f"folder:{tmp_path / 'photos'}", size=8), **options)
    monkeypatch.setattr("bequest.data.rows.lazy.IN_MEMORY", 0)
    data = load_dataset(f"folder:{tmp_path / 'photos'}", size=8)
    assert isinstance(data["train"].x, LazyRows)
    read = bq.fit("mlp", data, **options)
    assert read.record.weights_digest == held.record.weights_digest
    assert read.score() == held.score()
    assert len(list(cache_folder().glob("*.pixels"))) == 3
