"""What is known without solving: where a learner has no minimiser, many, or equals its teacher exactly."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bequest.theory.parameters import Array, Mask
from bequest.theory.queries.orders import Teachers
from bequest.theory.queries.setting import BlockSetting
from bequest.theory.separability import separability_threshold
from bequest.theory.status import Status

SILENT = 1e12
"""The noise that is used for no signal at all when testing separability."""


def subsets(blocks: int) -> Iterator[tuple[int, ...]]:
    """Every non-empty set of blocks."""
    for size in range(1, blocks + 1):
        yield from combinations(range(blocks), size)


def determined(setting: BlockSetting) -> Mask:
    """Whether the inputs determine all weights without a penalty, (P,).

    Their matrix has full column rank if and only if, for every set U of unpenalised blocks, at least as many
    inputs vary some block of U as U has coordinates: Σ_{k∈U} κ_k ≤ Σ_{g varies U} α_g. (Hall's condition;
    the rank of a matrix with free Gaussian entries is the largest matching of rows and columns.)
    """
    groups, free = setting.groups, setting.penalty == 0
    whole = np.ones(setting.size, dtype=np.bool_)
    for blocks in subsets(setting.shares.shape[0]):
        chosen = list(blocks)
        asked = free[chosen].all(axis=0)
        coordinates = setting.shares[chosen].sum(axis=0)
        varied = (groups.variances[:, chosen] > 0).any(axis=1)
        inputs = np.where(varied, groups.alpha, 0.0).sum(axis=0)
        whole &= ~asked | (coordinates <= inputs)
    return whole


def copies(setting: BlockSetting, teachers: Teachers) -> Mask:
    """Where the student equals its teachers' mean exactly, (P,).

    It must learn logits only, of the same mean of teachers everywhere, and have either no penalty and inputs
    that determine its weights, or infinitely many inputs. A block with an infinite penalty must be empty in
    teacher and student.
    """
    groups = setting.groups
    active = groups.alpha > 0
    logits = np.array([not hard for hard in groups.hard])[:, None] & (groups.mix == 1.0)
    first = np.take_along_axis(groups.teachers, active.argmax(axis=0)[None, None], axis=0)
    alike = (np.abs(groups.teachers - first) < 1e-12).all(axis=1)
    asks = (~active | (logits & alike)).all(axis=0)
    weights = first[0]
    mean = np.einsum("ap,bp,abkp->kp", weights, weights, teachers.q)
    empty = (mean == 0) & (setting.start == 0)
    held = np.isinf(setting.penalty)
    free = ((setting.penalty == 0) | (held & empty)).all(axis=0)
    endless = np.isinf(groups.alpha).any(axis=0)
    return np.asarray(asks & (endless | (free & determined(setting) & (setting.penalty == 0).any(axis=0))))


def forecast(setting: BlockSetting) -> NDArray[Any]:
    """The status of points with an unpenalised block, as far as it is known beforehand; else converged."""
    groups, free = setting.groups, setting.penalty == 0
    status = np.full(setting.size, Status.CONVERGED, dtype="<U12")
    if not free.any():
        return status
    active = groups.alpha > 0
    labels = (~active | (groups.mix == 0)).all(axis=0)
    hard = np.array(groups.hard)[:, None]
    decisions = (~active | ((groups.mix == 1) & hard)).all(axis=0) & (setting.penalty == 0).all(axis=0)
    status[~determined(setting) & ~labels] = Status.UNDETERMINED
    unvaried = (groups.variances * active[:, None]).sum(axis=0) == 0
    status[(free & unvaried).any(axis=0)] = Status.UNDETERMINED
    status[decisions | (labels & _separable(setting))] = Status.SEPARABLE
    return status


def _separable(setting: BlockSetting) -> Mask:
    """Whether the unpenalised blocks alone can separate the labels, if one group has them all.

    On those blocks the inputs are, after scaling, an isotropic mixture of Σ κ_k N coordinates whose centres
    have the squared distance Σ π_k c²/Δ_k.
    """
    groups, free = setting.groups, setting.penalty == 0
    if groups.count > 1:
        return np.zeros(setting.size, dtype=np.bool_)
    variances = groups.variances[0]
    usable = free & (variances > 0)
    parts = np.divide(setting.signal, variances, out=np.zeros_like(variances), where=usable)
    apart: Array = groups.centre[0] ** 2 * parts.sum(axis=0)
    noise = np.divide(1.0, apart, out=np.full_like(apart, SILENT), where=apart > 1.0 / SILENT)
    share = (free * setting.shares).sum(axis=0)
    return np.asarray(groups.alpha[0] < share * separability_threshold(noise, setting.rho))
