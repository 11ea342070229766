"""Each divergence against its definition in SciPy, its identities, and its edges."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon
from scipy.special import log_softmax, rel_entr

from bequest.distill.exchange import Exchange
from bequest.distill.objectives import (
    JensenShannon,
    ReverseKL,
    SkewKL,
    TotalVariation,
    jensen_shannon,
    kd,
    reverse_kl,
    skew_kl,
    total_variation,
)
from bequest.errors import ConfigError, ObjectiveError

LOSSES = {
    "reverse_kl": reverse_kl,
    "jensen_shannon": jensen_shannon,
    "total_variation": total_variation,
    "skew_kl": skew_kl,
    "reverse skew_kl": lambda s, t, **k: skew_kl(s, t, reverse=True, **k),
}


def draw(seed, *shape, scale=3.0):
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def by_hand(name, p, q, beta=0.5, skew=0.1):
    m = beta * p + (1 - beta) * q
    return {
        "reverse_kl": lambda: rel_entr(q, p).sum(-1),
        "jensen_shannon": lambda: beta * rel_entr(p, m).sum(-1) + (1 - beta) * rel_entr(q, m).sum(-1),
        "total_variation": lambda: np.abs(p - q).sum(-1) / 2,
        "skew_kl": lambda: rel_entr(p, skew * p + (1 - skew) * q).sum(-1),
        "reverse skew_kl": lambda: rel_entr(q, skew * q + (1 - skew) * p).sum(-1),
    }[name]().mean()


@pytest.mark.parametrize("name", sorted(LOSSES))
@given(st.integers(0, 200), st.floats(0.5, 5.0))
def test_each_is_its_definition(name, seed, temperature):
    s, t = draw(seed, 4, 6), draw(seed + 1, 4, 6)
    p, q = (np.exp(log_softmax(x.numpy() / temperature, -1)) for x in (t, s))
    loss = float(LOSSES[name](s, t, temperature=temperature))
    assert loss == pytest.approx(temperature**2 * by_hand(name, p, q), rel=1e-9, abs=1e-12)


@given(st.integers(0, 200), st.floats(0.05, 0.95))
def test_parameters_enter_as_defined(seed, share):
    s, t = draw(seed, 4, 6), draw(seed + 1, 4, 6)
    p, q = (np.exp(log_softmax(x.numpy(), -1)) for x in (t, s))
    assert float(jensen_shannon(s, t, beta=share)) == pytest.approx(
        by_hand("jensen_shannon", p, q, beta=share)
    )
    assert float(skew_kl(s, t, skew=share)) == pytest.approx(by_hand("skew_kl", p, q, skew=share))


def test_the_symmetric_divergence_is_scipys():
    s, t = draw(0, 5, 7), draw(1, 5, 7)
    p, q = (np.exp(log_softmax(x.numpy(), -1)) for x in (t, s))
    assert float(jensen_shannon(s, t)) == pytest.approx((jensenshannon(p, q, axis=-1) ** 2).mean())
    assert float(jensen_shannon(s, t)) == pytest.approx(float(jensen_shannon(t, s)))


def test_limits_are_the_kl_divergences():
    s, t = draw(0, 5, 7, scale=1.0), draw(1, 5, 7, scale=1.0)
    forward, backward = float(kd(s, t, temperature=1.0)), float(reverse_kl(s, t))
    assert float(jensen_shannon(s, t, beta=1e-6)) / 1e-6 == pytest.approx(forward, rel=1e-4)
    assert float(jensen_shannon(s, t, beta=1 - 1e-6)) / 1e-6 == pytest.approx(backward, rel=1e-4)
    assert float(skew_kl(s, t, skew=0.0)) == pytest.approx(forward)
    assert float(skew_kl(s, t, skew=0.0, reverse=True)) == pytest.approx(backward)
    assert float(reverse_kl(s, t)) == pytest.approx(float(kd(t, s, temperature=1.0)))


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_equal_logits_have_no_loss_also_where_classes_are_masked(name):
    s = draw(0, 4, 6)
    s[:, 2] = -math.inf
    assert float(LOSSES[name](s, s)) == pytest.approx(0.0, abs=1e-12)
    t = draw(1, 4, 6)
    t[:, 2] = -math.inf
    keep = [0, 1, 3, 4, 5]
    leaf = s.clone().requires_grad_()
    loss = LOSSES[name](leaf, t)
    loss.backward()
    assert float(loss.detach()) == pytest.approx(float(LOSSES[name](s[:, keep], t[:, keep])))
    assert bool(torch.isfinite(leaf.grad).all())


@pytest.mark.parametrize("name", ["jensen_shannon", "total_variation", "skew_kl", "reverse skew_kl"])
def test_bounded_divergences_stay_bounded_whatever_one_side_masks(name):
    s, t = torch.tensor([[0.0, -math.inf]]), torch.tensor([[-math.inf, 0.0]])
    most = {"jensen_shannon": math.log(2), "total_variation": 1.0}.get(name, -math.log(0.1))
    assert float(LOSSES[name](s, t)) == pytest.approx(most, rel=1e-6)


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_hidden_positions_play_no_part_and_without_any_the_loss_is_0(name):
    s, t = draw(0, 2, 3, 5), draw(1, 2, 3, 5)
    mask = torch.tensor([[True, True, False], [True, False, False]])
    t[~mask] = math.nan
    loss = LOSSES[name](s, t, mask=mask)
    assert float(loss) == pytest.approx(float(LOSSES[name](s[mask], t[mask])))
    assert float(LOSSES[name](s, t, mask=torch.zeros_like(mask))) == 0.0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s: jensen_shannon(s, s, beta=1.0), "beta must lie between 0 and 1"),
        (lambda s: skew_kl(s, s, skew=1.0), r"the skew must lie in \[0, 1\)"),
        (lambda s: reverse_kl(s, s[:, :2]), "different shapes"),
        (lambda s: total_variation(s, s, temperature=0), "not a positive finite number"),
    ],
)
def test_what_cannot_be_computed_is_refused(call, message):
    with pytest.raises(ObjectiveError, match=message):
        call(draw(0, 3, 4))


@pytest.mark.parametrize(
    ("objective", "loss"),
    [
        (ReverseKL(2.0), lambda s, t: reverse_kl(s, t, temperature=2.0)),
        (JensenShannon(0.3, 2.0), lambda s, t: jensen_shannon(s, t, beta=0.3, temperature=2.0)),
        (TotalVariation(2.0), lambda s, t: total_variation(s, t, temperature=2.0)),
        (SkewKL(0.2, reverse=True), lambda s, t: skew_kl(s, t, skew=0.2, reverse=True)),
    ],
)
def test_an_objective_is_its_loss(objective, loss):
    s, t = draw(0, 4, 6), draw(1, 4, 6)
    exchange = Exchange(s, teacher_logits=(t,))
    objective.check(exchange)
    value, parts = objective(exchange)
    assert float(value) == pytest.approx(float(loss(s, t)))
    assert list(parts) == [objective.name]
    assert [reads.what for reads in objective.reads] == ["logits"]


def test_parameters_out_of_range_are_faults_of_the_configuration():
    for make in (lambda: JensenShannon(1.0), lambda: SkewKL(1.0)):
        with pytest.raises(ConfigError, match="less than 1"):
            make()
    with pytest.raises(ConfigError, match="temperature: expected a number > 0"):
        ReverseKL(-1.0)
