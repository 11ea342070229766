"""The embedded default: 1,797 real handwritten digits (Alpaydin & Kaynak 1998, UCI; via scikit-learn)."""

from __future__ import annotations

import torch
from sklearn.datasets import load_digits
from torch.nn.functional import pad

from bequest.data.datasets import DATASETS, Dataset, Split, stratified

SIZES = {"train": 1297, "validation": 150, "test": 350}
BRIGHTEST = 16.0


@DATASETS.register("digits")
def digits(*, border: int = 2) -> Dataset:
    """1,797 handwritten digits, 8×8 grey levels in [0, 1], with an empty border of 2 pixels.

    The split (1297 / 150 / 350, stratified) and the ids (rows of scikit-learn's array) never change.
    """
    source = load_digits()
    images = torch.tensor(source.images, dtype=torch.float32)[:, None] / BRIGHTEST
    whole = Split(pad(images, (border,) * 4), torch.tensor(source.target).long(), torch.arange(len(images)))
    rows = stratified(whole.y, SIZES, seed=0) if whole.y is not None else {}
    splits = {name: whole.take(row) for name, row in rows.items()}
    return Dataset("digits", splits, tuple(str(name) for name in source.target_names))
