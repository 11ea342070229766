"""The default data set: 1,797 handwritten digits (Alpaydin & Kaynak 1998, UCI; from scikit-learn)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn.functional import pad

from bequest.data.datasets import DATASETS, Dataset, Split
from bequest.data.dealing import stratified
from bequest.data.folders import subset
from bequest.data.outline import OUTLINES, SPLITS, Outline
from bequest.data.views import Rotate, Shift, parse_views
from bequest.errors import DataError

SIZES = {"train": 1297, "validation": 150, "test": 350}
BRIGHTEST = 16.0


@OUTLINES.register("digits")
def _outline(
    *,
    border: int = 2,
    classes: Sequence[int] | None = None,
    per_class: int | None = None,
    **_moved: object,
) -> Outline:
    side = 8 + 2 * border
    if classes is None and per_class is None:
        return Outline((1, side, side), "float32", 10, SIZES["train"])
    data = digits(border=border, classes=classes, per_class=per_class)
    return Outline((1, side, side), "float32", len(data.classes), len(data["train"]))


SPLITS.add("digits", lambda **_: tuple(SIZES))


@DATASETS.register("digits")
def digits(
    *,
    border: int = 2,
    classes: Sequence[int] | None = None,
    per_class: int | None = None,
    moved: int = 0,
    turned: float = 0.0,
    seed: int = 0,
) -> Dataset:
    """1,797 handwritten digits, 8×8 grey levels in [0, 1], with an empty border of 2 pixels.

    The split (1297 / 150 / 350, stratified) and the ids (rows of scikit-learn's array) never change.

    Args:
        border: Empty pixels on each side.
        classes: Use these digits only; class k is the k-th of them.
        per_class: Number of training images per class, chosen by ``seed``: a few-shot subset.
        moved: Move each image, once, by up to so many pixels on both axes: another task.
        turned: Turn each image, once, by up to so many degrees.
        seed: Seeds the choice, the moves and the turns.

    Raises:
        DataError: If there is no such digit, or fewer than two.
    """
    from sklearn.datasets import load_digits  # slow to import, and needed here alone

    source = load_digits()
    images = torch.tensor(source.images, dtype=torch.float32)[:, None] / BRIGHTEST
    labels, ids = torch.tensor(source.target).long(), torch.arange(len(images))
    images = pad(images, (border,) * 4)
    if moved or turned:
        other = parse_views([*([Shift(moved)] if moved else []), *([Rotate(turned)] if turned else [])])
        images = other(images, ids, 0, seed=seed)
    whole = Split(images, labels, ids)
    # seed=0, not ``seed``: the split is part of the data set and never changes.
    splits = {name: whole.take(rows) for name, rows in stratified(labels, SIZES, seed=0).items()}
    names = [str(name) for name in source.target_names]
    if classes is not None:
        splits = {name: _only(split, classes) for name, split in splits.items()}
        names = [names[digit] for digit in classes]
    if per_class is not None:
        splits["train"] = subset(splits["train"], per_class, seed=seed)
    return Dataset("digits", splits, tuple(names))


def _only(split: Split, classes: Sequence[int]) -> Split:
    """The samples of some digits, relabelled from 0."""
    if len(classes) < 2 or len(set(classes)) < len(classes) or not set(classes) <= set(range(10)):
        raise DataError(
            "classes must be two or more of the digits 0..9",
            expected="two or more of 0..9",
            got=list(classes),
        )
    assert split.y is not None
    place = torch.full((10,), -1)
    place[list(classes)] = torch.arange(len(classes))
    chosen = split.take((place[split.y] >= 0).nonzero()[:, 0])
    assert chosen.y is not None
    return Split(chosen.x, place[chosen.y], chosen.ids)
