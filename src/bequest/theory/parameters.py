"""The parameters of the solvable model and their ranges, all checked at once."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bequest.errors import ConfigError

Array = NDArray[np.float64]
Indices = NDArray[np.intp]
Mask = NDArray[np.bool_]
Numbers = float | int | np.generic | Sequence[Any] | NDArray[Any]


class Range(NamedTuple):
    """An interval of real numbers, and whether its ends belong to it; an included infinite end allows inf."""

    low: float
    high: float
    low_in: bool
    high_in: bool

    def __str__(self) -> str:
        left, right = "(["[self.low_in], ")]"[self.high_in]
        if self.low == -np.inf:
            return "finite"
        if self.high == np.inf:
            return f"{'≥' if self.low_in else '>'} {self.low:g}"
        return f"in {left}{self.low:g}, {self.high:g}{right}"

    def holds(self, values: Array) -> Mask:
        """Which of ``values`` lie inside."""
        above = values >= self.low if self.low_in else values > self.low
        below = values <= self.high if self.high_in else values < self.high
        return np.asarray(above & below)


RANGES: dict[str, Range] = {
    "alpha": Range(0, np.inf, False, False),
    "delta": Range(0, np.inf, False, False),
    "rho": Range(0, 1, False, False),
    "lambda_teacher": Range(0, np.inf, True, False),
    "lambda_student": Range(0, np.inf, True, False),
    "eta": Range(0, 1, False, True),
    "mix": Range(0, 1, True, True),
    "temperature": Range(0, np.inf, False, False),
}
"""The range of each parameter. A chain's penalties are named ``penalty``, with the range of λ."""
RANGES["penalty"] = RANGES["lambda_teacher"]


def checked(
    where: str, values: Mapping[str, Numbers], ranges: Mapping[str, Range] = RANGES
) -> dict[str, Array]:
    """``values`` as float arrays of one common shape.

    Args:
        where: The caller's name, for the message.
        values: Parameters by name; a name may have indices, as in ``penalty[1]``.
        ranges: The range of each, by name without indices.

    Raises:
        ConfigError: Lists every value that is not a finite number or out of range, and shapes that
            don't broadcast.

    >>> checked("a test", {"rho": 1.5, "eta": 0.0, "temperature": 2})
    Traceback (most recent call last):
    bequest.errors.ConfigError: a test: 2 errors
      1. rho: must be in (0, 1) (got 1.5)
      2. eta: must be in (0, 1] (got 0)
    """
    faults: list[str] = []
    arrays: dict[str, Array] = {}
    for name, value in values.items():
        try:
            array = np.asarray(value, dtype=np.float64)
        except (TypeError, ValueError):
            faults.append(f"{name}: must be a number or an array of numbers (got {value!r:.60})")
            continue
        arrays[name] = array
        fault = _fault(array, ranges[re.sub(r"\[\d+\]", "", name)])
        if fault:
            faults.append(f"{name}: {fault}")
    shapes = {name: array.shape for name, array in arrays.items() if array.ndim}
    try:
        common = np.broadcast_shapes(*shapes.values())
    except ValueError:
        listed = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        faults.append(f"shapes: must broadcast together (got {listed})")
    if faults:
        raise ConfigError.of(where, faults)
    return {name: np.broadcast_to(array, common) for name, array in arrays.items()}


def _fault(array: Array, allowed: Range) -> str | None:
    flat = array.ravel()
    if not flat.size:
        return "must not be empty"
    finite = np.isfinite(flat) | (allowed.high_in & (flat == allowed.high))
    if not finite.all():
        return f"must be finite (got {flat[~finite][0]:g})"
    inside = allowed.holds(flat)
    if not inside.all():
        return f"must be {allowed} (got {flat[~inside][0]:g})"
    return None


def listed(array: NDArray[Any]) -> Any:
    """Nested lists, or a number, with None for numbers that are not finite.

    >>> listed(np.array([1.0, np.nan]))
    [1.0, None]
    """
    return np.vectorize(lambda x: float(x) if np.isfinite(x) else None, otypes=[object])(array).tolist()
