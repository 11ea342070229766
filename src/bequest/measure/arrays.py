"""Checks of every measure's input: arrays or CPU tensors of the right shape, finite, paired row by row.

Malformed input raises :class:`~bequest.errors.DataError`; well-formed input for which a formula has no
value yields :class:`~bequest.measure.undefined.Undefined`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bequest.errors import DataError

Array: TypeAlias = NDArray[Any] | Tensor
"""Input of measures: a NumPy array, or a tensor in CPU memory."""

Values: TypeAlias = Sequence[float | int] | NDArray[Any] | Tensor
"""A short list of numbers, such as one per seed."""

Floats: TypeAlias = NDArray[np.float64]
Integers: TypeAlias = NDArray[np.int64]
Booleans: TypeAlias = NDArray[np.bool_]

SUM_TOLERANCE = 1e-3
"""How far the sum of a row of probabilities may be from 1: the rounding of float16."""

BFLOAT16_SUM_TOLERANCE = 2e-2
"""The same for bfloat16: its 8 bits leave .4 % of a probability, or 3 % of one stored as its logarithm −7."""


def plain(array: Values, name: str) -> NDArray[Any]:
    """``array`` as NumPy, without a copy if possible.

    Raises:
        DataError: If it is a tensor on another device, or not an array of numbers.
    """
    if isinstance(array, Tensor):
        if array.device.type != "cpu":
            raise DataError(
                f"{name} is not in CPU memory",
                expected="a CPU tensor",
                got=array.device,
                remedy="call .cpu()",
            )
        tensor = array.detach()
        return tensor.numpy() if _numpy_knows(tensor) else tensor.float().numpy()
    values = np.asarray(array)
    if values.dtype.kind not in "biuf":
        raise DataError(f"{name} is not an array of numbers", expected="a numeric dtype", got=values.dtype)
    return values


def precision(array: Values) -> float:
    """The relative spacing of the numbers of ``array``'s type; that of float64 for lists and integers.

    >>> bool(precision(np.zeros(1, np.float32)) == np.finfo(np.float32).eps)
    True
    """
    if isinstance(array, Tensor):
        return float(torch.finfo(array.dtype).eps) if array.is_floating_point() else _EPSILON
    kind = np.asarray(array).dtype
    return float(np.finfo(kind).eps) if kind.kind == "f" else _EPSILON


_EPSILON = float(np.finfo(np.float64).eps)


def _numpy_knows(tensor: Tensor) -> bool:
    # NumPy lacks bfloat16 and the floats of one byte.
    return not tensor.is_floating_point() or tensor.dtype in (torch.float16, torch.float32, torch.float64)


def vector(values: Values, name: str) -> Floats:
    """``values`` as float64, shape (N,); NaN is allowed and means an undefined number."""
    column = plain(values, name)
    _refuse_shape(column, 1, name, "(N,)")
    return column.astype(np.float64)


def matrix(array: Array, name: str) -> NDArray[Any]:
    """``array`` as (N, D) in its own dtype, further axes flattened.

    Raises:
        DataError: If it has fewer than two axes. Finiteness is checked where the data are streamed.
    """
    values = plain(array, name)
    if values.ndim < 2:
        raise DataError(f"{name} has the wrong shape", expected="(N, D), or more axes", got=values.shape)
    # NumPy cannot infer −1 for an array without elements.
    return values.reshape(len(values), -1) if len(values) else values.reshape(0, 0)


def features(array: Array, name: str) -> Floats:
    """``array`` as finite float64, (N, D), further axes flattened.

    Raises:
        DataError: If it has fewer than two axes or a number is not finite.
    """
    table = matrix(array, name).astype(np.float64)
    if not np.isfinite(table).all():
        raise not_finite(name)
    return table


def not_finite(name: str) -> DataError:
    """The error for features with NaN or infinite numbers."""
    return DataError(
        f"{name} holds NaN or infinite numbers",
        expected="finite features",
        remedy="find the layer and the samples where they arise",
    )


def scores(array: Array, name: str, *, columns: int = 2) -> Floats:
    """``array`` as float64, shape (N, C), finite or −inf (log-probabilities of what cannot happen).

    Raises:
        DataError: If it has another shape, fewer than ``columns`` columns, or NaN or +inf in it.
    """
    table = plain(array, name)
    _refuse_shape(table, 2, name, "(N, C)")
    if table.shape[1] < columns:
        # With one score the argmax is always the same class: two such models would agree everywhere.
        raise DataError(
            f"{name} has one column, which is not a choice between classes",
            expected=f"(N, C) with {columns} classes or more",
            got=table.shape,
            remedy="for two classes pass both, such as np.stack([1 - p, p], axis=1) for probabilities p",
        )
    if np.isnan(table).any() or np.isposinf(table).any():
        bad = np.isnan(table).any(axis=1) | np.isposinf(table).any(axis=1)
        raise DataError(
            f"NaN or +inf among the {name}",
            expected="finite numbers",
            got=f"{int(bad.sum())} such rows of {len(table)}, the first row {int(bad.argmax())}",
            remedy="fix the model or the file; rows are not dropped, since pairs of files must stay aligned",
        )
    return table.astype(np.float64)


def probabilities(array: Array, name: str = "probs") -> Floats:
    """``array`` as float64, shape (N, C): each row non-negative and summing to one.

    Raises:
        DataError: If a row is no distribution, such as a row of logits.
    """
    table = scores(array, name)
    if table.size and table.min() < 0:
        raise DataError(
            f"{name} holds negative numbers",
            expected="probabilities",
            got=table.min(),
            remedy="apply softmax to logits first",
        )
    _refuse_sums(table.sum(axis=1), name, "apply softmax to logits first", _sum_tolerance(array))
    return table


def log_probabilities(array: Array, name: str = "log_probs") -> Floats:
    """``array`` as float64, shape (N, C): the exponentials of each row sum to one.

    Raises:
        DataError: If a row is no log-distribution, such as a row of logits or of probabilities.
    """
    table = scores(array, name)
    # Logits given by mistake must fail the check of sums, and not overflow with a warning before.
    sums = np.exp(np.minimum(table, 50.0)).sum(axis=1)
    _refuse_sums(sums, name, "apply log_softmax to logits first", _sum_tolerance(array))
    return table


def refuse_probabilities(logits: Floats, name: str) -> None:
    """Refuse ``logits`` that are probabilities: their softmax would be nearly uniform without any error.

    Raises:
        DataError: If no number is negative and every row sums to 1.
    """
    sums = logits.sum(axis=1)
    if (
        logits.shape[1] > 1
        and len(logits)
        and logits.min() >= 0
        and (np.abs(sums - 1) <= SUM_TOLERANCE).all()
    ):
        raise DataError(
            f"{name} are probabilities",
            expected="logits: numbers of either sign, before softmax",
            got="rows without a negative number that sum to 1",
            remedy="pass them as probs, or pass the network's output before softmax",
        )


def _sum_tolerance(array: Array) -> float:
    return BFLOAT16_SUM_TOLERANCE if precision(array) > 1e-3 else SUM_TOLERANCE


def classes(array: Array, name: str, *, count: int | None = None) -> Integers:
    """``array`` as int64 class indices, shape (N,); below ``count`` if that is known.

    Raises:
        DataError: If they are not whole numbers in range.
    """
    indices = plain(array, name)
    _refuse_shape(indices, 1, name, "(N,)")
    if indices.dtype.kind not in "iu":
        raise DataError(
            f"{name} are not class indices",
            expected="an integer dtype",
            got=indices.dtype,
            remedy=f"{name}.astype(int), if the values are integers",
        )
    if indices.size and (indices.min() < 0 or (count is not None and indices.max() >= count)):
        wrong = (indices < 0) | (indices >= (np.inf if count is None else count))
        row = int(wrong.argmax())
        raise DataError(
            f"{name} are out of range",
            expected="0 or more" if count is None else f"0..{count - 1}",
            got=f"{indices[row]} in row {row}",
            remedy="leave rows without a label out first"
            if indices[row] < 0
            else "number the classes from 0, in the order of the columns of the scores",
        )
    return indices.astype(np.int64)


def flags(array: Array, name: str) -> Booleans:
    """``array`` as booleans, shape (N,).

    Raises:
        DataError: If it is not boolean: predictions must not be mistaken for correctness.
    """
    column = plain(array, name)
    _refuse_shape(column, 1, name, "(N,)")
    if column.dtype != np.bool_:
        raise DataError(
            f"{name} is not boolean",
            expected="bool, one per sample",
            got=column.dtype,
            remedy="pass predictions == labels",
        )
    return column


def same_length(**arrays: NDArray[Any]) -> int:
    """The common number of rows.

    Raises:
        DataError: If the arrays differ in length.
    """
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) != 1:
        raise DataError(
            f"{' and '.join(lengths)} differ in length",
            expected="the same number of values in each",
            got=", ".join(f"{name} {length}" for name, length in lengths.items()),
            remedy="give all of them for the same samples or seeds, in the same order",
        )
    return next(iter(lengths.values()))


def at_least(value: int, least: int, name: str) -> int:
    """``value``, which may not be below ``least``."""
    if value < least:
        raise DataError(f"{name} is too small", expected=f"{least} or more", got=value)
    return value


MOST_BINS = 10_000_000
"""Each bin takes memory, even if it is empty."""


def bin_count(bins: int) -> int:
    """``bins``, which must be 1 or more and fit into memory."""
    at_least(bins, 1, "bins")
    if bins > MOST_BINS:
        raise DataError("there are too many bins", expected=f"{MOST_BINS:,} or fewer", got=f"{bins:,}")
    return bins


def one_of(value: str, allowed: Sequence[str], name: str) -> str:
    """``value``, which must be one of ``allowed``."""
    if value not in allowed:
        raise DataError(f"unknown {name}", expected=" or ".join(allowed), got=repr(value))
    return value


def share(value: float, name: str) -> float:
    """``value``, which must lie strictly between 0 and 1."""
    if not 0 < value < 1:
        raise DataError(f"{name} is out of range", expected="a number between 0 and 1", got=value)
    return value


def _refuse_shape(array: NDArray[Any], axes: int, name: str, expected: str) -> None:
    if array.ndim != axes or (axes == 2 and array.shape[1] == 0):
        raise DataError(f"{name} has the wrong shape", expected=expected, got=array.shape)


def _refuse_sums(sums: Floats, name: str, remedy: str, tolerance: float) -> None:
    off = np.abs(sums - 1)
    if off.size and off.max() > tolerance:
        row = int(off.argmax())
        raise DataError(
            f"{name} is not a distribution in each row",
            expected="rows that sum to 1",
            got=f"row {row} sums to {sums[row]:.6g}",
            remedy=remedy,
        )
