"""The square loss has a closed form: every expectation is one of linear functions of Gaussians."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bequest.theory import Learner, Mixture, error, law, solve_chain

ALPHA, DELTA, RHO = st.floats(0.3, 6.0), st.floats(0.3, 3.0), st.floats(0.1, 0.9)
PENALTY = st.floats(-2.0, 1.0).map(lambda power: 10.0**power)


def response(alpha: float, delta: float, penalty: float, eta: float) -> float:
    """The positive root of λv + αΔv/(1 + Δv) = η."""
    roots = np.roots([penalty * delta, penalty + alpha * delta - eta * delta, -eta])
    return float(roots[roots > 0][0])


def ridge_teacher(alpha: float, delta: float, rho: float, penalty: float) -> dict[str, float]:
    v = response(alpha, delta, penalty, 1.0)
    p, c = 1 / (1 + delta * v), 2 * rho - 1
    # m = v α p (1 − m)(1 − c²), b = c (1 − m)
    k = v * alpha * p * (1 - c**2)
    m = k / (1 + k)
    b = c * (1 - m)
    m_hat = m / v
    square = (1 - m) ** 2 + b**2 - 2 * c * b * (1 - m)
    # q = v² (m̂² + αΔ p² (square + Δq))
    q = v**2 * (m_hat**2 + alpha * delta * p**2 * square) / (1 - v**2 * alpha * delta**2 * p**2)
    return {"m": m, "q": q, "b": b, "v": v, "p": p, "m_hat": m_hat, "square": square}


def ridge_student(alpha, delta, rho, teacher, penalty, eta, mix) -> dict[str, float]:
    """m, b and then (q, s) solve linear equations; the responses come first."""
    v = response(alpha, delta, penalty, eta)
    p, c, pt, gain_t = 1 / (1 + delta * v), 2 * rho - 1, teacher["p"], teacher["v"]
    gain = v / eta
    # ∂G_s/∂ω_t = p (χ pt + Δ v_st pt) and v_st = ηαΔ gain_t gain ∂G_s/∂ω_t
    k = eta * alpha * delta * gain_t * gain * p * pt
    v_st = k * mix / (1 - k * delta)
    st_hat = -v_st / (eta * gain_t * gain)

    # G_t = pt (1 − ω_t); κ_t = ω_t + Δ gain_t G_t; G_s = p ((1 − χ) + χ κ_t − ω_s − Δ v_st G_t)
    const_t, slope_t = pt, -pt
    const = p * ((1 - mix) + mix * delta * gain_t * const_t - delta * v_st * const_t)
    slope = p * (mix * (1 + delta * gain_t * slope_t) - delta * v_st * slope_t)
    mt, bt, qt = teacher["m"], teacher["b"], teacher["q"]

    # E[G_s] = const + slope (mt + c bt) − p (m + c b); E[τ G_s] = c const + slope (c mt + bt) − p (c m + b)
    # m = η gain (α E[G_s] − st_hat gain_t m̂_t)
    matrix = np.array([[1 / (eta * gain) + alpha * p, alpha * p * c], [p * c, p]])
    right = np.array(
        [
            alpha * (const + slope * (mt + c * bt)) - st_hat * gain_t * teacher["m_hat"],
            c * const + slope * (c * mt + bt),
        ]
    )
    m, b = np.linalg.solve(matrix, right)

    def mean(f):
        return rho * f(1) + (1 - rho) * f(-1)

    fixed_s = mean(lambda t: (const + slope * (mt + t * bt) - p * (m + t * b)) ** 2)
    fixed_ts = mean(
        lambda t: (const + slope * (mt + t * bt) - p * (m + t * b)) * (const_t + slope_t * (mt + t * bt))
    )
    qt_hat = alpha * delta * pt**2 * (teacher["square"] + delta * qt)
    scale, mu = alpha * delta, m / eta
    # q̂_s = scale (fixed_s + Δ (slope² qt − 2 slope p s + p² q))
    # q̂_ts = scale (fixed_ts + Δ slope_t (slope qt − p s))
    # q = η (mu² + gain² (q̂_s + st_hat² gain_t² q̂_t − 2 st_hat gain_t q̂_ts))
    # s = η (mu gain_t m̂_t + gain gain_t (q̂_ts − st_hat gain_t q̂_t))
    g2, sg = eta * gain**2, st_hat * gain_t
    a11 = 1 - g2 * scale * delta * p**2
    a12 = g2 * scale * delta * (2 * slope * p) - 2 * sg * g2 * scale * delta * slope_t * p
    r1 = eta * mu**2 + g2 * (
        scale * (fixed_s + delta * slope**2 * qt)
        + sg**2 * qt_hat
        - 2 * sg * scale * (fixed_ts + delta * slope_t * slope * qt)
    )
    gg = eta * gain * gain_t
    a22 = 1 + gg * scale * delta * slope_t * p
    r2 = eta * mu * gain_t * teacher["m_hat"] + gg * (
        scale * (fixed_ts + delta * slope_t * slope * qt) - sg * qt_hat
    )
    q, s = np.linalg.solve(np.array([[a11, a12], [0.0, a22]]), np.array([r1, r2]))
    return {"m": m, "b": b, "v": v, "q": q, "overlap": s, "response": v_st}


@given(ALPHA, DELTA, RHO, PENALTY, PENALTY, st.floats(0.2, 1.0), st.floats(0.0, 1.0))
@settings(max_examples=25, deadline=None)
def test_ridge_regression_taught_by_ridge_regression(alpha, delta, rho, first, second, eta, mix):
    teacher = ridge_teacher(alpha, delta, rho, first)
    student = ridge_student(alpha, delta, rho, teacher, second, eta, mix)
    chain = [Learner(first, loss="square"), Learner(second, eta, mix, loss="square")]
    solution = solve_chain(Mixture(alpha, delta, rho), chain)
    for name in ("m", "q", "b", "v"):
        assert float(getattr(solution.teacher, name)) == pytest.approx(teacher[name], rel=1e-7, abs=1e-9)
    for name, value in student.items():
        assert float(getattr(solution.student, name)) == pytest.approx(value, rel=1e-6, abs=1e-8), name


def test_without_penalty_the_response_is_marchenko_and_pasturs():
    alpha, delta = np.array([1.5, 3.0]), 0.7
    solution = solve_chain(Mixture(alpha, delta, 0.4), [Learner(0.0, loss="square")])
    assert solution.teacher.v == pytest.approx(1 / (delta * (alpha - 1)), rel=1e-8)


def test_the_error_peaks_where_samples_match_the_inputs_seen():
    alpha = np.array([0.2, 0.3, 0.45, 0.5, 0.55, 0.8, 1.5, 3.0])
    students = [Learner(1.0, loss="square"), Learner(1e-6, 0.5, 0.0, loss="square")]
    errors = error(law(solve_chain(Mixture(alpha, 1.0, 0.5), students)))
    assert alpha[errors.argmax()] == 0.5
    assert errors[0] < errors[2] < errors[3] > errors[4] > errors[6] > errors[7]


def test_a_strong_penalty_on_the_student_tames_the_peak():
    alpha = np.array([0.45, 0.5, 0.55])
    chain = [Learner(1.0, loss="square"), Learner([[1e-6], [1.0]], 0.5, 0.0, loss="square")]
    errors = error(law(solve_chain(Mixture(alpha, 1.0, 0.5), chain)))
    rise = errors[:, 1] - errors[:, [0, 2]].max(axis=1)
    assert rise[0] > 0 > rise[1]
    assert errors[1].max() < errors[0].min()
