"""Whatever is wrong with a store's files is found, and named."""

from __future__ import annotations

import errno
import json
import os
import random
from pathlib import Path
from typing import IO, Any

import numpy as np
import pytest
from torch import nn

import bequest as bq
from bequest import files
from bequest.data.datasets import Dataset
from bequest.data.views import Shift
from bequest.distill.stores import verify_store
from bequest.distill.stores.checksums import CHECKED
from bequest.distill.stores.folder import BUILDING
from bequest.distill.stores.manifest import MANIFEST, Manifest, read_manifest
from bequest.distill.stores.writer import journal_path
from bequest.distill.teachers import Teacher
from bequest.errors import SignalError
from bequest.locks import LOCK

from .conftest import contents, network


@pytest.fixture
def folder(teacher: nn.Module, data: Dataset, tmp_path: Path) -> Path:
    bq.build_store(teacher, data, views=Shift(1), count=2, path=tmp_path, split="test", codec="float16")
    return tmp_path


def test_one_flipped_bit_anywhere_is_found(folder: Path) -> None:
    """A random bit of every byte of every file, one at a time."""
    dice = random.Random(0)
    flips = 0
    for path in sorted(path for path in folder.iterdir() if path.name != CHECKED):
        content = path.read_bytes()
        for place in range(len(content)):
            damaged = bytearray(content)
            damaged[place] ^= 1 << dice.randrange(8)
            path.write_bytes(damaged)
            with pytest.raises(SignalError):
                bq.open_store(folder)
            flips += 1
        path.write_bytes(content)
    assert flips > 2000
    bq.open_store(folder)


def test_a_bit_that_is_changed_after_the_first_opening_is_found_though_the_time_was_set_back(
    folder: Path,
) -> None:
    bq.open_store(folder)
    path = folder / "view-00001.npy"
    before, content = path.stat(), bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(SignalError, match=r"view-00001.npy: its content has changed since it was written"):
        bq.open_store(folder)
    with pytest.raises(SignalError, match=r"view-00001.npy: its content has changed since it was written"):
        verify_store(folder)


def test_the_second_opening_reads_no_array_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from bequest.distill.stores import checksums

    (folder / checksums.CHECKED).unlink()
    read: list[str] = []
    plain = checksums.sha256_of
    monkeypatch.setattr(checksums, "sha256_of", lambda path: read.append(path.name) or plain(path))
    bq.open_store(folder)
    assert read == ["view-00000.npy", "view-00001.npy"]
    bq.open_store(folder)
    assert len(read) == 2
    os.utime(folder / "view-00000.npy", ns=(1, 1))
    bq.open_store(folder)
    assert read[2:] == ["view-00000.npy"]


