"""How alike two maps of a property are, such as accuracy over shifts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bequest.errors import DataError
from bequest.measure.arrays import Array, Floats, plain
from bequest.measure.inheritance import inheritance
from bequest.measure.intervals import Estimate, seed_interval
from bequest.measure.jackknife import ring_interval
from bequest.measure.undefined import Undefined
from bequest.measures import Reason

FLAT = 1e-12
"""Deviations below this share of a map's norm are rounding errors: the map is flat."""


def map_correlation(first: Array, second: Array, *, groups: Array | None = None) -> float:
    """Pearson's correlation of two maps over their cells, in [−1, 1].

    Most maps fall off from a centre, so that any two are alike. With ``groups`` the mean of each group of
    cells, such as those equally far from the centre, is subtracted from both first, which leaves the pattern
    within groups, such as the checkerboard of a pooling layer.

    Args:
        first: (...,), one number per cell; NaN cells are left out.
        second: (...,), the other map, of the same shape.
        groups: int (...,), which group each cell belongs to; None for one group.

    Returns:
        NaN with a reason for fewer than three cells, or if a map is flat within groups.

    Raises:
        DataError: If shapes differ.

    >>> board = np.indices((4, 4)).sum(axis=0) % 2
    >>> fall = -np.indices((4, 4)).sum(axis=0) / 10
    >>> round(map_correlation(fall + 0.1 * board, fall - 0.1 * board), 2) > 0.5
    True
    >>> distance = np.indices((4, 4)).sum(axis=0) // 2
    >>> round(map_correlation(fall + board, fall - board, groups=distance), 2) < 0
    True
    """
    one, other = plain(first, "first").astype(np.float64), plain(second, "second").astype(np.float64)
    cells = np.zeros(one.shape, dtype=np.int64) if groups is None else plain(groups, "groups")
    if not one.shape == other.shape == cells.shape:
        raise DataError(
            "maps differ in shape", expected=one.shape, got=f"{other.shape}, groups {cells.shape}"
        )
    present = np.isfinite(one) & np.isfinite(other)
    _, place = np.unique(cells[present], return_inverse=True)
    a, b = (_without_means(side[present], place) for side in (one, other))
    if len(a) < 3:
        return Undefined(f"{len(a)} cells; a correlation needs 3 or more", Reason.TOO_FEW)
    for side, whole in ((a, one[present]), (b, other[present])):
        if np.linalg.norm(side) <= FLAT * max(float(np.linalg.norm(whole)), 1.0):
            return Undefined("a map is flat within its groups", Reason.CONSTANT)
    return float(np.clip(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)), -1.0, 1.0))


@dataclass(frozen=True, slots=True)
class MapLikeness:
    """How alike students' maps are to their teachers', with reference values.

    Attributes:
        value: Over seeds, of student k with teacher k.
        null: Of control k with teacher k.
        ceiling: Of teacher k with teacher k + 1, as a ring: :func:`~bequest.measure.ring_interval`.
        share: Inheritance: 0 at the null, 1 at the ceiling.
    """

    value: Estimate
    null: Estimate
    ceiling: Estimate
    share: Estimate


def map_likeness(
    student: Array, teacher: Array, control: Array, *, groups: Array | None = None, level: float = 0.95
) -> MapLikeness:
    """:func:`map_correlation` of each student's map with its teacher's, with null and ceiling.

    Args:
        student: (S, ...), one map per seed.
        teacher: (S, ...), that of the teacher of each seed.
        control: (S, ...), that of the student's control.
        groups: int (...,), of cells; see :func:`map_correlation`.
        level: Confidence level.

    Raises:
        DataError: If shapes differ.

    >>> rng = np.random.default_rng(0)
    >>> pattern = rng.normal(size=(5, 5))
    >>> teacher = pattern + 0.1 * rng.normal(size=(3, 5, 5))
    >>> student, control = teacher + 0.3 * rng.normal(size=(3, 5, 5)), rng.normal(size=(3, 5, 5))
    >>> likeness = map_likeness(student, teacher, control)
    >>> likeness.value.value > 0.9, likeness.null.value < 0.5, likeness.share.value > 0.8
    (True, True, True)
    """
    sides = [plain(side, name) for side, name in
             ((student, "student"), (teacher, "teacher"), (control, "control"))]  # fmt: skip
    if len({side.shape for side in sides}) > 1:
        raise DataError(
            "maps differ in shape",
            expected="(S, ...), the same seeds and cells",
            got=", ".join(str(side.shape) for side in sides),
        )
    s, t, c = sides
    likeness, null, ceiling = (
        np.array([map_correlation(a, b, groups=groups) for a, b in zip(one, other, strict=True)])
        for one, other in ((s, t), (c, t), (t, np.roll(t, -1, axis=0)))
    )
    bounds = (-1.0, 1.0)
    return MapLikeness(
        seed_interval(likeness, level=level, bounds=bounds),
        seed_interval(null, level=level, bounds=bounds),
        ring_interval(ceiling if len(t) > 1 else np.zeros(0), level=level),  # one teacher is no pair
        inheritance(likeness, null, ceiling, level=level),
    )


def _without_means(values: Floats, place: np.ndarray) -> Floats:
    means = np.bincount(place, values) / np.maximum(np.bincount(place), 1)
    centred: Floats = values - means[place]
    return centred
