"""The solvable model: the solver against a plain fixed point, the teacher's fit against scikit-learn.

Usage: OMP_NUM_THREADS=1 python benchmarks/theory.py [--points 1000] [--baseline 20]

The baseline is what the equations say, one point at a time: 41 × 41 Gauss–Hermite nodes, damping one half.
Seconds are processor time of one thread.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.special import expit

NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(41)
WEIGHTS = WEIGHTS / WEIGHTS.sum()


def prox(omega: np.ndarray, v: float, gradient: Callable, curvature: Callable, h: np.ndarray) -> np.ndarray:
    """H = omega − v gradient(h) by Newton's method, by bisection where that leaves its bracket."""
    low, high = omega - v * gradient(np.inf), omega - v * gradient(-np.inf)
    low, high = np.minimum(low, high), np.maximum(low, high)
    for _ in range(200):
        excess = h - omega + v * gradient(h)
        low, high = np.where(excess < 0, h, low), np.where(excess > 0, h, high)
        step = excess / (1.0 + v * curvature(h))
        new = h - step
        new = np.where((new < low) | (new > high), 0.5 * (low + high), new)
        if np.abs(new - h).max() < 1e-12:
            return new
        h = new
    return h


def iterate(step: Callable, x: np.ndarray, tolerance: float) -> tuple[np.ndarray, int]:
    """X ← (x + step(x))/2 until nothing moves."""
    for sweeps in range(1, 20_000):
        new = step(x)
        if np.abs(new - x).max() < tolerance:
            return new, sweeps
        x = 0.5 * (x + new)
    raise RuntimeError("the plain fixed point does not converge")


def plain_teacher(alpha: float, delta: float, rho: float, penalty: float, tolerance: float) -> dict[str, Any]:
    """(m, q, b, V) of the teacher, with its margins at the nodes of both labels."""
    state: dict[str, Any] = {"h": {1: np.zeros(41), 0: np.zeros(41)}}

    def step(x: np.ndarray) -> np.ndarray:
        m, q, b, v = x
        g_m = g_b = g_q = soft = 0.0
        for y, p in ((1, rho), (0, 1 - rho)):
            omega = (2 * y - 1) * m + b + np.sqrt(delta * q) * NODES
            h = prox(
                omega,
                delta * v,
                lambda h, y=y: expit(h) - y,
                lambda h: expit(h) * expit(-h),
                state["h"][y],
            )
            state["h"][y] = h
            g, bend = y - expit(h), expit(h) * expit(-h)
            g_m += p * (2 * y - 1) * WEIGHTS @ g
            g_b += p * WEIGHTS @ g
            g_q += p * WEIGHTS @ g**2
            soft += p * WEIGHTS @ (bend / (1 + delta * v * bend))
        gain = 1 / (penalty + alpha * delta * soft)
        m_hat, q_hat = alpha * g_m, alpha * delta * g_q
        state["hats"] = (m_hat, q_hat, gain)
        return np.array([gain * m_hat, gain**2 * (m_hat**2 + q_hat), b + g_b / soft, gain])

    x, state["sweeps"] = iterate(step, np.array([0.1, 0.1, 0.0, 1.0]), tolerance)
    return {**state, "m": x[0], "q": x[1], "b": x[2], "v": x[3]}


