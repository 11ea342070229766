from __future__ import annotations

import pytest
import torch
from scipy import stats

from bequest.data.views import Choice, Compose, CutMix, Erase, Flip, Identity, Mixup, Noise, Shift
from bequest.errors import ConfigError, DataError

N = 3000
X = torch.rand(N, 2, 8, 6, generator=torch.Generator().manual_seed(0)) + torch.arange(N)[:, None, None, None]
IDS = torch.arange(N) + 50
POOL = (X, IDS)


def test_mixup_is_the_weighted_mean_of_sample_and_partner():
    got = Mixup(0.8)(X, IDS, 3, seed=1, pool=POOL)
    rows, share = Mixup(0.8).mixing(IDS, 3, seed=1, pool=POOL)
    w = share[:, None, None, None]
    torch.testing.assert_close(got, w * X + (1 - w) * X[rows])


@pytest.mark.parametrize("alpha", [0.2, 0.8, 1.0, 3.0])
def test_shares_have_the_beta_distribution_and_partners_are_uniform(alpha):
    rows, share = Mixup(alpha).mixing(IDS, 0, seed=0, pool=POOL)
    assert stats.kstest(share.double().numpy(), stats.beta(alpha, alpha).cdf).pvalue > 1e-3
    counts = torch.bincount(rows // 300, minlength=10)
    assert stats.chisquare(counts.numpy()).pvalue > 1e-3


def test_cutmix_pastes_a_rectangle_and_counts_the_pixels_that_stay():
    got = CutMix()(X, IDS, 3, seed=1, pool=POOL)
    rows, share = CutMix().mixing(IDS, 3, seed=1, pool=POOL)
    stayed = got[:, 0] == X[:, 0]
    pasted = got[:, 0] == X[rows][:, 0]
    assert bool((stayed | pasted).all())
    other = rows != torch.arange(N)
    torch.testing.assert_close(share[other], stayed.float().mean((1, 2))[other])
    box = ~stayed[other]
    assert torch.equal(box.any(2).sum(1) * box.any(1).sum(1), box.sum((1, 2)))
    assert torch.equal(stayed, got[:, 1] == X[:, 1])


def test_cutmix_boxes_have_the_stated_sides():
    """Where the box is not cut by the border, its sides are sqrt(1 - λ) of the image's, with λ uniform."""
    share = CutMix().mixing(IDS, 0, seed=0, pool=POOL)[1]
    assert float(share.mean()) > 0.5  # cut boxes are smaller than 1 - λ, whose mean is one half
    assert float(share.min()) == 0
    assert float(share.max()) == 1


def test_the_partner_comes_through_the_views_before_under_its_own_id():
    before = Compose((Shift(2), Flip()))
    whole = Compose((Shift(2), Flip(), Mixup()))
    shown = before(X, IDS, 5, seed=2)
    rows, share = whole.mixing(IDS, 5, seed=2, pool=POOL)
    w = share[:, None, None, None]
    torch.testing.assert_close(whole(X, IDS, 5, seed=2, pool=POOL), w * shown + (1 - w) * shown[rows])


def test_the_partner_comes_through_nested_views_too():
    nested = Compose((Shift(2), Compose((Flip(), CutMix()))))
    rows, share = nested.mixing(IDS, 5, seed=2, pool=POOL)
    got = nested(X, IDS, 5, seed=2, pool=POOL)
    without = Compose((Shift(2), Compose((Flip(), Identity()))))(X, IDS, 5, seed=2)
    fits = (got == without) | (got == without[rows])
    assert bool(fits.all())
    assert 0.3 < float(share.mean()) < 0.95


def test_views_after_mixing_see_the_mixed_sample():
    mixed = Compose((Mixup(), Erase(rate=1.0, value=-9.0)))(X, IDS, 0, seed=0, pool=POOL)
    assert bool((mixed == -9).flatten(1).any(1).all())
    plain = Compose((Mixup(), Identity()))(X, IDS, 0, seed=0, pool=POOL)
    assert torch.equal(mixed[mixed != -9], plain[mixed != -9])


def test_a_choice_mixes_some_samples_only():
    view = Choice((Mixup(), CutMix(), Identity()), (0.4, 0.4, 0.2))
    got = view(X, IDS, 0, seed=0, pool=POOL)
    rows, share = view.mixing(IDS, 0, seed=0, pool=POOL)
    kept = (got == X).flatten(1).all(1)
    assert 0.15 < float(kept.float().mean()) < 0.3  # a fifth, and the boxes of no size
    assert bool((share[kept & (rows == 0)] == 1).all())
    gap = (got - X).flatten(1).abs().amax(1)
    assert bool((gap[share == 1] == 0).all())


def test_labels_of_other_views_stay():
    assert Shift(1).mixing(IDS, 0, seed=0, pool=POOL) is None
    assert Compose((Shift(1), Flip())).mixing(IDS, 0, seed=0, pool=POOL) is None
    assert Choice((Shift(1), Noise(0.1))).mixing(IDS, 0, seed=0, pool=POOL) is None


def test_vectors_can_be_mixed_up():
    x = torch.rand(10, 4)
    ids = torch.arange(10)
    rows, share = Mixup().mixing(ids, 0, seed=0, pool=(x, ids))
    expected = share[:, None] * x + (1 - share[:, None]) * x[rows]
    torch.testing.assert_close(Mixup()(x, ids, 0, seed=0, pool=(x, ids)), expected)


def test_what_cannot_be_mixed_is_refused():
    with pytest.raises(DataError, match="'mixup' mixes samples and was given no pool"):
        Mixup()(X, IDS, 0, seed=0)
    tokens = torch.zeros(3, 4, dtype=torch.int64)
    with pytest.raises(DataError, match="mixup needs numbers to average"):
        Mixup()(tokens, IDS[:3], 0, seed=0, pool=(tokens, IDS[:3]))
    with pytest.raises(DataError, match="this view needs images"):
        CutMix()(X[:, 0, 0], IDS, 0, seed=0, pool=(X[:, 0, 0], IDS))
    with pytest.raises(ConfigError, match="at most one view of a composition may mix samples"):
        Compose((Mixup(), CutMix()))
    with pytest.raises(ConfigError, match="alpha: input should be greater than 0"):
        Mixup(0)
