"""Bounded reading of compressed files: gzip, and arrays in .npz archives; damage is a :class:`DataError`."""

from __future__ import annotations

import math
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from bequest.errors import DataError

GZIP = b"\x1f\x8b"
MOST_UNPACKED = 8 << 30
"""Bytes that a file may unpack to if its size is not stated anywhere."""

MOST_RATIO = 200
"""Unpacked bytes per packed byte in an .npz; deflate reaches 1,032 on zeros, and real arrays rarely 50."""

FREE_BYTES = 256 << 20
"""Below this size no ratio is suspicious, since a small array may be constant."""

OVERHEAD = 1 << 12
"""Bytes of headers, names and comments around a packed file."""

GZIP_WRAPPER = 31
"""zlib's ``wbits`` for a gzip header and trailer around the largest window."""


def gunzip(content: bytes, where: object, *, most: int = MOST_UNPACKED) -> bytes:
    """``content`` unpacked; bytes that are not gzip are returned unchanged.

    Args:
        content: The bytes of a file; several gzip members may follow one another.
        where: Named in errors.
        most: Bytes that are unpacked at most.

    Raises:
        DataError: If it is cut off, damaged, followed by other bytes, or unpacks to more than ``most``.
    """
    if content[: len(GZIP)] != GZIP:
        return content
    pieces, size, rest = [], 0, content
    while rest:
        member = zlib.decompressobj(GZIP_WRAPPER)
        try:
            # One byte more than allowed, to distinguish a file of exactly that size from a longer one.
            pieces.append(member.decompress(rest, most - size + 1))
        except zlib.error as error:
            raise _damaged(where, str(error)) from error
        size += len(pieces[-1])
        if size > most:
            raise DataError(f"{where} is too large when unpacked", expected=f"at most {most:,} bytes")
        if not member.eof:
            raise _damaged(where, "the compressed data ends early")
        rest = member.unused_data.lstrip(b"\0")  # some tools pad archives with zeros
    return b"".join(pieces)


def packed_limit(size: int) -> int:
    """The most bytes that ``size`` bytes take when packed: incompressible data grows a little."""
    return size + size // 1000 + OVERHEAD


def read_gzip(path: Path, *, most: int = MOST_UNPACKED) -> bytes:
    """The content of a file, unpacked if it is compressed; see :func:`gunzip`.

    Raises:
        DataError: As :func:`gunzip`, or if it cannot be read.
    """
    try:
        size = path.stat().st_size
        if size > packed_limit(most):
            raise DataError(f"{path} is too large", expected=f"at most {most:,} bytes", got=f"{size:,}")
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read", got=error) from error
    return gunzip(content, path, most=most)


def read_npz(path: Path, names: Iterable[str] | None = None) -> dict[str, np.ndarray]:
    """The arrays of an .npz archive, by name.

    Nothing is unpickled. An array's header is compared with the archive's directory before memory is
    allocated, so that a file of a few bytes cannot ask for all of it.

    Args:
        path: The archive.
        names: Which arrays are read; default: all.

    Raises:
        DataError: If the file is damaged or no archive, lacks an array, or holds Python objects.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            wanted = list(members) if names is None else list(names)
            absent = [name for name in wanted if name not in members]
            if absent:
                raise DataError(
                    f"{path} cannot be read: it lacks {', '.join(absent)}",
                    expected=", ".join(wanted),
                    got=", ".join(sorted(members)) or "an empty archive",
                )
            return {name: _array(archive, members[name], path) for name in wanted}
    except DataError:
        raise
    except Exception as error:  # zipfile and NumPy raise a dozen types on damaged files
        raise DataError(
            f"{path} cannot be read",
            expected="an .npz archive of arrays",
            got=error or type(error).__name__,
            remedy="fetch or write the file again",
        ) from error


def npz_names(path: Path) -> list[str]:
    """The names of the arrays in an .npz archive.

    Raises:
        DataError: If it is not an .npz archive.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return [info.filename.removesuffix(".npy") for info in archive.infolist()]
    except (OSError, zipfile.BadZipFile, ValueError) as error:
        raise DataError(
            f"{path} cannot be read", expected="an .npz archive", got=error, remedy="write the file again"
        ) from error


def _array(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> np.ndarray:
    packed = max(1, info.compress_size)
    if info.file_size > FREE_BYTES and info.file_size / packed > MOST_RATIO:
        raise DataError(
            f"{path} is too large when unpacked",
            expected=f"at most {MOST_RATIO} bytes per compressed byte",
            got=f"{info.file_size:,} bytes of {info.filename} out of {packed:,}",
            remedy="if the file is right, save it uncompressed with numpy.savez",
        )
    with archive.open(info) as file:
        shape, dtype, header = _header(file)
        if dtype.hasobject:
            raise DataError(
                f"{path} holds Python objects", expected="arrays of numbers or text", got=info.filename
            )
        if header + math.prod(shape) * dtype.itemsize != info.file_size:
            raise DataError(
                f"{path} is damaged: {info.filename}",
                expected=f"{info.file_size - header:,} bytes of data",
                got=f"shape {shape} of {dtype}",
            )
    # Opened again, as the header was consumed.
    with archive.open(info) as file:
        return np.lib.format.read_array(file, allow_pickle=False)


def _header(file: Any) -> tuple[tuple[int, ...], np.dtype, int]:
    """Shape, type and the header's own length of an array in NumPy's format."""
    version = np.lib.format.read_magic(file)
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    shape, _, dtype = readers[version](file)
    return shape, dtype, file.tell()


def _damaged(where: object, reason: str) -> DataError:
    return DataError(
        f"{where} cannot be read",
        expected="a complete .gz file",
        got=reason,
        remedy="fetch or copy the file again",
    )
