"""What docs/data.md shows runs, and names every form of data and every way to choose queries."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import torch

from bequest.data import DATASETS, load_dataset
from bequest.data.queries import By

TEXT = (Path(__file__).parents[2] / "docs" / "data.md").read_text()


def test_the_python_in_it_runs():
    blocks = re.findall(r"```python\n(.*?)```", TEXT, re.S)
    assert blocks
    try:
        for block in blocks:
            exec(block, {"x": torch.randn(40, 3), "y": torch.arange(40) % 2})
        assert len(load_dataset("mine", rows=30)["train"]) == 24
    finally:
        DATASETS._values.pop("mine", None)


def test_every_dataset_and_design_is_named():
    missing = [name for name in DATASETS if f"`{name}`" not in TEXT and f"`{name}:" not in TEXT]
    assert not missing
    assert not [name for name in get_args(By) if f"`{name}`" not in TEXT]
