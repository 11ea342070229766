"""Splits that are dealt out: every class is trained on, also the rarest."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bequest.data import as_dataset
from bequest.data.dealing import by_shares, in_tenths, stratified
from bequest.errors import DataError


def trained_classes(y):
    return len(as_dataset((np.zeros((len(y), 2), np.float32), y))["train"].y.unique())


def test_a_rare_class_stays_in_training():
    assert trained_classes(np.repeat(np.arange(10), [11] * 9 + [1])) == 10
    assert trained_classes(np.repeat(np.arange(21), [1] * 20 + [3])) == 21
    for count in range(10, 60):
        assert trained_classes(np.array([0] * count + [1])) == 2


def test_covering_changes_nothing_where_every_class_is_covered():
    labels = torch.arange(200) % 7
    sizes = {"train": 160, "validation": 20, "test": 20}
    plain, covered = stratified(labels, sizes, seed=3), stratified(labels, sizes, seed=3, covered="train")
    assert all(torch.equal(plain[name], covered[name]) for name in sizes)


def test_too_few_samples_are_refused_with_the_number_that_is_needed():
    with pytest.raises(DataError, match="too few samples to split") as refused:
        as_dataset((np.zeros((6, 2), np.float32), np.arange(6) % 2))
    assert "at least 10 samples" in str(refused.value)
    with pytest.raises(DataError, match="too few samples to split"):
        in_tenths(torch.arange(30), ("validation",), seed=0)
    with pytest.raises(DataError, match="cannot have a sample of every class"):
        stratified(torch.arange(4), {"train": 3, "test": 1}, seed=0, covered="train")
    with pytest.raises(DataError, match="leave no training samples"):
        stratified(torch.arange(4), {"train": -1, "test": 5}, seed=0)


def test_shares():
    rows = by_shares(torch.arange(100) % 4, {"validation": 0.2, "test": 0.12}, seed=1)
    assert {name: len(row) for name, row in rows.items()} == {"train": 68, "validation": 20, "test": 12}
    assert sorted(torch.cat(list(rows.values())).tolist()) == list(range(100))
    with pytest.raises(DataError, match="shares to hold out"):
        by_shares(torch.arange(100) % 4, {"validation": 0.6, "test": 0.4}, seed=1)
    with pytest.raises(DataError, match="too few samples to hold out"):
        by_shares(torch.arange(10), {"test": 0.2}, seed=1)
