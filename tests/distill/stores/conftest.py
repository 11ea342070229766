"""A tiny task: 60 images, 5 classes, and networks that answer without having been trained."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from bequest.data.datasets import Dataset, Split
from bequest.locks import LOCK

CLASSES = 5


def images(count: int, first: int, seed: int) -> Split:
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(count, 1, 6, 6, generator=generator)
    return Split(x, torch.arange(count) % CLASSES, torch.arange(first, first + count) * 3)


@pytest.fixture
def data() -> Dataset:
    splits = {"train": images(60, 0, 1), "validation": images(20, 60, 2), "test": images(20, 80, 3)}
    return Dataset("tiny", splits, tuple("abcde"))


def network(seed: int = 0, width: int = 8) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        layers = [nn.Conv2d(1, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(), nn.Flatten()]
        return nn.Sequential(*layers, nn.Linear(width * 36, CLASSES))


@pytest.fixture
def teacher() -> nn.Sequential:
    return network()


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a finished store; what readers leave behind is no part of it."""
    beside = {".checked.json", LOCK}
    files = (path for path in folder.rglob("*") if path.is_file() and path.name not in beside)
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}
