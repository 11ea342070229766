"""Inheritance from saved predictions: taught students, their controls and their teachers, a file a seed."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from bequest import measure as m
from bequest.cli.measure_output import Rows, row_of
from bequest.cli.measure_rows import matched
from bequest.cli.saved import Predictions
from bequest.errors import DataError

PerSample = Callable[[Predictions], np.ndarray]


def inheritance_rows(
    taught: Sequence[Predictions], control: Sequence[Predictions], teacher: Sequence[Predictions]
) -> Rows:
    """The inheritance of each property; file k of each list belongs to one seed.

    Means over samples get an interval for other seeds and other samples where all files have the same
    samples, and the one over seeds beside it.
    """
    sides = [_ordered(side, taught[0]) for side in (taught, control, teacher)]
    rows: Rows = {"accuracy": _ratio(sides, _right)}
    if all(p.probs is not None for side in sides for p in side):
        rows["nll"] = _ratio(sides, _loss)
        rows["brier"] = _ratio(sides, _squared)
        values = [[m.expected_calibration_error(p.distributions[0], p.truth) for p in side] for side in sides]
        rows["ece"] = row_of(m.inheritance(*values))
    if len(taught) > 1:
        rows["agreement with the teacher"] = _agreement(*sides)
    return rows


def split_in_three(files: Sequence[Any]) -> tuple[Sequence[Any], Sequence[Any], Sequence[Any]]:
    """Taught, control and teacher files, as many of each.

    Raises:
        DataError: If they cannot be as many of each.
    """
    seeds, rest = divmod(len(files), 3)
    if rest or not seeds:
        raise DataError(
            "taught, control and teacher files must be equal in number",
            expected="TAUGHT... CONTROL... TEACHER..., one file per seed in each, in the same order of seeds",
            got=f"{len(files)} files",
            remedy="if one teacher taught several seeds, repeat its file",
        )
    return files[:seeds], files[seeds : 2 * seeds], files[2 * seeds :]


def _ordered(side: Sequence[Predictions], first: Predictions) -> list[Predictions]:
    return [matched(first, p)[1] for p in side]


def _ratio(sides: Sequence[Sequence[Predictions]], per_sample: PerSample) -> Rows:
    taught, control, teacher = (np.stack([per_sample(p) for p in side]) for side in sides)
    if not all(np.isfinite(table).all() for table in (taught, control, teacher)):
        infinite = m.Undefined("infinite for at least one sample")
        return row_of(
            m.Estimate(infinite, len(taught), math.nan, math.nan, 0.95, "", infinite.reason, infinite.code)
        )
    over_seeds = m.inheritance(*(table.mean(axis=1) for table in (taught, control, teacher)))
    row = row_of(m.crossed_inheritance(taught, control, teacher))
    return row | {"over seeds": row_of(over_seeds)}


def _agreement(
    taught: Sequence[Predictions], control: Sequence[Predictions], teacher: Sequence[Predictions]
) -> Rows:
    """Agreement with the own teacher; its ceiling is that of a teacher with the next seed's."""
    following = [*teacher[1:], teacher[0]]
    tables = [
        np.stack([_same(p, t) for p, t in zip(side, others, strict=True)])
        for side, others in ((taught, teacher), (control, teacher), (teacher, following))
    ]
    row = row_of(m.crossed_inheritance(*tables))
    return row | {"over seeds": row_of(m.inheritance(*(table.mean(axis=1) for table in tables)))}


def _same(p: Predictions, other: Predictions) -> np.ndarray:
    same: np.ndarray = (p.called(p.answers) == other.called(other.answers)).astype(np.float64)
    return same


def _right(p: Predictions) -> np.ndarray:
    right: np.ndarray = (p.answers == p.truth).astype(np.float64)
    return right


def _loss(p: Predictions) -> np.ndarray:
    loss: np.ndarray = -p.distributions[1][np.arange(len(p.truth)), p.truth]
    return loss


def _squared(p: Predictions) -> np.ndarray:
    probs = np.exp(p.distributions[1])
    gaps: np.ndarray = ((probs - (p.truth[:, None] == np.arange(probs.shape[1]))) ** 2).sum(axis=1)
    return gaps
