"""A part of a split, for curves over the amount of data."""

from __future__ import annotations

import torch

from bequest.data.datasets import Split
from bequest.errors import DataError
from bequest.seeding import bits


def fraction(split: Split, share: float, *, seed: int) -> Split:
    """The part of ``split`` with this share of each class, in the order of the split.

    The choice depends on (seed, sample id) alone, and the samples of a smaller share are among those of a
    larger one. Each class keeps round(share · its samples), at least one; a split without labels counts as
    one class.

    Args:
        split: Any samples; labels are one a sample, or absent.
        share: In (0, 1].
        seed: Another seed, another choice.

    Raises:
        DataError: If the share is not in (0, 1], or a sample has many labels.
    """
    if not 0 < share <= 1:
        raise DataError("the fraction of a split is out of range", expected="above 0, at most 1", got=share)
    if share == 1:
        return split
    labels = split.y if split.y is not None else torch.zeros(len(split), dtype=torch.int64)
    if labels.ndim > 1:
        raise DataError(
            "a fraction of a split needs one class label per sample",
            expected="one label per sample",
            got=tuple(labels.shape),
        )
    drawn = bits(seed, "fraction", split.ids, 0, 1)[:, 0]
    parts = []
    for label in torch.unique(labels):
        rows = (labels == label).nonzero()[:, 0]
        count = max(1, int(share * len(rows) + 0.5))
        parts.append(rows[drawn[rows].argsort(stable=True)[:count]])
    return split.take(torch.cat(parts).sort().values)