def plain_solve(
    alpha: float,
    delta: float,
    rho: float,
    lambda_teacher: float,
    lambda_student: float,
    eta: float,
    mix: float,
    temperature: float,
    tolerance: float = 1e-10,
) -> dict[str, Any]:
    """Teacher and student by damped iteration, written as the equations stand, logits and all."""
    teacher = plain_teacher(alpha, delta, rho, lambda_teacher, tolerance)
    m_t, q_t, b_t, v_t = (teacher[name] for name in ("m", "q", "b", "v"))
    mt_hat, qt_hat, gain_t = teacher["hats"]
    square = np.outer(WEIGHTS, WEIGHTS)
    saved = {1: np.zeros((41, 41)), 0: np.zeros((41, 41))}
    t = temperature

    def step(x: np.ndarray) -> np.ndarray:
        m, q, b, v, s, v_st = x
        sums = np.zeros(7)
        for y, p in ((1, rho), (0, 1 - rho)):
            omega_t = (2 * y - 1) * m_t + b_t + np.sqrt(delta * q_t) * NODES
            h_t = prox(
                omega_t,
                delta * v_t,
                lambda h, y=y: expit(h) - y,
                lambda h: expit(h) * expit(-h),
                teacher["h"][y],
            )
            g_t, bend_t = y - expit(h_t), expit(h_t) * expit(-h_t)
            dh_t = 1 / (1 + delta * v_t * bend_t)
            dg_t = -bend_t * dh_t
            own = np.sqrt(max(delta * (q - s**2 / q_t), 0.0))
            omega = ((2 * y - 1) * m + b + np.sqrt(delta) * s / np.sqrt(q_t) * NODES)[:, None] + own * NODES
            said = expit(h_t / t)[:, None]

            def gradient(h: Any, y: int = y, said: np.ndarray = said) -> np.ndarray:
                return (1 - mix) * (expit(h) - y) + mix * t * (expit(h / t) - said)

            def curvature(h: np.ndarray) -> np.ndarray:
                return (1 - mix) * expit(h) * expit(-h) + mix * expit(h / t) * expit(-h / t)

            h = prox(omega + delta * v_st * g_t[:, None], delta * v, gradient, curvature, saved[y])
            saved[y] = h
            g, bend = -gradient(h), curvature(h)
            cross = -mix * expit(h_t / t) * expit(-h_t / t)
            by_own = bend / (1 + delta * v * bend)
            by_teacher = -(cross[:, None] * dh_t[:, None] + bend * delta * v_st * dg_t[:, None]) / (
                1 + delta * v * bend
            )
            sums += p * np.array(
                [
                    (2 * y - 1) * (square * g).sum(),
                    (square * g).sum(),
                    (square * g**2).sum(),
                    (square * g * g_t[:, None]).sum(),
                    (square * by_own).sum(),
                    (square * by_teacher).sum(),
                    0.0,
                ]
            )
        m_hat, q_hat, cross_hat = alpha * sums[0], alpha * delta * sums[2], alpha * delta * sums[3]
        gain, st_hat = 1 / (lambda_student + alpha * delta * sums[4]), -alpha * delta * sums[5]
        mu = gain * (m_hat - st_hat * gain_t * mt_hat)
        noise = q_hat + st_hat**2 * gain_t**2 * qt_hat - 2 * st_hat * gain_t * cross_hat
        return np.array(
            [
                eta * mu,
                eta * (mu**2 + gain**2 * noise),
                b + sums[1] / sums[4],
                eta * gain,
                eta * (mu * gain_t * mt_hat + gain_t * gain * (cross_hat - st_hat * gain_t * qt_hat)),
                -eta * st_hat * gain_t * gain,
            ]
        )

    start = np.array([eta * m_t, eta * q_t, b_t, 1.0, 0.9 * eta * q_t, 0.0])
    x, sweeps = iterate(step, start, tolerance)
    student = dict(zip(("m", "q", "b", "v", "overlap", "response"), x.tolist(), strict=True))
    return {
        "teacher": {name: float(teacher[name]) for name in ("m", "q", "b", "v")},
        "student": student,
        "sweeps": (teacher["sweeps"], sweeps),
    }


def plain_blocks_teacher(world: dict[str, Any], penalty: np.ndarray, tolerance: float) -> dict[str, Any]:
    """(m, q, V by block, b) of a teacher in blocks, with 41 nodes."""
    alpha, rho = world["alpha"], world["rho"]
    shares, signal, variances = (np.array(world[name]) for name in ("shares", "signal", "variances"))
    blocks, margins = shares.size, {1: np.zeros(41), -1: np.zeros(41)}

    def step(x: np.ndarray) -> np.ndarray:
        m, q, v, b = x[:blocks], x[blocks : 2 * blocks], x[2 * blocks : 3 * blocks], x[-1]
        response, sums = variances @ v, np.zeros(4)
        for s, p in ((1, rho), (-1, 1 - rho)):
            omega = s * m.sum() + b + np.sqrt(variances @ q) * NODES
            y = (1 + s) / 2
            h = prox(omega, response, lambda h, y=y: expit(h) - y, lambda h: expit(h) * expit(-h), margins[s])
            margins[s] = h
            g, bend = y - expit(h), expit(h) * expit(-h)
            parts = (s * g, g**2, bend / (1 + response * bend), g)
            sums += p * np.array([WEIGHTS @ part for part in parts])
        gain = 1 / (penalty + alpha * variances * sums[2])
        m_hat, q_hat = alpha * sums[0], alpha * variances * sums[1]
        square = gain**2 * (m_hat**2 * signal + q_hat * shares)
        return np.concatenate([gain * m_hat * signal, square, gain * shares, [b + sums[3] / sums[2]]])

    x, sweeps = iterate(step, np.concatenate([0.1 * signal, 0.1 * shares, shares, [0.0]]), tolerance)
    return {"m": x[:blocks], "q": x[blocks : 2 * blocks], "b": x[-1], "sweeps": sweeps}


