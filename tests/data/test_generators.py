"""Noise of the data's shape, from TOML."""

from __future__ import annotations

import pytest
import torch

from bequest.data import Split, load_dataset
from bequest.data.batches import Batches
from bequest.data.generators import Generator, Normal, Uniform
from bequest.data.queries import Generated
from bequest.errors import ConfigError, DataError


def made(spec, split, rows=4000):
    return Generator.parse(spec).bind(split)(rows, torch.Generator().manual_seed(0))


def test_uniform_noise_has_the_range_of_the_data():
    split = Split(torch.tensor([[-1.0, 0.0], [3.0, 1.0]]), None, torch.arange(2))
    x = made("uniform", split)
    assert x.shape == (4000, 2)
    assert float(x.min()) == pytest.approx(-1, abs=0.01)
    assert float(x.max()) == pytest.approx(3, abs=0.01)
    assert made({"name": "uniform", "low": 0.0, "high": 0.0}, split).unique().tolist() == [0.0]


def test_normal_noise_has_the_moments_of_the_data_at_each_place():
    x = torch.randn(500, 3, generator=torch.Generator().manual_seed(1)) * torch.tensor([1.0, 2.0, 0.0]) + 5
    split = Split(x, None, torch.arange(500))
    noise = made("normal", split)
    deviation = x.std(0, correction=0)
    assert torch.allclose(noise.mean(0), x.mean(0), atol=float(4 * deviation.max() / 4000**0.5))
    assert torch.allclose(noise.std(0), deviation, rtol=0.06)
    wide = made({"name": "normal", "scale": 2.0, "clip": True}, split)
    assert float(wide.max()) <= float(x.max())
    assert float(made({"name": "normal", "mean": 0.0, "std": 1.0}, split).std()) == pytest.approx(1, rel=0.05)


def test_generated_queries_are_a_source():
    digits = load_dataset("digits")["train"]
    source = Generated("noise", Normal(clip=True).bind(digits))
    batches = Batches([source], batch=8, seed=0)
    batch = batches.at(3)
    assert batch.x.shape == (8, 1, 12, 12)
    assert batch.labels is None
    assert torch.equal(batch.x, Batches([source], batch=8, seed=0).at(3).x)


def test_faults_are_one_message():
    tokens = Split(torch.zeros(2, 3, dtype=torch.int64), None, torch.arange(2))
    with pytest.raises(DataError, match="noise cannot stand for tokens"):
        Uniform().bind(tokens)
    with pytest.raises(DataError, match="this range is empty"):
        Uniform(low=2.0, high=1.0).bind(Split(torch.zeros(2, 3), None, torch.arange(2)))
    with pytest.raises(ConfigError, match="did you mean 'normal'"):
        Generator.parse("nromal")
    with pytest.raises(ConfigError, match="scale"):
        Generator.parse({"name": "normal", "scale": -1.0})
