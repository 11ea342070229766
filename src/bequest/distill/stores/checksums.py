"""Remembers which files of a store matched their checksums when they were last read whole."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from bequest.distill.stores.manifest import Shard
from bequest.errors import RunFolderError
from bequest.files import read_json, write_json

CHECKED = ".checked.json"
"""Holds the checksum and the :func:`_stamp` of each file that was read whole and was right."""


def damaged_files(folder: Path, shards: Iterable[Shard], *, again: bool = True) -> list[str]:
    """The files whose SHA-256 is not the manifest's.

    Args:
        folder: Their folder.
        shards: Their entries in the manifest; sizes have been compared.
        again: False skips files that an earlier call read and that have not changed since: any write to a
            file, and any attempt to hide one, changes its ctime.
    """
    remembered = _remembered(folder)
    right: dict[str, Any] = {}
    faults = []
    for shard in shards:
        stamp = [shard.sha256, *_stamp(folder / shard.file)]
        if (again or remembered.get(shard.file) != stamp) and sha256_of(folder / shard.file) != shard.sha256:
            faults.append(shard.file)
        else:
            right[shard.file] = stamp
    if right != remembered:
        with suppress(RunFolderError):  # it only saves time: a full disk or a builder tidying up is no fault
            write_json(folder / CHECKED, right)
    return faults


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's content, as hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _stamp(path: Path) -> list[int]:
    """Size, times and inode of a file; its ctime, unlike its mtime, cannot be set."""
    status = path.stat()
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]


def _remembered(folder: Path) -> dict[str, Any]:
    try:
        content = read_json(folder / CHECKED)
    except RunFolderError:
        return {}
    return content if isinstance(content, dict) else {}
