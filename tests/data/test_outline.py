"""What datasets say of themselves before their files are there is what they then have."""

from __future__ import annotations

import numpy as np
import pytest

from bequest.data.datasets import DATASETS, load_dataset
from bequest.data.outline import SPLITS, splits_of

SMALL = {"train": 40, "validation": 10, "test": 10, "far": 10, "queries": 10}


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("digits", {}),
        ("digits", {"classes": [0, 1]}),
        ("agreement", SMALL),
        ("agreement", {**SMALL, "queries": 0}),
    ],
)
def test_the_splits_are_those_that_are_loaded(name, options):
    assert set(splits_of(name, options)) == set(load_dataset(name, **options).splits)


def test_arrays_have_the_splits_of_files(tmp_path):
    np.savez(tmp_path / "d.npz", x=np.random.default_rng(0).random((60, 3)), y=np.arange(60) % 3)
    name = f"npz:{tmp_path / 'd.npz'}"
    assert set(splits_of(name, {})) == set(load_dataset(name).splits)


def test_every_dataset_of_ours_names_its_splits_and_others_need_not():
    ours = {name for name in DATASETS if DATASETS[name].__module__.startswith("bequest.data")}
    assert set(SPLITS) == ours
    assert splits_of("somebody's", {}) is None
    assert splits_of("agreement", {"train": "many"}) is None
    assert splits_of("cifar10", {"validation": 0}) == ("train", "test")
