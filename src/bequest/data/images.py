"""Many image files as pixels: decoded ahead, kept in a memory-mapped file, read row by row."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bequest.data.compressed import read_npz
from bequest.data.image_file import Shape, decode
from bequest.data.rows import ArrayRows
from bequest.data.rows.lazy import DIGEST_BYTES, digest_of
from bequest.data.rows.stored import scratch_array, write_mapped
from bequest.errors import DataError, RunFolderError
from bequest.files import write_bytes

FORMAT = 3
"""Part of every name in the cache: increase it when the same file is decoded to other pixels."""

THREADS = 8
"""Most files decoded in parallel; fewer with fewer cores."""

PIXELS = np.dtype(np.uint8)


@dataclass(frozen=True)
class Decoded:
    """Images as pixels.

    Attributes:
        rows: One row per file, uint8; undefined for files that could not be read.
        readable: Indices of the files that could be read, int64 (M,), rising.
        unreadable: The other files, each with the reason.
    """

    rows: ArrayRows
    readable: Tensor
    unreadable: tuple[str, ...]

    @property
    def x(self) -> Tensor:
        """The pixels, uint8 (M, C, S, S), of the files that could be read, in memory.

        Raises:
            DataError: If pixels in the cache are damaged, and the file has changed.
        """
        return self.rows.stored(self.readable)

    def inputs(self, *, room: int | None = None) -> Tensor:
        """The inputs of a network, float32 in [0, 1], (M, C, S, S).

        Args:
            room: Bytes of memory that they may take; if they need more, rows are read from the cache on
                demand (:class:`bequest.data.rows.LazyRows`).
        """
        return self.rows.tensor(self.readable, room=room)


@dataclass(frozen=True)
class _Decoding:
    """The result of decoding.

    Attributes:
        pixels: uint8 (N, C, S, S); undefined for files that cannot be read.
        digests: uint8 (N, 16), of the pixels of each file.
        readable: int64 (M,).
        unreadable: As in :class:`Decoded`.
    """

    pixels: np.ndarray
    digests: np.ndarray
    readable: np.ndarray
    unreadable: tuple[str, ...]


def decode_all(paths: Sequence[Path], shape: Shape, *, cache: Path | None = None) -> Decoded:
    """Many image files as pixels; cached ones are not decoded again.

    Args:
        paths: The files.
        shape: Size, channels and fit.
        cache: A folder for the result, under a name computed from the files' paths, sizes and times of
            change; None for a scratch file that is deleted with the pixels.

    Raises:
        DataError: If there is no room for them.
    """
    size = (len(paths), shape.channels, shape.size, shape.size)
    file = None if cache is None else cache / f"{_identity(paths, shape)}.pixels"
    decoding = None
    if file is not None:
        # A cache that cannot be written costs only time.
        with contextlib.suppress(OSError, RunFolderError), _alone(file):
            decoding = _from_cache(file, size) or _into_cache(file, size, paths, shape)
    if decoding is None:
        scratch = scratch_array(size, PIXELS)
        decoding = _Decoding(scratch, *_decoded_into(scratch, paths, shape))
        file = None
    mend = _Again(tuple(paths), shape, file)
    rows = ArrayRows(decoding.pixels, digests=decoding.digests, mend=mend)
    return Decoded(rows, torch.from_numpy(decoding.readable), decoding.unreadable)


def cache_folder() -> Path:
    """The folder of resized images in the user's cache (``XDG_CACHE_HOME``)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bequest" / "images"


@dataclass(frozen=True)
class _Again:
    """Decodes a file again whose pixels in the cache are damaged, and repairs the cache."""

    paths: tuple[Path, ...]
    shape: Shape
    file: Path | None

    def __call__(self, row: int) -> np.ndarray:
        pixels = decode(self.paths[row], self.shape)
        if self.file is not None:
            with contextlib.suppress(OSError):
                np.memmap(self.file, PIXELS, "r+", row * pixels.nbytes, pixels.shape)[:] = pixels
        return pixels


def _decoded_into(
    pixels: np.ndarray, paths: Sequence[Path], shape: Shape
) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Decode each file into its row; digests, readable rows, and reasons why others are not."""
    digests = np.zeros((len(paths), DIGEST_BYTES), np.uint8)

    def one(row: int) -> str | None:
        try:
            image = decode(paths[row], shape)
        except DataError as error:
            return f"{paths[row]}: {error.got}"
        pixels[row] = image
        digests[row] = np.frombuffer(digest_of(image), np.uint8)
        return None

    # Threads suffice, as Pillow releases the interpreter lock while it decodes and resizes.
    with ThreadPoolExecutor(min(THREADS, _cores())) as threads:
        reasons = list(threads.map(one, range(len(paths))))
    readable = np.array([row for row, reason in enumerate(reasons) if reason is None], np.int64)
    return digests, readable, tuple(reason for reason in reasons if reason is not None)


def _into_cache(file: Path, size: tuple[int, ...], paths: Sequence[Path], shape: Shape) -> _Decoding:
    """Decode into the cache's two files: pixels, and last the index, without which they do not count."""
    decoded: list[tuple[np.ndarray, np.ndarray, tuple[str, ...]]] = []
    write_mapped(file, size, PIXELS, lambda pixels: decoded.append(_decoded_into(pixels, paths, shape)))
    digests, readable, unreadable = decoded[0]
    buffer = io.BytesIO()
    np.savez(buffer, digests=digests, readable=readable, unreadable=np.array(unreadable, dtype=np.str_))
    write_bytes(file.with_suffix(".npz"), buffer.getvalue())
    return _Decoding(_opened(file, size), digests, readable, unreadable)


def _from_cache(file: Path, size: tuple[int, ...]) -> _Decoding | None:
    """The cached pixels of these files; None if the cache is absent or damaged."""
    index = file.with_suffix(".npz")
    if not (index.exists() and file.exists() and file.stat().st_size == max(1, int(np.prod(size)))):
        return None
    try:
        arrays = read_npz(index, ("digests", "readable", "unreadable"))
    except DataError:
        return None
    digests, readable, unreadable = arrays["digests"], arrays["readable"], arrays["unreadable"]
    whole = (
        digests.shape == (size[0], DIGEST_BYTES)
        and digests.dtype == np.uint8
        and readable.dtype == np.int64
        and len(readable) + len(unreadable) == size[0]
    )
    if not whole:
        return None
    return _Decoding(_opened(file, size), digests, readable, tuple(str(each) for each in unreadable))


def _opened(file: Path, size: tuple[int, ...]) -> np.ndarray:
    return np.memmap(file, PIXELS, "r", shape=size) if size[0] else np.zeros(size, PIXELS)


@contextlib.contextmanager
def _alone(file: Path) -> Iterator[None]:
    """Let one process at a time in, so that workers that start together decode once."""
    try:
        import fcntl
    except ImportError:  # Windows: each process decodes, and the last file stays
        yield
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _identity(paths: Sequence[Path], shape: Shape) -> str:
    """Identifies a list of files, and the versions of each."""
    state = hashlib.sha256(f"{FORMAT} {shape}".encode())
    for path in paths:
        facts = path.stat()
        state.update(f"{path.resolve()}|{facts.st_size}|{facts.st_mtime_ns}\n".encode())
    return state.hexdigest()[:32]


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
