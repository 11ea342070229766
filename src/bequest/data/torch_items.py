"""A map-style ``torch.utils.data.Dataset`` as arrays, refused where its items are not the same each time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset

from bequest.data.arrays import labels_of, stacked
from bequest.errors import DataError

PAIR = 2
PROBES = 16
"""Items that are read twice: an augmentation that changes half of them passes once in 65,536 times."""


def items_of(data: Any, *, frozen: bool = False) -> tuple[Any, Tensor]:
    """Inputs and class indices of a map-style dataset of ``(x, y)`` pairs.

    Args:
        data: Anything with ``len()`` and an index.
        frozen: Read each item once and use that reading, although another would differ.

    Raises:
        DataError: If it has no index, an item is no pair or differs between two readings, or labels or shapes
            are wrong.
    """
    if isinstance(data, IterableDataset) or not (hasattr(data, "__getitem__") and hasattr(data, "__len__")):
        raise _unreadable(data)
    count = _length(data)
    if not frozen:
        _refuse_random(data, count)
    pairs = [_pair(data, row) for row in range(count)]
    return stacked([x for x, _ in pairs]), labels_of([_plain(y) for _, y in pairs], where="y")


def _unreadable(data: Any) -> DataError:
    if isinstance(data, IterableDataset):
        return DataError(
            "an IterableDataset cannot be used",
            expected="a map-style Dataset: len() and an index",
            got=type(data).__name__,
            remedy="samples without an index have no ids, so that views, stored answers and a resumed run "
            "could not be exact; write it to arrays (`npz:FILE`) or a folder first",
        )
    return DataError(
        "this cannot be read as data",
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
            "this cannot be read as data",
            expected="items that are pairs (x, y)",
            got=f"item {row} of {type(data).__name__} is a {type(item).__name__}",
        )
    return item[0], item[1]


def _refuse_random(data: Any, count: int) -> None:
    """Refuse a dataset whose items differ between two readings: a random transform would freeze silently."""
    rows = sorted({int(row) for row in np.linspace(0, count - 1, min(count, PROBES))}) if count else []
    state = torch.get_rng_state()
    differing = [row for row in rows if not _same(_pair(data, row)[0], _pair(data, row)[0])]
    torch.set_rng_state(state)  # probing must not change what the user's program draws next
    if differing:
        raise DataError(
            f"item {differing[0]} of the Dataset differs between two readings",
            expected="the same item each time; its transform is random",
            remedy="leave random transforms out and give them as views=, which are the same after a resume, "
            "or frozen=True to read each item once",
        )


def _same(first: Any, second: Any) -> bool:
    a, b = (np.asarray(each.cpu() if isinstance(each, Tensor) else each) for each in (first, second))
    return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()


def _plain(label: Any) -> Any:
    if isinstance(label, Tensor):
        return label.item() if label.numel() == 1 and label.ndim == 0 else label.tolist()
    return label
