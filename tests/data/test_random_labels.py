"""Random labels: who shares them with whom, balance, noise and samples of other sets, seeds."""

from __future__ import annotations

import pytest
import torch

from bequest.data.datasets import checked, load_dataset
from bequest.data.outline import splits_of
from bequest.data.random_labels import random_labels
from bequest.errors import DataError


def test_shown_and_test_divide_what_was_trained_on_and_keep_its_labels():
    data = checked(random_labels(samples=200, share=0.6, classes=7))
    assert {name: len(split) for name, split in data.splits.items()} == {
        "train": 200,
        "shown": 120,
        "test": 80,
        "validation": 20,
    }
    ids = torch.cat([data["shown"].ids, data["test"].ids])
    assert sorted(ids.tolist()) == data["train"].ids.tolist()
    for name in ("shown", "test"):
        assert torch.equal(data[name].y, data["train"].y[data[name].ids])
        assert torch.equal(data[name].x, data["train"].x[data[name].ids])
    assert not set(data["validation"].ids.tolist()) & set(ids.tolist())
    assert splits_of("random_labels", {}) == tuple(data.splits)


def test_labels_are_balanced_and_tell_nothing_of_noise():
    data = random_labels(samples=5000, width=8)
    y, x = data["train"].y, data["train"].x
    counts = torch.bincount(y, minlength=10)
    assert counts.max() - counts.min() < 80  # all samples together are even; validation took a tenth of them
    means = torch.stack([x[y == k].mean(0) for k in range(10)])
    assert means.abs().max() < 4.5 / 500**0.5
    assert x.mean().abs() < 0.03
    assert (x.std() - 1).abs() < 0.03


def test_samples_of_another_set_keep_their_inputs_and_lose_their_labels():
    data = load_dataset("random_labels", of="digits", options={"border": 0}, samples=500)
    digits = load_dataset("digits", border=0)["train"]
    assert torch.equal(data["train"].x, digits.x[:500])
    agreement = (data["train"].y == digits.y[:500]).float().mean()
    assert 0.04 < agreement < 0.16  # chance, within four and a half standard deviations


def test_only_options_and_seed_decide():
    assert random_labels().digest == random_labels().digest
    assert random_labels().digest != random_labels(seed=1).digest


def test_what_leaves_nothing_is_one_message():
    for options in ({"share": 1.0}, {"samples": 9}, {"classes": 1}, {"samples": 20, "classes": 30}):
        with pytest.raises(DataError, match="leave a split or a class empty"):
            load_dataset("random_labels", **options)
    with pytest.raises(DataError, match="digits has too few training samples"):
        load_dataset("random_labels", of="digits", samples=1290)
