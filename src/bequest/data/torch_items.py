"""A map-style ``torch.utils.data.Dataset`` as inputs and labels; random items are refused."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset

from bequest.data.arrays import inputs_of, item_array, labels_of, stacked
from bequest.data.rows import LazyRows, lazy
from bequest.data.rows.items import READERS, Facts, ItemReaders, ItemRows, differing, survey
from bequest.data.rows.stored import scratch_array
from bequest.errors import DataError

PAIR = 2
PROBES = 16
"""Items that are read twice: an augmentation that changes half of all items escapes once in 65,536 times."""


def items_of(data: Any, *, frozen: bool = False, readers: int = READERS) -> tuple[Tensor, Tensor]:
    """Inputs and class indices of a map-style dataset of ``(x, y)`` pairs.

    Inputs that would take more than 256 MiB are not held in memory: every item is read once here, and again
    whenever a batch needs it, by index, in ``readers`` processes.

    Args:
        data: Anything with ``len()`` and an index.
        frozen: Read each item once and use that reading, even if another would differ; a large set is
            written to a scratch file.
        readers: Processes that read a large set; 0: read in this one.

    Raises:
        DataError: If it has no index, an item is not a pair or differs between two readings, or labels or
            shapes are wrong.
    """
    if isinstance(data, IterableDataset) or not (hasattr(data, "__getitem__") and hasattr(data, "__len__")):
        raise _unreadable(data)
    count = _length(data)
    if not frozen:
        _refuse_random(data, count)
    first = item_array(_pair(data, 0)[0]) if count else np.empty(0)
    if count * first.size * _width(first.dtype) <= lazy.IN_MEMORY:
        pairs = [_pair(data, row) for row in range(count)]
        return inputs_of(stacked([x for x, _ in pairs])), _labels([y for _, y in pairs])
    reading = ItemReaders(partial(_item, data), readers)
    if not frozen:
        facts = survey(reading, count)
        return LazyRows(ItemRows(reading, facts)), _labels(facts.labels)
    copy = scratch_array((count, *first.shape), first.dtype)
    facts = _copied(reading, copy)
    return inputs_of(copy), _labels(facts.labels)


class Unlabelled(torch.utils.data.Dataset[Any]):
    """Items that are inputs alone, or pairs whose labels are ignored, as pairs with the label 0.

    Args:
        data: A map-style dataset.
    """

    def __init__(self, data: Any) -> None:
        if isinstance(data, IterableDataset):
            raise _unreadable(data)
        self._data = data

    def __len__(self) -> int:
        return len(self._data)

    def __getitem__(self, row: int) -> tuple[Any, int]:
        item = self._data[row]
        return (item[0] if isinstance(item, tuple | list) and len(item) == PAIR else item), 0


def _width(dtype: np.dtype) -> int:
    """Bytes of a number in the library's types."""
    return 8 if dtype.kind in "iu" and dtype != np.uint8 else 4


def _copied(reading: ItemReaders, copy: np.ndarray) -> Facts:
    """Survey the items, and write their inputs into ``copy``."""
    written = 0

    def keep(block: np.ndarray) -> None:
        nonlocal written
        copy[written : written + len(block)] = block
        written += len(block)

    return survey(reading, len(copy), keep=keep)


def _item(data: Any, row: int) -> tuple[np.ndarray, Any]:
    x, y = _pair(data, row)
    return item_array(x), _plain(y)


def _labels(labels: Sequence[Any]) -> Tensor:
    return labels_of([_plain(label) for label in labels], where="y")


def _unreadable(data: Any) -> DataError:
    if isinstance(data, IterableDataset):
        return DataError(
            "an IterableDataset cannot be used",
            expected="a map-style Dataset: len() and an index",
            got=type(data).__name__,
            remedy="without an index samples have no ids, so views, stored answers and resumed runs "
            "would not be exact; write it to arrays (`npz:FILE`) or a folder first",
        )
    return DataError(
        f"a value of type {type(data).__name__} cannot be read as data",
        expected="a dataset's name, a bequest Dataset, (x, y) arrays, or a torch Dataset of (x, y) pairs",
        got=type(data).__name__,
    )


def _length(data: Any) -> int:
    try:
        return len(data)
    except Exception as error:  # the user's own code
        raise DataError("the Dataset's len() fails", got=f"{type(error).__name__}: {error}") from error


def _pair(data: Any, row: int) -> tuple[Any, Any]:
    try:
        item = data[row]
    except Exception as error:  # the user's own code
        raise DataError(
            f"the Dataset's item {row} cannot be read", got=f"{type(error).__name__}: {error}"
        ) from error
    if not isinstance(item, Sequence) or isinstance(item, str) or len(item) != PAIR:
        raise DataError(
            "the Dataset's items are not pairs (x, y)",
            expected="items that are pairs (x, y)",
            got=f"item {row} of {type(data).__name__} is a {type(item).__name__}",
        )
    return item[0], item[1]


def _refuse_random(data: Any, count: int) -> None:
    """Refuse a dataset whose items differ between two readings: a random transform would freeze silently."""
    rows = sorted({int(row) for row in np.linspace(0, count - 1, min(count, PROBES))}) if count else []
    state = torch.get_rng_state()
    random = [row for row in rows if not _same(_pair(data, row)[0], _pair(data, row)[0])]
    torch.set_rng_state(state)  # probing must not change what the user's program draws next
    if random:
        raise differing(random[0])


def _same(first: Any, second: Any) -> bool:
    a, b = (np.asarray(each.cpu() if isinstance(each, Tensor) else each) for each in (first, second))
    return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()


def _plain(label: Any) -> Any:
    if isinstance(label, Tensor):
        return label.item() if label.numel() == 1 and label.ndim == 0 else label.tolist()
    return label
