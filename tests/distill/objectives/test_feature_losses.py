from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bequest.distill.objectives import OrthogonalProjector, cka_guidance, vkd
from bequest.distill.objectives.feature_losses import pooled
from bequest.errors import ObjectiveError

QUICK = settings(deadline=None, max_examples=15)
SEEDS = st.integers(0, 10_000)
BOTH = pytest.mark.parametrize("unbiased", [True, False])


def draw(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def hsic_biased(k: np.ndarray, l: np.ndarray) -> float:
    """Gretton et al. 2005: tr(KHLH)."""
    n = len(k)
    h = np.eye(n) - 1 / n
    return float(np.trace(k @ h @ l @ h))


def hsic_unbiased(k: np.ndarray, l: np.ndarray) -> float:
    """Song et al. 2012, equation 5."""
    n = len(k)
    k, l = k - np.diag(np.diag(k)), l - np.diag(np.diag(l))
    cross = k.sum() * l.sum() / ((n - 1) * (n - 2)) - 2 / (n - 2) * (k @ l).sum()
    return float(np.trace(k @ l) + cross) / (n * (n - 3))


@BOTH
@QUICK
@given(seed=SEEDS, n=st.integers(5, 12))
def test_cka_is_its_definition(unbiased, seed, n):
    x, y = draw(seed, n, 3), draw(seed + 1, n, 7)
    k, l = (x @ x.T).numpy(), (y @ y.T).numpy()
    hsic = hsic_unbiased if unbiased else hsic_biased
    expected = 1 - hsic(k, l) / math.sqrt(hsic(k, k) * hsic(l, l))
    assert float(cka_guidance(x, y, unbiased=unbiased)) == pytest.approx(expected, rel=1e-9, abs=1e-12)


@BOTH
@QUICK
@given(seed=SEEDS)
def test_cka_sees_no_rotation_scale_or_shift(unbiased, seed):
    x, y = draw(seed, 8, 4), draw(seed + 1, 8, 5)
    rotation, _ = torch.linalg.qr(draw(seed + 2, 4, 4))
    changed = 3 * x @ rotation + 5
    assert float(cka_guidance(changed, y, unbiased=unbiased)) == pytest.approx(
        float(cka_guidance(x, y, unbiased=unbiased))
    )
    assert float(cka_guidance(changed, x, unbiased=unbiased)) == pytest.approx(0, abs=1e-9)


def test_only_the_unbiased_form_is_near_one_for_strangers():
    each = [cka_guidance(draw(k, 32, 512), draw(k + 100, 32, 512)) for k in range(20)]
    assert float(torch.stack(each).mean()) == pytest.approx(1, abs=0.03)
    assert float(cka_guidance(draw(0, 32, 512), draw(1, 32, 512), unbiased=False)) < 0.1


@BOTH
def test_cka_gradients_agree_with_finite_differences(unbiased):
    x, y = draw(0, 6, 3).requires_grad_(), draw(1, 6, 4)
    assert torch.autograd.gradcheck(lambda v: cka_guidance(v, y, unbiased=unbiased), (x,), atol=1e-6)


@BOTH
def test_cka_keeps_its_precision_under_autocast(unbiased):
    x, y = draw(0, 8, 64).float(), draw(1, 8, 32).float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = cka_guidance(x, y, unbiased=unbiased)
    assert float(half) == float(cka_guidance(x, y, unbiased=unbiased))
    assert cka_guidance(x.to(torch.bfloat16), y).dtype == torch.float32


@BOTH
def test_cka_of_constant_features_is_one_without_gradient(unbiased):
    flat = torch.full((6, 3), 0.7).requires_grad_()
    loss = cka_guidance(flat, draw(1, 6, 4).float(), unbiased=unbiased)
    loss.backward()
    assert float(loss.detach()) == 1
    assert bool((flat.grad == 0).all())


@pytest.mark.parametrize("wrong", [math.nan, math.inf])
@pytest.mark.parametrize("unbiased", [True, False])
def test_cka_of_a_feature_that_is_not_finite_is_not_finite(unbiased, wrong):
    x, y = (torch.randn(6, 3, generator=torch.Generator().manual_seed(seed)) for seed in (1, 2))
    broken = x.clone()
    broken[2, 1] = wrong
    for pair in ((broken, y), (y, broken)):
        assert not math.isfinite(float(cka_guidance(*pair, unbiased=unbiased)))


def test_cka_flattens_maps_and_leaves_the_guide_alone():
    x, y = draw(0, 6, 3, 2, 2), draw(1, 6, 4, 5).requires_grad_()
    assert float(cka_guidance(x, y.detach())) == float(cka_guidance(x.flatten(1), y.detach().flatten(1)))
    assert not cka_guidance(x, y).requires_grad


@pytest.mark.parametrize(("unbiased", "rows"), [(True, 3), (False, 1)])
def test_cka_needs_enough_rows(unbiased, rows):
    with pytest.raises(ObjectiveError, match="equal numbers of rows, at least"):
        cka_guidance(draw(0, rows, 3), draw(1, rows, 3), unbiased=unbiased)
    with pytest.raises(ObjectiveError, match=r"got: *5 and 6"):
        cka_guidance(draw(0, 5, 3), draw(1, 6, 3))


@QUICK
@given(seed=SEEDS)
def test_vkd_is_its_definition(seed):
    s, t = 2 * draw(seed, 5, 6), draw(seed + 1, 5, 6)
    normed = (t - t.mean(1, keepdim=True)) / (t.var(1, correction=0, keepdim=True) + 1e-5).sqrt()
    gap = (s - normed).abs()
    each = torch.where(gap < 1, gap**2 / 2, gap - 0.5)
    assert float(vkd(s, t)) == pytest.approx(float(each.mean()))
    assert float(vkd(normed, t)) == pytest.approx(0, abs=1e-12)
    assert torch.autograd.gradcheck(lambda v: vkd(v, t), (s.requires_grad_(),), atol=1e-6)


@pytest.mark.parametrize(("width", "wanted"), [(3, 5), (5, 3), (4, 4)])
def test_the_projector_stays_orthogonal_while_it_learns(width, wanted):
    projector = OrthogonalProjector(width, wanted, seed=1)
    optimizer = torch.optim.SGD(projector.parameters(), lr=0.5)
    first = projector.linear.weight.detach().clone()
    x, y = draw(0, 16, width).float(), draw(1, 16, wanted).float()
    losses = []
    for _ in range(20):
        loss = vkd(projector(x), y)
        losses.append(float(loss.detach()))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    weight = projector.linear.weight.detach()
    small = min(width, wanted)
    product = weight.T @ weight if width < wanted else weight @ weight.T
    torch.testing.assert_close(product, torch.eye(small), atol=1e-5, rtol=0)
    assert losses[-1] < losses[0]
    assert not torch.allclose(weight, first)


def test_the_projector_follows_from_its_seed_and_its_state():
    one, same, other = (OrthogonalProjector(3, 5, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(one.linear.weight, same.linear.weight)
    assert not torch.equal(one.linear.weight, other.linear.weight)
    other.load_state_dict(one.state_dict())
    assert torch.equal(one.linear.weight, other.linear.weight)


def test_pooling_averages_positions_only():
    maps, words = draw(0, 2, 3, 4, 4), draw(1, 2, 6, 3)
    assert torch.equal(pooled(maps), maps.mean((2, 3)))
    assert torch.equal(pooled(words), words.mean(1))
    assert torch.equal(pooled(words[:, 0]), words[:, 0])
    assert pooled(words.to(torch.bfloat16)).dtype == torch.float32
