from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit
from scipy.stats import multivariate_normal

from bequest import measure
from bequest.theory import (
    Law,
    Mixture,
    agreement,
    agreement_on_errors,
    alignment,
    brier,
    calibrated,
    calibration_error,
    cosine,
    error,
    law,
    nll,
    observe,
    reliability,
    solve,
)
from bequest.theory.observables import RARE

RHO, M, B = st.floats(0.05, 0.95), st.floats(-2.0, 3.0), st.floats(-3.0, 3.0)
DELTA, Q = st.floats(0.1, 5.0), st.floats(0.01, 20.0)


def drawn(one: Law, samples: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Labels and logits of fresh samples."""
    generator = np.random.default_rng(seed)
    y = (generator.random(samples) < one.rho).astype(int)
    logits = (2 * y - 1) * one.m + one.b + np.sqrt(one.delta * one.q) * generator.standard_normal(samples)
    return y, logits


@pytest.mark.parametrize("one", [Law(1.0, 0.3, 1.2, 2.0, -0.8), Law(0.5, 0.7, 0.4, 30.0, 1.0)])
def test_everything_agrees_with_the_measures_of_drawn_samples(one):
    samples = 400_000
    y, logits = drawn(one, samples)
    probs = np.stack([expit(-logits), expit(logits)], axis=1)
    sure = 4 / np.sqrt(samples)
    assert error(one) == pytest.approx(1 - measure.accuracy(probs, y), abs=sure)
    assert brier(one) == pytest.approx(measure.brier(probs, y), abs=2 * sure)
    losses = np.logaddexp(0, -(2 * y - 1) * logits)
    assert nll(one) == pytest.approx(losses.mean(), abs=sure * losses.std())
    table, exact = measure.reliability(probs, y), reliability(one)
    assert calibration_error(one) == pytest.approx(table.error, abs=15 * sure)
    held = exact.mass > 0.01
    assert exact.mass == pytest.approx(table.count / samples, abs=sure)
    assert exact.confidence[held] == pytest.approx(table.confidence[held], abs=1e-3)
    assert exact.accuracy[held] == pytest.approx(table.accuracy[held], abs=0.02)


def test_the_calibration_curve_is_the_share_of_ones_among_samples_of_a_logit():
    one = Law(1.0, 0.3, 1.2, 2.0, -0.8)
    y, logits = drawn(one, 2_000_000)
    for p in (0.1, 0.4, 0.8):
        near = np.abs(logits - logit(p)) < 0.05
        sure = 4 * 0.5 / np.sqrt(near.sum())
        assert calibrated(one, p) == pytest.approx(y[near].mean(), abs=sure)


@given(RHO, M, B, DELTA, Q, M, B, Q, st.floats(-1.0, 1.0))
@example(0.5, 2.0, 0.0, 0.125, 0.015625, 0.0, 0.0, 1.0, 0.0)  # the first errs with probability e^-1000
@settings(max_examples=40, deadline=None)
def test_agreement_is_an_orthant_of_the_bivariate_normal(rho, m, b, delta, q, m2, b2, q2, r):
    r = 0.999 * r
    one, two, s = Law(delta, rho, m, q, b), Law(delta, rho, m2, q2, b2), r * np.sqrt(q * q2)
    same = both = wrong = 0.0
    for tau, p in ((1, rho), (-1, 1 - rho)):
        mean = [m + tau * b, m2 + tau * b2]
        joint = multivariate_normal(mean, delta * np.array([[q, s], [s, q2]]), allow_singular=True)
        low = joint.cdf([0.0, 0.0])
        single = [multivariate_normal(mean[k], delta * (q, q2)[k]).cdf(0.0) for k in (0, 1)]
        same += p * (1 - single[0] - single[1] + 2 * low)
        both, wrong = both + p * low, wrong + p * single[0]
    assert agreement(one, two, s) == pytest.approx(same, abs=1e-6)
    shared = float(agreement_on_errors(one, two, s))
    assert np.isnan(shared) if wrong < RARE else shared * wrong == pytest.approx(both, abs=1e-6)
    assert agreement(one, two, s) == pytest.approx(float(agreement(two, one, s)), abs=1e-9)


@given(RHO, M, B, DELTA, Q)
@settings(max_examples=40, deadline=None)
def test_bounds_and_identities(rho, m, b, delta, q):
    one = Law(delta, rho, m, q, b)
    assert 0 <= error(one) <= 1
    assert 0 <= brier(one) <= 2
    assert nll(one) >= brier(one) / 2
    assert 0 <= calibration_error(one) <= 1
    assert reliability(one).mass.sum() == pytest.approx(1, abs=1e-9)
    assert agreement(one, one, q) == pytest.approx(1, abs=1e-6)
    assert cosine(one, one, q) == pytest.approx(1)
    mirrored = Law(delta, 1 - rho, m, q, -b)
    for observable in (error, nll, brier, calibration_error):
        assert observable(one) == pytest.approx(float(observable(mirrored)), abs=1e-9)


@given(RHO, st.floats(0.1, 3.0), DELTA)
@settings(max_examples=20, deadline=None)
def test_a_calibrated_classifier_has_no_calibration_error_and_the_least_loss(rho, m, delta):
    q, b = 2 * m / delta, float(logit(rho))
    best = Law(delta, rho, m, q, b)
    assert calibration_error(best) == pytest.approx(0, abs=1e-9)
    p = np.array([0.05, 0.5, 0.9])
    assert calibrated(best, p) == pytest.approx(p)
    for factor in (0.7, 1.4):
        scaled = Law(delta, rho, factor * m, factor**2 * q, factor * b)
        assert nll(scaled) > nll(best)
        assert brier(scaled) > brier(best)


def test_accuracy_within_reliability_bins_by_adaptive_quadrature():
    from scipy.integrate import quad

    one = Law(2.0, 0.2, 1.0, 400.0, -3.0)  # margins far wider than the logistic function
    label, mean, width = one.split()
    table = reliability(one, bins=10)
    confidence = 0.0
    for p, centre in zip(label, mean, strict=True):
        for side in (1.0, -1.0):
            density = lambda t: (  # noqa: E731
                np.exp(-((side * t - centre) ** 2) / (2 * width**2)) / np.sqrt(2 * np.pi) / width  # noqa: B023
            )
            edge = logit(0.9)
            points = [edge + 5, edge + 20]
            upper = edge + 400
            confidence += p * quad(lambda t: density(t) * expit(t), edge, upper, points=points, limit=400)[0]  # noqa: B023
    assert table.confidence[-1] * table.mass[-1] == pytest.approx(confidence, abs=1e-9)


def test_all_observables_of_a_grid_have_its_shape_and_nan_where_nothing_is_solved():
    mixture = Mixture(1.0, 1, 0.3)
    solution = solve(
        mixture, lambda_teacher=[[0.0], [1.0]], lambda_student=[0.1, 1.0, 10.0], mix=0.5, throw=False
    )
    for learner in (0, 1):
        for name, values in observe(solution, learner).items():
            assert values.shape == (2, 3), name
            assert np.isnan(values[0]).all(), name
            assert np.isfinite(values[1]).all(), name
    student = observe(solution)
    assert student["alignment"][1] == pytest.approx(alignment(law(solution))[1])
    assert "overlap" not in observe(solution, 0)
