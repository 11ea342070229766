"""The folder of a store during a build: which store it holds, which views are finished, who writes."""

from __future__ import annotations

import math
import os
import shutil
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

from bequest.distill.stores.checksums import CHECKED, damaged_files
from bequest.distill.stores.job import Job
from bequest.distill.stores.manifest import (
    MANIFEST,
    SHORT,
    Collection,
    Manifest,
    Shard,
    StoreDamaged,
    differences,
    read_manifest,
)
from bequest.distill.stores.writer import described, finished, journal_path
from bequest.errors import SignalError
from bequest.files import write_text
from bequest.locks import LOCK, acquire, claimant

BUILDING = ".building.json"
"""The manifest of a store that is not finished, without shards."""

Finished = dict[tuple[int, int], tuple[tuple[Shard, ...], ...]]
"""The shards of finished (goal, view) pairs, one tuple per teacher."""


def rank_and_world() -> tuple[int, int]:
    """Rank and world size as set by ``torchrun``; (0, 1) without it."""
    return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))


def until(true: Callable[[], bool]) -> None:
    """Poll until ``true()``, for another rank's work; ``torchrun`` ends all ranks if one fails."""
    while not true():
        time.sleep(0.05)


def taken_up(job: Job) -> Finished:
    """The shards of the views that are finished.

    Raises:
        SignalError: If a folder holds another store, or arrays without a manifest.

    Warns:
        UserWarning: Names each damaged file, whose view is answered again.
    """
    whole: Finished = {}
    for index, goal in enumerate(job.goals):
        listed = [_prepared(folder, m) for folder, m in zip(goal.folders, goal.manifests, strict=True)]
        for view in range(goal.views):
            written = [
                shards.get(view) or finished(f, view) for shards, f in zip(listed, goal.folders, strict=True)
            ]
            if all(written):
                whole[index, view] = tuple(shards for shards in written if shards)
    return _without_damaged(job, whole)


def _without_damaged(job: Job, views: Finished) -> Finished:
    """``views`` without those that have a damaged file, with a warning for each."""
    for index, goal in enumerate(job.goals):
        for teacher, folder in enumerate(goal.folders):
            shards = [each for (place, _), of in views.items() if place == index for each in of[teacher]]
            for file in damaged_files(folder, shards, again=False):
                view = next(shard.view for shard in shards if shard.file == file)
                views.pop((index, view), None)
                # The journal still calls the view finished; without it, the view is answered again.
                journal_path(folder, view).unlink(missing_ok=True)
                warnings.warn(
                    f"{folder / file} is damaged (checksum); its view is computed again", stacklevel=2
                )
    return views


@contextmanager
def alone(path: Path, *, wait: bool) -> Iterator[None]:
    """Lock the folder for one build; among several ranks, the first one holds the lock.

    Raises:
        SignalError: If another build holds it.
    """
    if (path / "study.json").is_file():
        raise SignalError(f"{path} is a run folder, not a store", remedy="choose a folder of its own")
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SignalError(
            f"cannot write {path}", got=error.strerror, remedy="choose another folder"
        ) from error
    if rank_and_world()[0] != 0:
        yield
        return
    with suppress(OSError):
        (path / LOCK).rmdir()  # an empty folder in the place of the lock file, if there is one
    release = acquire(path / LOCK, patience=math.inf if wait else 0.0)
    if release is None:
        raise SignalError(
            f"another build is writing {path}",
            expected="one builder per folder",
            got=claimant(path / LOCK),
            remedy="wait for it, or choose another folder",
        )
    try:
        yield
    finally:
        release()


def check_space(job: Job) -> None:
    """Refuse, before the first answer, a store that does not fit on the disk.

    Raises:
        SignalError: Says how many bytes are needed and how many are free.
    """
    for goal in job.goals:
        for folder, manifest in zip(goal.folders, goal.manifests, strict=True):
            written = sum(path.stat().st_size for path in folder.glob("view-*"))
            needed, free = estimate(manifest) - written, shutil.disk_usage(folder).free
            if needed > free:
                raise SignalError(
                    f"the disk of {folder} has too little free space for the store",
                    expected=f"{needed:,} bytes",
                    got=f"{free:,} bytes free",
                    remedy="free some space, keep fewer views, or choose a smaller codec",
                )


def estimate(manifest: Manifest) -> int:
    """Bytes of the arrays of a store with this manifest."""
    row = sum(np.dtype(described(a.dtype)).itemsize * math.prod(a.shape) for a in manifest.arrays)
    return int(row) * manifest.views.count * manifest.data.samples


def clear(folder: Path) -> None:
    """Delete the files of a store, and nothing else."""
    for pattern in (
        MANIFEST,
        BUILDING,
        CHECKED,
        "view-*.npy",
        "view-*.unfinished",
        ".view-*.journal",
    ):
        for path in folder.glob(pattern):
            path.unlink()


def _prepared(folder: Path, wanted: Manifest) -> dict[int, tuple[Shard, ...]]:
    """Prepare ``folder`` for ``wanted``; returns the shards that its manifest, if any, lists."""
    first = rank_and_world()[0] == 0
    folder.mkdir(parents=True, exist_ok=True)
    if not first:
        until(lambda: (folder / MANIFEST).exists() or (folder / BUILDING).exists())
    stored, where = None, folder / MANIFEST
    if (folder / MANIFEST).exists():
        stored = read_manifest(folder / MANIFEST)
    elif (folder / BUILDING).exists():
        where = folder / BUILDING
        stored = read_manifest(where)
    elif any(folder.glob("view-*.npy")):
        raise StoreDamaged(
            f"{folder} holds arrays that no manifest lists",
            expected="an empty folder, or a store",
            got=min(path.name for path in folder.glob("view-*.npy")),
            remedy="choose another folder, or move them away",
        )
    if isinstance(stored, Collection):
        raise _another(where, ["it holds several stores"])
    if stored is not None:
        grown = stored.model_copy(
            update={"views": stored.views.model_copy(update={"count": wanted.views.count})}
        )
        # A finished store may have more views than are asked for, or be asked for more: both are fine.
        lines = differences(stored if stored.views.count > wanted.views.count else grown, wanted)
        if lines:
            raise _another(where, lines)
    if first and (stored is None or stored.views.count < wanted.views.count):
        write_text(folder / BUILDING, wanted.text())
    return _whole_views(folder, stored.shards if stored is not None else (), len(wanted.arrays))


def _whole_views(folder: Path, listed: Sequence[Shard], arrays: int) -> dict[int, tuple[Shard, ...]]:
    """The views whose files all exist with the right size."""
    shards: dict[int, tuple[Shard, ...]] = {}
    for shard in listed:
        path = folder / shard.file
        if path.is_file() and path.stat().st_size == shard.bytes:
            shards[shard.view] = (*shards.get(shard.view, ()), shard)
    return {view: listed_shards for view, listed_shards in shards.items() if len(listed_shards) == arrays}


def _another(where: Path, lines: Sequence[str]) -> StoreDamaged:
    return StoreDamaged(
        "\n".join([f"{where.parent} holds another store:", *(f"  - {line}" for line in lines[:SHORT])]),
        remedy="choose another folder, or start over with fresh=True (--fresh)",
    )
