"""IDX files, the format of MNIST and its relatives, plain or compressed."""

from __future__ import annotations

import math
import struct
import zlib
from pathlib import Path

import numpy as np

from bequest.data.compressed import GZIP, GZIP_WRAPPER, MOST_UNPACKED, gunzip
from bequest.errors import DataError

TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
"""The third byte of an IDX file, and the type of its numbers."""

LONGEST_HEADER = 4 + 4 * 255


def read_idx(path: str | Path) -> np.ndarray:
    """The array in an IDX file; a file that is compressed with gzip is unpacked, whatever its name.

    Raises:
        DataError: If the file is absent, cut short, or no IDX file.

    Source: LeCun, Cortes & Burges 1998, "The MNIST database", section on file formats.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read", expected="an IDX file, plain or .gz", got=error) from error
    # A packed file may be anything: no more is unpacked than its header announces.
    most = _announced(content, str(path)) if content[:2] == GZIP else len(content)
    return parse_idx(gunzip(content, path, most=most), str(path))


def parse_idx(content: bytes, where: str) -> np.ndarray:
    """The array in the bytes of an IDX file.

    >>> parse_idx(idx_bytes(np.array([[1, 2], [3, 4]], np.uint8)), "here").tolist()
    [[1, 2], [3, 4]]

    Raises:
        DataError: If they are cut short, or not an IDX file.
    """
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in TYPES or not content[3]:
        raise DataError(
            f"{where} is not an IDX file",
            expected="two zero bytes, a type, a number of axes",
            got=content[:4].hex(" ") or "nothing",
            remedy="fetch or copy the file again",
        )
    kind, axes = np.dtype(TYPES[content[2]]), content[3]
    start = 4 + 4 * axes
    shape = struct.unpack(f">{axes}I", content[4:start]) if len(content) >= start else ()
    if len(content) != start + math.prod(shape) * kind.itemsize or not shape:
        raise DataError(
            f"{where} is not as long as its header says",
            expected=f"{start + math.prod(shape) * kind.itemsize} bytes for {' x '.join(map(str, shape))}",
            got=f"{len(content)} bytes",
            remedy="fetch or copy the file again",
        )
    return np.frombuffer(content, kind, offset=start).reshape(shape)


def idx_bytes(array: np.ndarray) -> bytes:
    """Numbers of 0..255 as the bytes of an IDX file."""
    head = bytes([0, 0, 0x08, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return head + array.astype(np.uint8).tobytes()


def _announced(content: bytes, where: str) -> int:
    """The size in bytes that the file's own header announces; only the header is unpacked."""
    try:
        start = zlib.decompressobj(GZIP_WRAPPER).decompress(content, LONGEST_HEADER)
    except zlib.error:
        return LONGEST_HEADER  # unpacking the whole file will report the damage
    axes = start[3] if len(start) > 3 and start[2] in TYPES else 0
    if len(start) < 4 + 4 * axes:
        return LONGEST_HEADER
    if not axes:
        parse_idx(start, where)
    shape: tuple[int, ...] = struct.unpack(f">{axes}I", start[4 : 4 + 4 * axes])
    size = math.prod(shape) * np.dtype(TYPES[start[2]]).itemsize
    return min(4 + 4 * axes + size, MOST_UNPACKED)
