"""Inputs that are not held in memory: rows are read when a batch needs them."""

from bequest.data.rows.arrays import ArrayRows, ChangedRows, as_library_type
from bequest.data.rows.lazy import LazyRows, RowReader, blocks_of, in_memory, room_for, rows_at

__all__ = [
    "ArrayRows",
    "ChangedRows",
    "LazyRows",
    "RowReader",
    "as_library_type",
    "blocks_of",
    "in_memory",
    "room_for",
    "rows_at",
]
