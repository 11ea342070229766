"""Rows that are read on demand: a tensor without memory of its own."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_map
from typing_extensions import override

IN_MEMORY = 1 << 28
"""Bytes of inputs, in the library's types, that are held in memory; larger ones are read on demand."""

BLOCK_BYTES = 1 << 25
"""Bytes of inputs that are read at once when all of them are processed."""

DIGEST_BYTES = 16


class RowReader(ABC):
    """Reads rows from wherever they are stored.

    Attributes:
        count: Number of rows.
        shape: Of one row.
        dtype: float32 or int64.
        finite: Whether no row can hold NaN or infinity, which saves a check of all rows.
    """

    count: int
    shape: tuple[int, ...]
    dtype: torch.dtype
    finite: bool = False

    @abstractmethod
    def read(self, rows: Tensor) -> Tensor:
        """The rows with these numbers, int64 (n,): (n, *shape) in memory of its own.

        Raises:
            DataError: If a row cannot be read, or has changed.
        """

    def prefetch(self, rows: Tensor) -> None:
        """Start reading rows that will soon be needed together."""
        del rows

    @abstractmethod
    def digests(self, rows: Tensor) -> bytes:
        """Digests of the content of these rows, :data:`DIGEST_BYTES` bytes each."""

    def tensor(self, rows: Tensor | None = None, *, room: int | None = None) -> Tensor:
        """All rows, or those with these numbers: in memory if they fit into ``room`` bytes, else lazy."""
        lazy = LazyRows(self, rows)
        return lazy.materialised() if lazy.nbytes <= (IN_MEMORY if room is None else room) else lazy


class LazyRows(Tensor):
    """Rows of a reader as a tensor (N, ...) that has a shape and type, and is read when it is computed with.

    Slicing it (``x[a:b]``, ``torch.split``, :meth:`take`) reads nothing. Selecting rows (``x.index_select``,
    ``x[rows]``) reads those. Any other operation of PyTorch reads all rows.

    Args:
        reader: Reads the rows.
        rows: Their numbers, int64 (N,); default: all.
    """

    reader: RowReader
    rows: Tensor
    following: LazyRows | None

    @staticmethod
    def __new__(cls, reader: RowReader, rows: Tensor | None = None) -> LazyRows:
        """A tensor with the shape and type of the rows, and no memory."""
        count = reader.count if rows is None else len(rows)
        lazy: LazyRows = torch.Tensor._make_wrapper_subclass(
            cls, (count, *reader.shape), dtype=reader.dtype, device=torch.device("cpu")
        )
        return lazy

    def __init__(self, reader: RowReader, rows: Tensor | None = None) -> None:
        super().__init__()
        self.reader = reader
        self.rows = torch.arange(reader.count) if rows is None else rows
        self.following = None  # the rows that are probably read next

    def take(self, rows: Tensor) -> LazyRows:
        """Some of the rows, still lazy; ``rows`` are indices or a mask."""
        return LazyRows(self.reader, self.rows[rows])

    def materialised(self) -> Tensor:
        """All rows as one array in memory."""
        if self.following is not None:
            self.reader.prefetch(self.following.rows)
        return self.reader.read(self.rows)

    def prefetch(self, rows: Tensor) -> None:
        """Start reading the rows at these indices, which ``index_select`` will need."""
        self.reader.prefetch(self.rows.index_select(0, rows))

    def digests(self) -> bytes:
        """See :meth:`RowReader.digests`."""
        return self.reader.digests(self.rows)

    @override
    def numpy(self, *, force: bool = False) -> Any:
        """All rows, read, as an array."""
        return self.materialised().numpy(force=force)

    @override
    def tolist(self) -> Any:
        """All rows, read, as lists."""
        return self.materialised().tolist()

    @override
    def __repr__(self, *, tensor_contents: Any = None) -> str:  # type: ignore[override]
        return f"LazyRows({tuple(self.shape)}, {self.dtype}, read by {type(self.reader).__name__})"

    @override
    def __deepcopy__(self, memo: dict[int, Any]) -> LazyRows:
        return self  # nothing here changes

    @override
    def __reduce_ex__(self, protocol: Any) -> Any:
        return LazyRows, (self.reader, self.rows)

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, operator: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if operator in _CUTS:
            result = _CUTS[operator](*args, **kwargs)
            if result is not NotImplemented:
                return result
        args, kwargs = tree_map(_read, (args, kwargs))
        return operator(*args, **kwargs)


def rows_at(x: Tensor, rows: Tensor) -> Tensor:
    """``x[rows]``, which stays lazy for lazy rows."""
    return x.take(rows) if isinstance(x, LazyRows) else x[rows]


def in_memory(x: Tensor) -> Tensor:
    """``x``, with lazy rows read."""
    return x.materialised() if isinstance(x, LazyRows) else x


def room_for(sizes: Iterable[int]) -> int:
    """Bytes of memory that a part of a dataset may take, given those of all parts: all are held, or none."""
    return IN_MEMORY if sum(sizes) <= IN_MEMORY else 0


def blocks_of(x: Tensor) -> Iterator[Tensor]:
    """``x`` in small blocks of rows, in order."""
    row = max(1, x.element_size() * int(np.prod(x.shape[1:])))
    for block in torch.split(x, max(1, BLOCK_BYTES // row)):
        yield in_memory(block)


def digest_of(array: np.ndarray) -> bytes:
    """A digest of one row's type, shape and bytes."""
    state = hashlib.blake2b(f"{array.dtype.str}{array.shape}".encode(), digest_size=DIGEST_BYTES)
    state.update(np.ascontiguousarray(array).data)
    return state.digest()


def _read(value: Any) -> Any:
    return value.materialised() if isinstance(value, LazyRows) else value


def _same(x: LazyRows) -> LazyRows:
    return LazyRows(x.reader, x.rows)


def _slice(
    x: LazyRows, axis: int = 0, start: int | None = None, end: int | None = None, step: int = 1
) -> Any:
    return LazyRows(x.reader, x.rows[start:end:step]) if axis == 0 else NotImplemented


def _split(x: LazyRows, size: int | list[int], axis: int = 0) -> Any:
    if axis != 0:
        return NotImplemented
    parts = [LazyRows(x.reader, rows) for rows in torch.split(x.rows, size)]
    for part, later in pairwise(parts):
        # torch.split is how a loop takes batches: while one part is used, the next one is read.
        part.following = later
    return parts


def _index_select(x: LazyRows, axis: int, rows: Tensor) -> Any:
    return x.reader.read(x.rows.index_select(0, rows)) if axis == 0 else NotImplemented


def _index(x: Any, indices: Sequence[Tensor | None]) -> Any:
    rows = indices[0] if len(indices) == 1 else None
    if not isinstance(x, LazyRows) or rows is None or rows.ndim != 1:
        return NotImplemented
    return x.reader.read(x.rows[rows])


def _select(x: LazyRows, axis: int, row: int) -> Any:
    return x.reader.read(x.rows[row].view(1))[0] if axis == 0 else NotImplemented


_CUTS: dict[Any, Callable[..., Any]] = {
    torch.ops.aten.detach.default: _same,
    torch.ops.aten.alias.default: _same,
    torch.ops.aten.slice.Tensor: _slice,
    torch.ops.aten.split.Tensor: _split,
    torch.ops.aten.split_with_sizes.default: _split,
    torch.ops.aten.index_select.default: _index_select,
    torch.ops.aten.index.Tensor: _index,
    torch.ops.aten.select.int: _select,
}
"""Operations that read only some rows, or none."""
