"""Assign samples to splits: disjoint, stratified by class, reproducible from the seed."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from bequest.errors import DataError
from bequest.seeding import numpy_generator

TENTHS = 10


def stratified(
    labels: Tensor, sizes: Mapping[str, int], *, seed: int, covered: str | None = None
) -> dict[str, Tensor]:
    """Disjoint row numbers for splits of ``sizes``, each with the classes in the data's proportions.

    Class counts are rounded by largest remainder; ``seed`` decides which rows of a class go where.

    Args:
        labels: int64 (N,).
        sizes: Samples by split, N in all.
        seed: See above.
        covered: The first split, if it must have a sample of every class, even of the rarest.

    Raises:
        DataError: If the sizes do not add up to the number of labels, or not every class can be covered.
    """
    if min(sizes.values(), default=0) < 0:
        raise DataError("the splits leave no training samples", expected="sizes ≥ 0", got=dict(sizes))
    if sum(sizes.values()) != len(labels):
        raise DataError("split sizes must use every sample", expected=len(labels), got=dict(sizes))
    generator = numpy_generator(seed, "split")
    values = labels.numpy()
    waiting = [generator.permutation(np.flatnonzero(values == label)) for label in np.unique(values)]
    dealt = {}
    for name, size in sizes.items():
        counts = _in_proportion(np.array([len(rows) for rows in waiting]), size)
        if name == covered:
            counts = _at_least_one(counts, name)
        taken = [rows[:count] for rows, count in zip(waiting, counts, strict=True)]
        waiting = [rows[count:] for rows, count in zip(waiting, counts, strict=True)]
        dealt[name] = torch.from_numpy(np.sort(np.concatenate([*taken, np.empty(0, np.int64)])))
    return dealt


def in_tenths(labels: Tensor, names: tuple[str, ...], *, seed: int) -> dict[str, Tensor]:
    """Row numbers for ``train``, with every class, and a tenth of the samples for each of ``names``.

    If training needs more because there are many classes, the others share the rest.

    Raises:
        DataError: If there are too few samples to split.

    >>> rows = in_tenths(torch.arange(30) % 3, ("validation", "test"), seed=0)
    >>> {name: len(row) for name, row in rows.items()}
    {'train': 24, 'validation': 3, 'test': 3}
    """
    if not names:
        return {"train": torch.arange(len(labels))}
    classes = len(torch.unique(labels))
    tenth = min(len(labels) // TENTHS, (len(labels) - classes) // len(names))
    if tenth < 1:
        raise DataError(
            f"too few samples to split into train and {' and '.join(names)}",
            expected=f"at least {TENTHS} samples, and {len(names)} more than classes",
            got=f"{len(labels)} samples of {classes} classes",
            remedy="give the splits yourself: validation=(x, y), test=(x, y)",
        )
    sizes = {"train": len(labels) - len(names) * tenth, **dict.fromkeys(names, tenth)}
    return stratified(labels, sizes, seed=seed, covered="train")


def by_shares(labels: Tensor, shares: Mapping[str, float], *, seed: int) -> dict[str, Tensor]:
    """Row numbers for ``train``, with every class, and a share of the samples for each other split.

    Args:
        labels: int64 (N,).
        shares: The share of each other split, in (0, 1); their sum is below 1.
        seed: Seeds the splits.

    Raises:
        DataError: If a share is not possible, or there are too few samples.

    >>> rows = by_shares(torch.arange(20) % 2, {"test": 0.25}, seed=0)
    >>> len(rows["train"]), len(rows["test"])
    (15, 5)
    """
    if not all(0 < share < 1 for share in shares.values()) or sum(shares.values()) >= 1:
        raise DataError("shares to hold out must be above 0 and leave training samples", got=dict(shares))
    sizes = {split: max(1, round(share * len(labels))) for split, share in shares.items()}
    train = len(labels) - sum(sizes.values())
    if train < len(torch.unique(labels)):
        raise DataError(
            f"too few samples to hold out {' and '.join(shares)}",
            expected="a training sample of every class",
            got=f"{len(labels)} samples of {len(torch.unique(labels))} classes",
            remedy="give the splits as files of their own",
        )
    return stratified(labels, {"train": train, **sizes}, seed=seed, covered="train")


def _in_proportion(available: np.ndarray, size: int) -> np.ndarray:
    """``size`` split among classes in proportion to ``available``, by largest remainder."""
    exact = available * size / max(1, available.sum())
    counts: np.ndarray = np.floor(exact).astype(np.int64)
    # Stable, so that equal remainders go to the same classes on every platform.
    first = np.argsort(counts - exact, kind="stable")[: size - counts.sum()]
    counts[first] += 1
    return counts


def _at_least_one(counts: np.ndarray, name: str) -> np.ndarray:
    """``counts`` with at least 1 each, at the cost of the largest; every class has a sample."""
    if counts.sum() < len(counts):
        raise DataError(
            f"{name} cannot have a sample of every class", expected=len(counts), got=int(counts.sum())
        )
    counts = counts.copy()
    for rare in np.flatnonzero(counts == 0):
        counts[np.argmax(counts)] -= 1
        counts[rare] = 1
    return counts
