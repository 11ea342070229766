"""Noise of the data's shape, from TOML."""

from __future__ import annotations

import pytest
import torch

from bequest.data import Split, load_dataset
from bequest.data.batches import Batches
from bequest.data.generators import Generator, Normal, Uniform, Unvaried, generated_split
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


def flat_data(rows=300, width=6, seed=0):
    """Data that vary along the first two axes, a little along the third, and not along the others."""
    noise = torch.randn(rows, width, generator=torch.Generator().manual_seed(seed))
    return 3 + noise * torch.tensor([2.0, 1.0, 0.01, 0.0, 0.0, 0.0])


def test_unvaried_noise_varies_what_the_data_do_not_and_nothing_else():
    turned = torch.linalg.qr(torch.randn(6, 6, generator=torch.Generator().manual_seed(5)))[0]
    x = flat_data() @ turned
    split = Split(x.view(-1, 1, 2, 3), None, torch.arange(len(x)))
    noise = made("unvaried", split)
    assert noise.shape == (4000, 1, 2, 3)
    along = (noise.flatten(1) - x.mean(0)) @ turned.T
    assert float(along[:, :2].abs().max()) < 0.02  # sampling turns the components a little
    assert torch.allclose(along[:, 2:].std(0), along[:, 2:].std().expand(4), rtol=0.08)
    spread = (x - x.mean(0)).square().sum(1).mean()
    assert float(along.square().sum(1).mean()) == pytest.approx(float(spread), rel=0.05)
    half = made({"name": "unvaried", "scale": 0.5}, split).flatten(1) - x.mean(0)
    assert float(half.square().sum(1).mean()) == pytest.approx(float(spread) / 4, rel=0.05)


@pytest.mark.parametrize(
    ("explained", "directions"), [(0.0, 6), (0.5, 5), (0.9, 4), (0.9999, 4), (0.9999999, 3)]
)
def test_the_share_of_variance_that_is_left_out(explained, directions):
    split = Split(flat_data(), None, torch.arange(300))
    noise = made({"name": "unvaried", "explained": explained}, split, rows=50)
    assert int(torch.linalg.matrix_rank(noise - split.x.mean(0), atol=1e-4)) == directions


def test_noise_without_a_free_direction_is_refused():
    x = torch.randn(30, 2, generator=torch.Generator().manual_seed(0))
    with pytest.raises(DataError, match="the data vary in every direction, so none is left for noise"):
        Unvaried(explained=0.9999999).bind(Split(x, None, torch.arange(30)))
    with pytest.raises(DataError, match="the data do not vary, so there is no variance for noise to match"):
        Unvaried().bind(Split(torch.ones(5, 3), None, torch.arange(5)))
    with pytest.raises(DataError, match="too large for their principal components"):
        Unvaried().bind(Split(torch.zeros(2, 5000), None, torch.arange(2)))


def test_a_pool_of_noise_follows_from_its_seed_and_name():
    digits = load_dataset("digits")["train"]
    one, same, other, named = (
        generated_split(Uniform(), digits, 50, seed=seed, name=name)
        for seed, name in [(0, "a"), (0, "a"), (1, "a"), (0, "b")]
    )
    assert one.x.shape == (50, 1, 12, 12)
    assert one.y is None
    assert one.ids.tolist() == list(range(50))
    assert torch.equal(one.x, same.x)
    assert not torch.equal(one.x, other.x)
    assert not torch.equal(one.x, named.x)


def test_faults_are_one_message():
    tokens = Split(torch.zeros(2, 3, dtype=torch.int64), None, torch.arange(2))
    with pytest.raises(DataError, match="noise cannot replace tokens"):
        Uniform().bind(tokens)
    with pytest.raises(DataError, match="low is above high"):
        Uniform(low=2.0, high=1.0).bind(Split(torch.zeros(2, 3), None, torch.arange(2)))
    with pytest.raises(ConfigError, match="did you mean 'normal'"):
        Generator.parse("nromal")
    with pytest.raises(ConfigError, match="scale"):
        Generator.parse({"name": "normal", "scale": -1.0})
