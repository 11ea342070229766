"""The start of the iteration: a linearised learner, or the nearest point that is already solved."""

from __future__ import annotations

import numpy as np

from bequest.theory.channel import Unknowns
from bequest.theory.macrostate import Macrostate, Setting
from bequest.theory.parameters import Array, Indices
from bequest.theory.state_evolution import pack

CURVATURE = 0.25
"""The curvature of the logistic loss at zero."""


def first_guess(setting: Setting, state: Macrostate, a: int) -> Array:
    """Packed unknowns of learner ``a``: those of ridge regression, mixed with those of its teachers.

    For a loss of constant curvature k the response solves λv + αΔk v/(1 + Δk v) = η.
    """
    alpha, delta, eta = setting.alpha, setting.delta, setting.eta[a]
    # The formula divides by it, and a guess need not be exact.
    penalty = np.maximum(setting.penalty[a], 1e-9)
    stiff = delta * CURVATURE
    linear = penalty + stiff * (alpha - eta)
    v = (np.sqrt(linear**2 + 4.0 * penalty * stiff * eta) - linear) / (2.0 * penalty * stiff)
    force = 0.5 / (1.0 + stiff * v)
    m = v * alpha * force
    q = m**2 / eta + v**2 / eta * alpha * delta * force**2
    b = np.log(setting.rho / (1.0 - setting.rho)) / 2.0
    taught = setting.learners[a].taught_by(a)
    if taught:
        mix, last = setting.mix[a], taught[-1]
        fitted = 1.0 - penalty * v / eta
        m = (1.0 - mix) * m + mix * eta * fitted * state.m[last]
        q = (1.0 - mix) * q + mix * eta * fitted**2 * state.q[last, last]
        b = (1.0 - mix) * b + mix * state.b[last]
    # Clearly below the largest possible overlaps, so that the covariance of the fields is positive definite.
    overlap = np.array([0.8 * np.sqrt(q * state.q[c, c] * eta) for c in range(a)]).reshape(a, setting.size)
    return pack(Unknowns(m, q, b, v, overlap, np.zeros_like(overlap)), state)


def coordinates(setting: Setting, a: int) -> Array:
    """Coordinates of the points in which equal distances mean about equal changes, shape (k, P)."""
    logarithms = [
        setting.alpha,
        setting.delta,
        *setting.penalty[: a + 1] + 1e-9,
        *setting.temperature[: a + 1],
    ]
    plain = [setting.rho, *setting.eta[: a + 1], *setting.mix[: a + 1]]
    return np.stack([*(np.log(one) for one in logarithms), *(4.0 * one for one in plain)])


def nearest(places: Array, solved: Indices, asked: Indices) -> Indices:
    """For each index in ``asked`` the index in ``solved`` with the nearest place."""
    if asked.size * solved.size > 250_000:
        from scipy.spatial import cKDTree  # slow to import, and needed for large grids only

        return np.asarray(solved[cKDTree(places[:, solved].T).query(places[:, asked].T)[1]])
    gaps = ((places[:, asked, None] - places[:, None, solved]) ** 2).sum(axis=0)
    return np.asarray(solved[gaps.argmin(axis=1)])