def plain_queries(
    world: dict[str, Any],
    lambda_teacher: tuple[float, ...],
    lambda_student: tuple[float, ...],
    groups: list[tuple[float, float, tuple[float, ...]]],
    temperature: float = 1.0,
    start: float = 0.0,
    tolerance: float = 1e-10,
) -> dict[str, Any]:
    """Teacher and student of the theory of queries, one point, soft targets, as the equations stand."""
    teacher = plain_blocks_teacher(world, np.array(lambda_teacher), tolerance)
    rho, shares, signal = world["rho"], np.array(world["shares"]), np.array(world["signal"])
    blocks, square, t = shares.size, np.outer(WEIGHTS, WEIGHTS), temperature
    penalty, m_t, q_t = np.array(lambda_student), teacher["m"], teacher["q"]
    margins = {(g, s): np.zeros((41, 41)) for g in range(len(groups)) for s in (1, -1)}

    def step(x: np.ndarray) -> np.ndarray:
        m, q, v, cross = (x[k * blocks : (k + 1) * blocks] for k in range(4))
        b, m_hat, shift, soft = x[-1], 0.0, 0.0, 0.0
        q_hat, v_hat, s_hat = np.zeros(blocks), np.zeros(blocks), np.zeros(blocks)
        for g, (alpha, centre, deltas) in enumerate(groups):
            delta = np.array(deltas)
            response, along = delta @ v, (delta @ cross) / np.sqrt(delta @ q_t)
            rest = np.sqrt(max(delta @ q - along**2, 0.0))
            for s, p in ((1, rho), (-1, 1 - rho)):
                h_t = s * centre * m_t.sum() + teacher["b"] + np.sqrt(delta @ q_t) * NODES
                omega = (s * centre * m.sum() + b + along * NODES)[:, None] + rest * NODES
                answer = expit(h_t / t)[:, None]

                def gradient(h: Any, answer: np.ndarray = answer) -> np.ndarray:
                    return t * (expit(h / t) - answer)

                def curvature(h: np.ndarray) -> np.ndarray:
                    return expit(h / t) * expit(-h / t)

                h = prox(omega, response, gradient, curvature, margins[g, s])
                margins[g, s] = h
                force, bend = -gradient(h), curvature(h)
                slope = (square * (bend / (1 + response * bend))).sum()
                pull = (square * ((answer * (1 - answer)) / (1 + response * bend))).sum()
                m_hat += p * alpha * centre * s * (square * force).sum()
                q_hat += p * alpha * delta * (square * force**2).sum()
                v_hat, s_hat = v_hat + p * alpha * delta * slope, s_hat + p * alpha * delta * pull
                shift, soft = shift + p * alpha * (square * force).sum(), soft + p * alpha * slope
        d = penalty + v_hat
        squares = m_hat**2 * signal + 2 * m_hat * s_hat * m_t + s_hat**2 * q_t + q_hat * shares
        return np.concatenate(
            [
                (m_hat * signal + s_hat * m_t) / d,
                (squares + penalty**2 * start * shares) / d**2,
                shares / d,
                (m_hat * m_t + s_hat * q_t) / d,
                [b + shift / soft],
            ]
        )

    first = np.concatenate([m_t, q_t + 0.1 * shares, shares, 0.9 * q_t, [teacher["b"]]])
    x, sweeps = iterate(step, first, tolerance)
    m, q, v, cross = (x[k * blocks : (k + 1) * blocks] for k in range(4))
    student = {"m": m, "q": q, "v": v, "overlap": cross, "b": x[-1]}
    return {"teacher": teacher, "student": student, "sweeps": (teacher["sweeps"], sweeps)}


QUERY_WORLD = {"alpha": 2.0, "rho": 0.3, "shares": (0.5, 0.5), "signal": (1.0, 0.0), "variances": (1.0, 0.01)}
QUERY_BIAS = {"lambda_teacher": (0.3, 1e3), "lambda_student": (0.05, 0.05), "start": 5.0}


def query_speed(points: int, baseline: int) -> dict[str, Any]:
    """Seconds a point of a grid over queries, their variance and the temperature, and one at a time."""
    from bequest.theory import BlockMixture, QueryGroup, solve_queries

    side = max(2, round(points ** (1 / 3)))
    axes = (np.geomspace(0.1, 2, side), np.geomspace(0.1, 2, side), np.geomspace(0.7, 4, side))
    asked, variance, temperature = (axis.ravel() for axis in np.meshgrid(*axes, indexing="ij"))
    size = asked.size
    world = BlockMixture(**QUERY_WORLD)

    def ours(part: slice) -> Any:
        groups = [QueryGroup(2, 1, (1, 0.01)), QueryGroup(asked[part], 1, (1, variance[part]))]
        return solve_queries(world, **QUERY_BIAS, groups=groups, temperature=temperature[part])

    ours(slice(0, 2))
    start = time.process_time()
    solution = ours(slice(None))
    seconds = (time.process_time() - start) / size
    chosen = np.linspace(0, size - 1, baseline).astype(int)
    start = time.process_time()
    plain = [
        plain_queries(
            QUERY_WORLD,
            QUERY_BIAS["lambda_teacher"],
            QUERY_BIAS["lambda_student"],
            [(2, 1, (1, 0.01)), (asked[k], 1, (1, variance[k]))],
            temperature[k],
            QUERY_BIAS["start"],
            1e-8,
        )
        for k in chosen
    ]
    theirs = (time.process_time() - start) / baseline
    apart = max(
        np.abs(one["student"]["q"] - solution.student.q[:, k]).max()
        for one, k in zip(plain, chosen, strict=True)
    )
    return {
        "points": size,
        "points_per_second": 1 / seconds,
        "seconds_per_point": seconds,
        "plain_seconds_per_point": theirs,
        "plain_sweeps": [one["sweeps"] for one in plain],
        "times_faster": theirs / seconds,
        "largest_residual": float(solution.residual.max()),
        "largest_difference_of_q": float(apart),
    }


