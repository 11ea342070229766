"""Arrays in files that are filled row by row: limited by the disk, and never in memory as a whole."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO

import numpy as np

from bequest.errors import DataError

UNSUPPORTED = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}
"""Errors of file systems that cannot reserve space."""


def scratch_array(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """A memory-mapped array of zeros in an unnamed file, which is deleted with the array.

    Raises:
        DataError: If the disk has no room for it.
    """
    with tempfile.TemporaryFile(prefix="bequest-rows-") as file:
        return mapped(file, shape, dtype, where=tempfile.gettempdir())


def mapped(file: IO[bytes], shape: tuple[int, ...], dtype: np.dtype, *, where: str) -> np.ndarray:
    """An open file as a writable array. Its space is reserved first: a map on a full disk kills its process.

    Raises:
        DataError: If the disk has no room for it.
    """
    size = max(1, int(np.prod(shape)) * dtype.itemsize)
    try:
        _reserve(file, size, where)
    except OSError as error:
        raise DataError(
            f"there is no space for {size:,} bytes of samples in {where}",
            got=error.strerror or str(error),
            remedy="free some space, or name another folder (TMPDIR for scratch files, XDG_CACHE_HOME for "
            "resized images)",
        ) from error
    return np.memmap(file, dtype=dtype, mode="r+", shape=shape)


def filled(array: np.ndarray, rows: Iterable[tuple[int, np.ndarray]]) -> np.ndarray:
    """``array`` with blocks of rows written at their indices."""
    for start, block in rows:
        array[start : start + len(block)] = block
    return array


def write_mapped(
    path: Path, shape: tuple[int, ...], dtype: np.dtype, fill: Callable[[np.ndarray], object]
) -> None:
    """A file of raw numbers, whole or absent, which ``fill`` writes through a memory map.

    Raises:
        DataError: If the disk has no room for it.
        OSError: If the folder cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "w+b") as file:
            array = mapped(file, shape, dtype, where=str(path.parent))
            fill(array)
            if isinstance(array, np.memmap):
                array.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _reserve(file: IO[bytes], size: int, where: str) -> None:
    if hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(file.fileno(), 0, size)
            return
        except OSError as error:
            if error.errno not in UNSUPPORTED:
                raise
    # Without posix_fallocate (macOS, Windows) the next best: another process may still take the room.
    if shutil.disk_usage(where).free < size:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    file.truncate(size)
