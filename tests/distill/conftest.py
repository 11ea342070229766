"""A small problem that every part of the engine can be tried on."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from bequest.data.datasets import Dataset, Split
from bequest.models.tokens import Tokens

CLASSES = 4


def make_network(seed: int = 0, *, dropout: float = 0.0, batch_norm: bool = False) -> nn.Sequential:
    """A network of two layers for 6×6 images."""
    torch.manual_seed(seed)
    norm = [nn.BatchNorm1d(12)] if batch_norm else []
    drop = [nn.Dropout(dropout)] if dropout else []
    return nn.Sequential(
        nn.Flatten(), nn.Linear(36, 12), *norm, nn.ReLU(), *drop, nn.Linear(12, 8), nn.Linear(8, CLASSES)
    )


class TokenNetwork(nn.Module):
    """Answers with a class token and two more."""

    def __init__(self) -> None:
        super().__init__()
        self.body = make_network(5, dropout=0.3)[:-1]
        self.heads = nn.ModuleList(nn.Linear(8, CLASSES) for _ in range(3))

    def forward(self, x: Tensor) -> Tokens:
        body = self.body(x)
        tokens = torch.stack([head(body) for head in self.heads], 1)
        return Tokens(tokens.mean(1), tokens)


@pytest.fixture(scope="session")
def network() -> Callable[..., nn.Sequential]:
    return make_network


@pytest.fixture(scope="session")
def token_network() -> Callable[[], nn.Module]:
    def made() -> nn.Module:
        torch.manual_seed(7)
        return TokenNetwork()

    return made


@pytest.fixture(scope="session")
def toy() -> Dataset:
    """72 + 20 + 20 images of noise, labelled by a linear rule."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(112, 1, 6, 6, generator=generator)
    y = (x.flatten(1) @ torch.randn(36, CLASSES, generator=generator)).argmax(1)
    whole = Split(x, y, torch.arange(112))
    rows = {"train": (0, 72), "validation": (72, 92), "test": (92, 112)}
    splits = {name: whole.take(torch.arange(*ends)) for name, ends in rows.items()}
    return Dataset("toy", splits, tuple("abcd"))


@pytest.fixture(scope="session")
def words() -> Dataset:
    """Sequences of 5 tokens out of 9, filled up with 0; every position has a label."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randint(1, 9, (60, 5), generator=generator)
    lengths = torch.randint(1, 6, (60, 1), generator=generator)
    x = torch.where(torch.arange(5) < lengths, x, 0)
    whole = Split(x, x * 7 % CLASSES, torch.arange(60))
    rows = {"train": (0, 40), "validation": (40, 50), "test": (50, 60)}
    splits = {name: whole.take(torch.arange(*ends)) for name, ends in rows.items()}
    return Dataset("words", splits, tuple("abcd"))


@pytest.fixture
def reader() -> Callable[[int], nn.Module]:
    def made(seed: int) -> nn.Module:
        torch.manual_seed(seed)
        return nn.Sequential(nn.Embedding(9, 6), nn.Linear(6, CLASSES))

    return made