def grid(points: int) -> dict[str, np.ndarray]:
    """About ``points`` points over the penalties and the inputs seen."""
    side = max(2, round(points ** (1 / 3)))
    axes = (np.geomspace(0.05, 10, side), np.geomspace(0.01, 1, side), np.linspace(0.3, 1, side))
    teacher, student, eta = (axis.ravel() for axis in np.meshgrid(*axes, indexing="ij"))
    return {"lambda_teacher": teacher, "lambda_student": student, "eta": eta}


def solver_speed(points: int, baseline: int) -> dict[str, Any]:
    """Seconds a point for the whole grid at once, and for a spread of its points one at a time."""
    from bequest.theory import Mixture, solve

    given, rest = grid(points), {"mix": 0.7, "temperature": 2.0}
    size = given["eta"].size
    mixture = Mixture(2.0, 1.0, 0.2)
    solve(mixture, **{name: value[:2] for name, value in given.items()}, **rest)
    start = time.process_time()
    solution = solve(mixture, **given, **rest, accuracy=1e-8)
    ours = (time.process_time() - start) / size
    chosen = np.linspace(0, size - 1, baseline).astype(int)
    start = time.process_time()
    plain = [
        plain_solve(2.0, 1.0, 0.2, *(float(value[k]) for value in given.values()), 0.7, 2.0) for k in chosen
    ]
    theirs = (time.process_time() - start) / baseline
    apart = max(
        abs(one["student"]["m"] - solution.student.m[k]) for one, k in zip(plain, chosen, strict=True)
    )
    return {
        "points": size,
        "points_per_second": 1 / ours,
        "seconds_per_point": ours,
        "plain_seconds_per_point": theirs,
        "times_faster": theirs / ours,
        "largest_residual": float(solution.residual.max()),
        "largest_difference_of_m": float(apart),
    }


def fit_speed(inputs: int, alpha: float, penalty: float, times: int = 3) -> dict[str, float]:
    """Seconds to fit the teacher on one draw, beside scikit-learn's newton-cholesky."""
    from sklearn.linear_model import LogisticRegression

    from bequest.theory import Learner, Mixture
    from bequest.theory.fitting import Objective, fit
    from bequest.theory.losses import LOSSES
    from bequest.theory.simulation import draw, lesson_of

    data = draw(Mixture(alpha, 1.0, 0.3), inputs, 0)
    lesson, nobody = lesson_of(Learner(penalty)), np.zeros_like(data.signs)
    model = LogisticRegression(C=1 / penalty, solver="newton-cholesky", tol=1e-8)

    def ours() -> np.ndarray:
        objective = Objective(LOSSES["logistic"], penalty, lesson, nobody)
        return fit(data.inputs, data.signs, objective).weights[1:]

    def theirs() -> np.ndarray:
        return model.fit(data.inputs[:, 1:], data.signs).coef_[0]

    spent: dict[str, list[float]] = {"ours": [], "theirs": []}
    for _ in range(times):
        for name, work in (("ours", ours), ("theirs", theirs)):
            start = time.process_time()
            work()
            spent[name].append(time.process_time() - start)
    best = {name: min(values) for name, values in spent.items()}
    return {
        "inputs": inputs,
        "alpha": alpha,
        "seconds": best["ours"],
        "sklearn_seconds": best["theirs"],
        "ratio": best["ours"] / best["theirs"],
        "largest_difference_of_weights": float(np.abs(ours() - theirs()).max()),
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--points", type=int, default=1000)
    parser.add_argument("--baseline", type=int, default=20)
    options = parser.parse_args()
    print(
        json.dumps(
            {
                "solver": solver_speed(options.points, options.baseline),
                "queries": query_speed(options.points, options.baseline),
                "fit": [fit_speed(1000, 2.0, 1.0), fit_speed(1000, 2.0, 0.01)],
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
