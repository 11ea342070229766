from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate
from scipy.special import expit, ndtr

from bequest.theory.quadrature import hermite, level, rule_for, rules, split, trapezoid

ACCURACY = st.sampled_from([1e-3, 1e-6, 1e-9, 1e-12])


def expectation(function) -> float:
    """E f(z) by adaptive quadrature, an independent way."""
    density = lambda z: function(z) * np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi)  # noqa: E731
    return integrate.quad(density, -12, 12, epsabs=1e-14, epsrel=1e-13, limit=500)[0]


@given(reach=st.floats(0.05, 30.0), accuracy=ACCURACY, centre=st.floats(-2.0, 2.0))
@settings(max_examples=40, deadline=None)
def test_a_rule_keeps_its_word_on_the_logistic_function(reach, accuracy, centre):
    """σ(κ) with κ = (π/reach) z + centre has its poles, which are simple, exactly ``reach`` away."""
    rule = rule_for(reach, accuracy)

    def answer(z):
        return expit(np.pi / reach * z + centre)

    assert abs(rule.weights @ answer(rule.nodes) - expectation(answer)) <= accuracy


@pytest.mark.parametrize("accuracy", [1e-3, 1e-6, 1e-9])
def test_rules_cost_more_as_the_reach_gets_shorter(accuracy):
    ladder = rules(accuracy)
    reaches, counts = [r.reach for r in ladder], [r.nodes.size for r in ladder]
    assert reaches == sorted(reaches, reverse=True)
    assert counts == sorted(counts)
    assert all(abs(r.weights.sum() - 1) < 1e-12 for r in ladder)


def test_levels_are_positions_in_the_ladder():
    reaches = np.array([[100.0, 3.0], [0.3, 1e-9]])
    found = level(reaches, 1e-9)
    ladder = rules(1e-9)
    assert found.shape == reaches.shape
    assert [ladder[k].nodes.size for k in found.ravel()[:3]] == [
        rule_for(float(r), 1e-9).nodes.size for r in reaches.ravel()[:3]
    ]
    assert found[1, 1] == len(ladder) - 1


def test_hermite_is_exact_for_polynomials_and_the_trapezoid_is_not():
    nodes, weights = hermite(6)
    assert weights @ nodes**10 == pytest.approx(945)  # 9!!
    nodes, weights = trapezoid(41, 1e-12)
    assert weights @ nodes**4 == pytest.approx(3, abs=1e-7)


@given(at=st.floats(-20.0, 20.0), reach=st.floats(0.5, 5.0))
@settings(max_examples=30, deadline=None)
def test_a_split_rule_integrates_across_a_jump(at, reach):
    nodes, weights = split(rule_for(reach, 1e-9), np.array([at]), 1e-9)
    assert weights[nodes < at].sum() == pytest.approx(ndtr(at), abs=1e-8)

    def broken(z):
        return np.where(z < at, -1.0, 1.0) / np.cosh(np.pi / reach * z / 2)

    parts = [(-12, np.clip(at, -12, 12)), (np.clip(at, -12, 12), 12)]
    dense = lambda z: np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi) / np.cosh(np.pi / reach * z / 2)  # noqa: E731
    below, above = (integrate.quad(dense, *part, epsabs=1e-13, limit=300)[0] for part in parts)
    assert (weights * broken(nodes)).sum() == pytest.approx(above - below, abs=1e-7)
