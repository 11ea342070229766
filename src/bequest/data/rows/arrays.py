"""Rows of arrays, in memory or on disk, converted to the library's types when they are read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from typing_extensions import override

from bequest.data.rows.lazy import LazyRows, RowReader, digest_of
from bequest.errors import DataError

IMAGE_AXES = 3
Mend = Callable[[int], np.ndarray]
"""Recreates a row."""


def as_library_type(values: Tensor) -> Tensor:
    """Inputs (N, ...) as float32 or int64.

    uint8 are pixels and are divided by 255; (N, H, W) of them are grey images and get a channel axis.
    Booleans and other floats become float32, other integers int64.
    """
    if values.dtype == torch.uint8:
        pixels = values.float().div_(255)
        return pixels[:, None] if pixels.ndim == IMAGE_AXES else pixels
    if values.is_floating_point() or values.dtype == torch.bool:
        return values.float()
    return values.long()


class ArrayRows(RowReader):
    """Rows of a memory map, or of an array whose copy in the library's types would be large.

    Args:
        array: (N, ...), of any type that :func:`as_library_type` takes.
        digests: (N, 16) bytes of :func:`~bequest.data.rows.lazy.digest_of` for each row, if known; every
            row is then compared once, when it is first read.
        mend: Recreates a row that does not match its digest.
    """

    def __init__(
        self, array: np.ndarray, *, digests: np.ndarray | None = None, mend: Mend | None = None
    ) -> None:
        self._array, self._digests, self._mend = array, digests, mend
        # A row of zeros: shape and type are known without reading the array.
        one = as_library_type(torch.from_numpy(np.zeros((1, *array.shape[1:]), array.dtype)))
        self.count, self.shape, self.dtype = len(array), tuple(one.shape[1:]), one.dtype
        # Integers need not be searched for NaN and infinity.
        self.finite = array.dtype.kind != "f"
        self._compared = np.zeros(len(array), bool)

    @override
    def read(self, rows: Tensor) -> Tensor:
        return as_library_type(self.stored(rows))

    def stored(self, rows: Tensor) -> Tensor:
        """Rows in the array's own type, int64 (n,) to (n, ...), compared with their digests.

        Raises:
            DataError: If a row does not match its digest, and cannot be recreated.
        """
        part = self._array[rows.numpy()]
        if self._digests is not None:
            self._compare(part, rows.numpy())
        return torch.from_numpy(part)

    @override
    def digests(self, rows: Tensor) -> bytes:
        numbers = rows.numpy()
        if self._digests is not None:
            return bytes(self._digests[numbers].tobytes())
        return b"".join(digest_of(self._array[row]) for row in numbers)

    def __reduce__(self) -> Any:
        return _opened, (_packed(self._array), self._digests, self._mend)

    def _compare(self, part: np.ndarray, rows: np.ndarray) -> None:
        """Replace rows of ``part`` that are damaged in the array."""
        assert self._digests is not None
        for place in np.flatnonzero(~self._compared[rows]):
            row, digest = int(rows[place]), self._digests[rows[place]].tobytes()
            if digest_of(part[place]) != digest:
                part[place] = self._mended(row, digest)
        self._compared[rows] = True

    def _mended(self, row: int, digest: bytes) -> np.ndarray:
        again = None if self._mend is None else self._mend(row)
        if again is None or digest_of(again) != digest:
            where = getattr(self._array, "filename", None) or "the array"
            raise DataError(
                f"row {row} of {where} has changed since it was loaded",
                expected=f"digest {digest.hex()}",
                remedy="the file was changed or is damaged; load the data again",
            )
        return again


class ChangedRows(RowReader):
    """Rows of another tensor, changed as they are read.

    Args:
        base: The other tensor.
        change: ``change(x, rows)`` maps rows of ``base`` and their indices to changed rows, independently.
    """

    def __init__(self, base: LazyRows, change: Callable[[Tensor, Tensor], Tensor]) -> None:
        self._base, self._change = base, change
        first = self.read(torch.arange(min(1, len(base))))
        self.count, self.shape, self.dtype = len(base), tuple(first.shape[1:]), first.dtype

    @override
    def read(self, rows: Tensor) -> Tensor:
        return self._change(self._base.index_select(0, rows), rows)

    @override
    def prefetch(self, rows: Tensor) -> None:
        self._base.prefetch(rows)

    @override
    def digests(self, rows: Tensor) -> bytes:
        return b"".join(digest_of(self.read(row).numpy()[0]) for row in rows.view(-1, 1))


def _packed(array: np.ndarray) -> Any:
    """The array for another process: the file and offset of a memory map, or the array itself."""
    if isinstance(array, np.memmap) and array.filename is not None and array.flags.c_contiguous:
        # A slice of a map keeps the ``offset`` of the whole, so its own start is computed from addresses.
        begins = array.offset + array.__array_interface__["data"][0] - _map_begin(array)
        return str(array.filename), array.dtype.str, begins, array.shape
    return array


def _map_begin(array: np.memmap[Any, Any]) -> int:
    """The address of the first element of the map that ``array`` is a part of."""
    whole: Any = array
    while isinstance(whole.base, np.memmap):
        whole = whole.base
    address: int = whole.__array_interface__["data"][0]
    return address


def _opened(packed: Any, digests: np.ndarray | None, mend: Mend | None) -> ArrayRows:
    if isinstance(packed, tuple):
        name, dtype, offset, shape = packed
        packed = np.memmap(name, dtype=dtype, mode="r", offset=offset, shape=shape)
    return ArrayRows(packed, digests=digests, mend=mend)