def test_a_builder_that_tidies_up_or_a_full_disk_is_no_fault_of_an_opening(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What an opening remembers for the next one is no part of the store."""
    (folder / CHECKED).unlink(missing_ok=True)
    sync = files.sync

    def tidied(file: IO[bytes]) -> None:
        sync(file)
        assert files.tidy(folder) == 1

    def full(file: IO[bytes]) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    for fault in (tidied, full):
        monkeypatch.setattr(files, "sync", fault)
        assert bq.open_store(folder).bytes > 0
        assert not (folder / CHECKED).exists()
    monkeypatch.setattr(files, "sync", sync)
    bq.open_store(folder)
    assert (folder / CHECKED).exists()


@pytest.mark.parametrize("finished", [True, False])
def test_the_same_build_answers_a_damaged_view_again_and_says_so(
    teacher: nn.Module, data: Dataset, tmp_path: Path, finished: bool
) -> None:
    def build() -> None:
        bq.build_store(teacher, data, views=Shift(1), count=2, path=tmp_path, split="test")

    build()
    whole = contents(tmp_path)
    if not finished:  # as a crash leaves it between the last view and the manifest
        manifest = read_manifest(tmp_path / MANIFEST)
        assert isinstance(manifest, Manifest)
        (tmp_path / BUILDING).write_text(manifest.model_copy(update={"shards": ()}).text())
        (tmp_path / MANIFEST).unlink()
        for view in range(2):
            shards = [shard.model_dump() for shard in manifest.shards if shard.view == view]
            journal_path(tmp_path, view).write_text(json.dumps({"shards": shards}) + "\n")
    path = tmp_path / "view-00001.npy"
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    with pytest.warns(
        UserWarning, match=r"view-00001.npy is damaged \(checksum\); its view is computed again"
    ):
        build()
    assert contents(tmp_path) == whole


def test_a_truncated_array_is_found(folder: Path) -> None:
    path = folder / "view-00000.npy"
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(SignalError, match=r"view-00000.npy: expected 328 bytes, got 326"):
        bq.open_store(folder)


def test_a_missing_array_is_found(folder: Path) -> None:
    (folder / "view-00001.npy").unlink()
    with pytest.raises(SignalError, match=r"view-00001.npy: missing"):
        bq.open_store(folder)


@pytest.mark.parametrize("array", [np.zeros((10, 10), np.float16), np.zeros((20, 5), np.int16)])
def test_a_foreign_array_of_the_right_size_is_found_without_checksums(
    folder: Path, array: np.ndarray
) -> None:
    np.save(folder / "view-00000.npy", array)
    with pytest.raises(SignalError, match=r"not the array that the manifest lists: expected .*<f2.*got"):
        bq.open_store(folder, checksums=False)


def test_swapped_views_are_found(folder: Path) -> None:
    first, second = (folder / f"view-0000{view}.npy" for view in range(2))
    kept = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(kept)
    with pytest.raises(SignalError, match="checksum"):
        bq.open_store(folder)


def rewritten(folder: Path, **changes: object) -> None:
    """The manifest with changes, sealed anew, as another program might write it."""
    manifest = read_manifest(folder / MANIFEST)
    assert isinstance(manifest, Manifest)
    (folder / MANIFEST).write_text(manifest.model_copy(update=changes).text())


def test_a_manifest_of_a_newer_version_is_refused(folder: Path) -> None:
    rewritten(folder, version=3)
    with pytest.raises(SignalError, match="written by a newer bequest") as caught:
        bq.open_store(folder)
    assert "version 3" in str(caught.value)


def test_a_manifest_of_another_format_is_refused(folder: Path) -> None:
    (folder / MANIFEST).write_text(json.dumps({"format": "something-else"}))
    with pytest.raises(SignalError, match="is not a manifest of a signal store"):
        bq.open_store(folder)


def test_a_manifest_that_leaves_a_view_out_is_refused(folder: Path) -> None:
    manifest = read_manifest(folder / MANIFEST)
    assert isinstance(manifest, Manifest)
    rewritten(folder, shards=manifest.shards[:1])
    with pytest.raises(SignalError, match=r"view-00001.npy: the manifest does not list it"):
        bq.open_store(folder)


def test_a_manifest_that_points_elsewhere_is_refused(folder: Path) -> None:
    manifest = read_manifest(folder / MANIFEST)
    assert isinstance(manifest, Manifest)
    outside = manifest.shards[0].model_copy(update={"file": "../view-00000.npy"})
    rewritten(folder, shards=(outside, manifest.shards[1]))
    with pytest.raises(SignalError, match="not in the folder of the store"):
        bq.open_store(folder)


def test_a_manifest_that_counts_fewer_rows_is_refused(folder: Path) -> None:
    manifest = read_manifest(folder / MANIFEST)
    assert isinstance(manifest, Manifest)
    short = manifest.shards[0].model_copy(update={"rows": 19})
    rewritten(folder, shards=(short, manifest.shards[1]))
    with pytest.raises(SignalError, match="expected all 20 rows, got 19"):
        bq.open_store(folder)


@pytest.mark.parametrize("text", ["", "{", '{"format": "bequest-signals", "version": 1}'])
def test_a_torn_manifest_is_damaged(folder: Path, text: str) -> None:
    (folder / MANIFEST).write_text(text)
    with pytest.raises(SignalError, match="is damaged"):
        bq.open_store(folder)


def test_a_manifest_that_was_edited_is_damaged(folder: Path) -> None:
    path = folder / MANIFEST
    path.write_text(path.read_text() + "\n")
    with pytest.raises(SignalError, match="its text and its checksum do not match"):
        bq.open_store(folder)


def test_a_folder_without_a_store_is_said(tmp_path: Path) -> None:
    with pytest.raises(SignalError, match="is not a signal store"):
        bq.open_store(tmp_path)


def test_an_unfinished_store_is_said(tmp_path: Path) -> None:
    (tmp_path / ".building.json").write_text("{}")
    with pytest.raises(SignalError, match="is not finished") as caught:
        bq.open_store(tmp_path)
    assert "run the same build command again" in str(caught.value)


def test_stores_that_do_not_fit_together_are_refused(data: Dataset, tmp_path: Path) -> None:
    for name, seed, view_seed in (("a", 0, 0), ("b", 1, 0), ("c", 1, 4)):
        teacher = Teacher(network(seed), name=f"t{seed}")
        bq.build_store(teacher, data, views=Shift(1), seed=view_seed, path=tmp_path / name)
    assert len(bq.open_store(tmp_path / "a", tmp_path / "b").grid) == 2
    with pytest.raises(SignalError, match="do not fit together"):
        bq.open_store(tmp_path / "a", tmp_path / "c")
    with pytest.raises(SignalError, match="same teacher's answers to the same source"):
        bq.open_store(tmp_path / "a", tmp_path / "a")


def test_a_probe_asks_the_teacher_again(teacher: nn.Module, data: Dataset, folder: Path) -> None:
    found = verify_store(folder, teachers=teacher, data=data, samples=30)
    assert (found.files, found.probed) == (2, 30)
    assert found.deviation is not None
    assert found.deviation <= 2.0**-10
    assert verify_store(folder).probed == 0


def test_a_probe_sees_answers_that_are_not_the_teachers(
    teacher: nn.Module, data: Dataset, folder: Path
) -> None:
    """Checksums cannot: an adapter that does something else keeps the digest."""
    asked = Teacher(teacher, adapter=lambda x: 1 - x)
    found = verify_store(folder, teachers=asked, data=data)
    assert found.deviation is not None
    assert found.deviation > 0.01


@pytest.mark.parametrize("codec", ['{"name": "topk", "k": 2}', '{"name": "sampled", "draws": 4}'])
def test_a_probe_compares_lossy_answers_as_they_are_kept(
    teacher: nn.Module, data: Dataset, tmp_path: Path, codec: str
) -> None:
    bq.build_store(teacher, data, views=Shift(1), count=2, path=tmp_path, codec=json.loads(codec))
    same = verify_store(tmp_path, teachers=teacher, data=data)
    other = verify_store(tmp_path, teachers=Teacher(teacher, adapter=lambda x: 1 - x), data=data)
    assert same.deviation is not None
    assert other.deviation is not None
    assert same.deviation <= 1e-3 < 0.01 < other.deviation


def test_a_probe_refuses_other_teachers_and_other_data(
    teacher: nn.Module, data: Dataset, folder: Path
) -> None:
    with pytest.raises(SignalError, match="has the answers of different teachers"):
        verify_store(folder, teachers=network(1), data=data)
    with pytest.raises(SignalError, match="built on other samples"):
        verify_store(folder, teachers=teacher, data=data["train"])


HOSTILE = [
    "[5]",
    "7",
    '{"shards": 3}',
    '{"shards": [{"file": "../x"}]}',
    '{"rows": 1e99}',
    '{"rows": -1}',
    "[" * 9999,
]
"""What a damaged or foreign journal may hold."""


@pytest.mark.parametrize("line", [*HOSTILE, '{"rows": 9999999, "sha256": {}}', '{"rows": 1, "sha256": 1}'])
def test_a_journal_that_is_none_is_begun_anew(
    teacher: nn.Module, data: Dataset, folder: Path, line: str
) -> None:
    whole = contents(folder)
    (folder / BUILDING).write_text(_without_shards(folder))
    (folder / MANIFEST).unlink()
    (folder / "view-00001.npy").unlink()
    journal_path(folder, 1).write_text(line + "\n")
    bq.build_store(teacher, data, views=Shift(1), count=2, path=folder, split="test", codec="float16")
    assert contents(folder) == whole


def _without_shards(folder: Path) -> str:
    manifest = read_manifest(folder / MANIFEST)
    assert isinstance(manifest, Manifest)
    return manifest.model_copy(update={"shards": ()}).text()


def test_a_name_in_a_journal_leads_nowhere_else(teacher: nn.Module, data: Dataset, folder: Path) -> None:
    manifest = read_manifest(folder / MANIFEST)
    assert isinstance(manifest, Manifest)
    outside = folder.parent / "victim.npy"
    outside.with_name("victim.npy.unfinished").write_bytes(b"mine")
    shard = manifest.shards[1].model_copy(update={"file": "../victim.npy"})
    (folder / BUILDING).write_text(_without_shards(folder))
    (folder / MANIFEST).unlink()
    journal_path(folder, 1).write_text(json.dumps({"shards": [shard.model_dump()]}) + "\n")
    bq.build_store(teacher, data, views=Shift(1), count=2, path=folder, split="test", codec="float16")
    assert not outside.exists()


@pytest.mark.parametrize("damage", ["torn", "of another store", "a folder", "arrays alone"])
def test_a_damaged_store_is_built_afresh_where_that_is_allowed(
    teacher: nn.Module, data: Dataset, folder: Path, damage: str
) -> None:
    def build(fresh: Any) -> None:
        options = {"views": Shift(1), "count": 2, "path": folder, "split": "test", "codec": "float16"}
        bq.build_store(teacher, data, fresh=fresh, **options)  # type: ignore[arg-type]

    whole = contents(folder)
    path = folder / MANIFEST
    if damage == "torn":
        path.write_bytes(path.read_bytes()[:100])
    elif damage == "of another store":
        rewritten(folder, logits=(7,))
    else:
        path.unlink()
    if damage == "a folder":
        path.mkdir()
        (folder / "view-00000.npy").unlink()
        (folder / "view-00000.npy").mkdir()
        (folder / LOCK).unlink()
        (folder / LOCK).mkdir()
    with pytest.raises(SignalError):
        build(fresh=False)
    with pytest.warns(UserWarning, match="the store is built again"):
        build(fresh="damaged")
    assert contents(folder) == whole


def test_what_is_not_damaged_is_not_built_afresh(
    teacher: nn.Module, data: Dataset, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> None:
        raise AssertionError("the teacher was asked again")

    monkeypatch.setattr("bequest.distill.stores.build._start_over", never)
    bq.build_store(
        teacher, data, views=Shift(1), count=2, path=folder, split="test", codec="float16", fresh="damaged"
    )
