"""Pair the rows of two files by sample id."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bequest.errors import DataError
from bequest.measure.arrays import Integers


class Unpaired(DataError):
    """One set of samples has ids that the other lacks."""


def pair(ids: NDArray[Any], other_ids: NDArray[Any], *, common: bool = False) -> tuple[Integers, Integers]:
    """Row numbers that put two sets of samples in the same order, by sample id.

    ``x[rows]`` and ``y[other_rows]`` are then paired; the order is that of ``ids``.

    Args:
        ids: (N,), integers or texts, each once.
        other_ids: (M,), those of the other set, each once.
        common: Keep only the ids that both sets have, instead of refusing the others.

    Raises:
        DataError: If an id occurs twice; :class:`Unpaired` if one set has ids that the other lacks.

    >>> rows, other_rows = pair(np.array([3, 1, 2]), np.array([1, 2, 3]))
    >>> rows.tolist(), other_rows.tolist()
    ([0, 1, 2], [2, 0, 1])
    """
    first, second = _of_one_type(_checked(ids, "ids"), _checked(other_ids, "other_ids"))
    order = np.argsort(second, kind="stable")
    place = np.searchsorted(second, first, sorter=order)
    if len(second):
        # An id above all others is placed after the last row.
        candidates = order[np.minimum(place, len(second) - 1)]
        matches = second[candidates] == first
    else:
        candidates, matches = np.zeros(len(first), dtype=np.int64), np.zeros(len(first), dtype=bool)
    if not common and (not matches.all() or len(first) != len(second)):
        _refuse_unpaired(first, second)
    if common and not matches.any():
        raise DataError("the two sets have no sample in common", remedy="check that they come from one split")
    return np.flatnonzero(matches).astype(np.int64), candidates[matches].astype(np.int64)


def _of_one_type(first: NDArray[Any], second: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Both sets of ids in one type that holds all of them: NumPy compares int64 with uint64 as float64.

    Raises:
        DataError: If one is text and the other is not.
    """
    kinds = {first.dtype.kind, second.dtype.kind}
    if len(kinds) == 1:
        return first, second
    if kinds != {"i", "u"}:
        raise DataError("ids have different types", expected=first.dtype, got=second.dtype)
    signed, unsigned = (first, second) if first.dtype.kind == "i" else (second, first)
    if not unsigned.size or unsigned.max() <= np.iinfo(np.int64).max:
        return first.astype(np.int64), second.astype(np.int64)
    if not signed.size or signed.min() >= 0:
        return first.astype(np.uint64), second.astype(np.uint64)
    return first.astype(object), second.astype(object)  # only Python's integers hold both


def _checked(ids: NDArray[Any], name: str) -> NDArray[Any]:
    column = np.asarray(ids)
    if column.ndim != 1 or column.dtype.kind not in "iuUS":
        raise DataError(
            f"{name} are not sample ids",
            expected="(N,), integers or strings",
            got=f"{column.dtype} of shape {column.shape}",
        )
    values, counts = np.unique(column, return_counts=True)
    if (counts > 1).any():
        raise DataError(
            f"{name} occur more than once",
            expected="each sample once",
            got=f"{int((counts > 1).sum())} of them, such as {values[counts > 1][0]}",
            remedy="keep one row per sample",
        )
    return column


def _refuse_unpaired(first: NDArray[Any], second: NDArray[Any]) -> None:
    alone, other_alone = np.setdiff1d(first, second), np.setdiff1d(second, first)
    example = (alone if len(alone) else other_alone)[0]
    raise Unpaired(
        "samples are not paired",
        expected="the same ids on both sides",
        got=f"{len(alone)} on one side only and {len(other_alone)} on the other only, such as {example}",
        remedy="compare the same split, or keep the common samples (common=True)",
    )
