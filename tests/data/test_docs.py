"""What the pages about data and queries show runs, and names every form of data and every way to choose."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import get_args

import torch

from bequest.data import DATASETS, load_dataset
from bequest.data.queries import By
from bequest.studies.source import SourceSpec

QUERIES = (Path(__file__).parents[2] / "docs" / "queries.md").read_text()
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


def test_the_guide_to_queries_runs():
    scope = {}
    for block in re.findall(r"```python\n(.*?)```", QUERIES, re.S):
        exec(block, scope)
    assert scope["student"].record.asked == {
        "cnn": 300 + 20 * 2 * 32
    }  # 40 steps of 32 digits, all of one pass
    (source,) = [tomllib.loads(block) for block in re.findall(r"```toml\n(.*?)```", QUERIES, re.S)]
    clean, chosen = (SourceSpec.parse(each, "queries") for each in source["queries"]["chosen"])
    assert clean.active is None
    assert (chosen.active.by, chosen.active.budget, chosen.active.rounds) == ("coverage_inputs", 300, 1)


def test_every_dataset_and_design_is_named():
    missing = [name for name in DATASETS if f"`{name}`" not in TEXT and f"`{name}:" not in TEXT]
    assert not missing
    assert not [name for name in get_args(By) if f"`{name}`" not in TEXT]
