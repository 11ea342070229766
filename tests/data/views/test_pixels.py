from __future__ import annotations

import pytest
import torch
from scipy import stats

from bequest.data.views import Brightness, Contrast, Erase, Noise, Randaugment, WordDropout
from bequest.data.views.randaugment import changes
from bequest.errors import ConfigError, DataError

X = torch.ones(2000, 2, 12, 10)
IDS = torch.arange(2000)


def test_erase_sets_one_rectangle_of_the_stated_area():
    got = Erase(rate=0.5, smallest=0.1, largest=0.4, aspect=1.0, value=-7.0)(X, IDS, 0, seed=0)
    gone = got[:, 0] == -7
    assert torch.equal(gone, got[:, 1] == -7)
    erased = gone.flatten(1).any(1)
    assert 900 < int(erased.sum()) < 1100
    rows, columns = gone.any(2).sum(1)[erased], gone.any(1).sum(1)[erased]
    area = gone.flatten(1).sum(1)[erased]
    assert torch.equal(area, rows * columns)  # a rectangle, and nothing else
    assert 0.06 < float(area.min()) / 120 < 0.14  # sides are rounded to pixels
    assert 0.35 < float(area.max()) / 120 < 0.45
    assert bool((gone.any(0)).all())  # every pixel's turn comes


def test_erase_reaches_long_rectangles():
    gone = Erase(rate=1.0, aspect=3.0)(X, IDS, 0, seed=0)[:, 0] == 0
    ratio = gone.any(2).sum(1) / 12 / (gone.any(1).sum(1) / 10)
    assert float(ratio.max()) > 2
    assert float(ratio.min()) < 0.5


def test_brightness_adds_one_number_a_sample():
    added = Brightness(0.3)(X, IDS, 0, seed=0) - X
    assert bool((added == added[:, :1, :1, :1]).all())
    assert stats.kstest(added[:, 0, 0, 0].numpy(), stats.uniform(-0.3, 0.6).cdf).pvalue > 1e-3


def test_contrast_stretches_about_its_pivot():
    got = Contrast(0.5, pivot=0.25)(X, IDS, 0, seed=0)
    factors = (got[:, 0, 0, 0] - 0.25) / 0.75
    assert stats.kstest(factors.numpy(), stats.uniform(0.5, 1.0).cdf).pvalue > 1e-3
    flat = torch.full_like(X[:5], 0.25)
    assert torch.equal(Contrast(0.5, pivot=0.25)(flat, IDS[:5], 0, seed=0), flat)


def test_noise_is_normal_and_independent():
    added = (Noise(0.5)(X, IDS, 0, seed=0) - X).flatten()
    assert stats.kstest(added[:20_000].numpy(), stats.norm(0, 0.5).cdf).pvalue > 1e-3
    assert abs(float(torch.corrcoef(torch.stack([added[:-1], added[1:]]))[0, 1])) < 0.01


def test_randaugment_grows_with_its_magnitude_and_stops_at_nothing():
    x = torch.rand(500, 1, 12, 12, generator=torch.Generator().manual_seed(0))
    ids = torch.arange(500)
    moved = [float((Randaugment(2, m)(x, ids, 0, seed=0) - x).abs().mean()) for m in (0, 3, 9)]
    assert moved[0] < moved[1] < moved[2]
    assert torch.equal(Randaugment(0, 9)(x, ids, 0, seed=0), x)
    assert torch.equal(Randaugment(2, 9)(x, ids, 0, seed=0), changes(2, 0.9, 12)(x, ids, 0, seed=0))


def test_word_dropout_replaces_its_share_and_keeps_what_it_must():
    tokens = torch.randint(0, 9, (500, 40), generator=torch.Generator().manual_seed(0))
    got = WordDropout(0.3, replacement=99, keep=(0, 3))(tokens, torch.arange(500), 0, seed=0)
    kept = (tokens == 0) | (tokens == 3)
    assert torch.equal(got[kept], tokens[kept])
    replaced = got != tokens
    assert bool((got[replaced] == 99).all())
    assert float(replaced[~kept].float().mean()) == pytest.approx(0.3, abs=0.02)
    assert got.dtype == tokens.dtype


def test_wrong_input_and_configurations():
    with pytest.raises(ConfigError, match=r"smallest must not exceed largest, got 0\.5 and 0\.2"):
        Erase(smallest=0.5, largest=0.2)
    with pytest.raises(ConfigError, match="rate: input should be less than or equal to 1"):
        WordDropout(1.5, replacement=1)
    with pytest.raises(ConfigError, match="magnitude: input should be less than or equal to 10"):
        Randaugment(2, 11)
    with pytest.raises(DataError, match="this view needs token sequences"):
        WordDropout(0.5, replacement=1)(X, IDS, 0, seed=0)
    tokens = torch.zeros(3, 4, dtype=torch.int64)
    for view in (Erase(), Brightness(0.1), Contrast(0.1), Noise(0.1), Randaugment()):
        with pytest.raises(DataError, match="this view needs images"):
            view(tokens, IDS[:3], 0, seed=0)
