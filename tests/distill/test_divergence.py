from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import rel_entr
from scipy.stats import entropy

from bequest.distill.divergence import entropy_rows, kl_rows, kl_terms


def rows(seed, classes=5):
    generator = torch.Generator().manual_seed(seed)
    return torch.log_softmax(3 * torch.randn(4, classes, generator=generator).double(), -1)


@given(st.integers(0, 1000), st.integers(1, 7))
def test_rows_are_those_of_scipy(seed, classes):
    log_p, log_q = rows(seed, classes), rows(seed + 1, classes)
    p, q = log_p.exp().numpy(), log_q.exp().numpy()
    assert np.allclose(kl_rows(log_p, log_q), rel_entr(p, q).sum(-1), atol=1e-12)
    assert np.allclose(entropy_rows(log_p), entropy(p, axis=-1), atol=1e-12)
    assert torch.equal(kl_terms(log_p, log_q).sum(-1), kl_rows(log_p, log_q))


def test_what_both_mask_adds_nothing_and_what_one_masks_is_scipys():
    p, q = np.array([0.25, 0.75, 0.0]), np.array([0.5, 0.5, 0.0])
    log_p, log_q = (torch.from_numpy(each).log() for each in (p, q))
    assert float(kl_rows(log_p, log_q)) == pytest.approx(rel_entr(p, q).sum(), abs=1e-12)
    assert float(kl_rows(log_p, log_p)) == 0.0
    assert float(entropy_rows(log_p)) == pytest.approx(entropy(p), abs=1e-12)
    assert float(kl_rows(torch.tensor([0.5, 0.5]).log(), torch.tensor([1.0, 0.0]).log())) == math.inf


def test_a_nan_of_either_distribution_stays_nan():
    log_p = rows(3)
    broken = log_p.clone()
    broken[1] = math.nan
    for value in (kl_rows(broken, log_p), kl_rows(log_p, broken), entropy_rows(broken)):
        assert torch.isnan(value).tolist() == [False, True, False, False]


def test_gradients_through_masked_classes_are_finite():
    logits = torch.tensor([[1.0, 0.0, -math.inf]], requires_grad=True)
    other = torch.log_softmax(torch.tensor([[0.0, 2.0, -math.inf]]), -1)
    log_p = torch.log_softmax(logits, -1)
    for value in (kl_rows(log_p, other), kl_rows(other, log_p), entropy_rows(log_p)):
        (gradient,) = torch.autograd.grad(value.sum(), logits, retain_graph=True)
        assert bool(torch.isfinite(gradient).all())
        assert float(gradient[0, 2]) == 0.0
