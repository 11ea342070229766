"""The order parameters of a chain of learners, for many points at once.

All arrays have the points on their last axis, length P. A learner's index comes first; of two indices the
later learner's is first. The equations are in :mod:`~bequest.theory.weights` and
:mod:`~bequest.theory.channel`.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from bequest.theory.learner import Learner
from bequest.theory.parameters import Array, Indices


@dataclass
class Setting:
    """The given numbers: the mixture's parameters (P,) and each learner's (A, P)."""

    alpha: Array
    delta: Array
    rho: Array
    penalty: Array
    eta: Array
    mix: Array
    temperature: Array
    learners: tuple[Learner, ...]

    def take(self, index: Indices) -> Setting:
        """The setting of the points in ``index``."""
        arrays = {f.name: getattr(self, f.name)[..., index] for f in fields(self) if f.name != "learners"}
        return Setting(**arrays, learners=self.learners)

    @property
    def size(self) -> int:
        """The number of points."""
        return int(self.alpha.size)


@dataclass
class Macrostate:
    """The order parameters and their conjugates. Unsolved entries are NaN.

    ``m`` = v·w/N, ``b`` the bias, ``q[a, c]`` = w_a·w_c/N, ``v[a, c]`` = dw_a/dJ_c (c ≤ a), and their
    conjugates ``force`` m̂ = αE[G], ``noise`` q̂ = αΔE[G_a G_c], ``stiffness`` V̂ = −αΔE[∂G_a/∂ω_c].
    """

    m: Array
    b: Array
    q: Array
    v: Array
    force: Array
    noise: Array
    stiffness: Array

    @classmethod
    def empty(cls, learners: int, points: int) -> Macrostate:
        """All NaN; responses to later learners are 0."""

        def blank(*shape: int) -> Array:
            return np.full((*shape, points), np.nan)

        pair = (learners, learners)
        state = cls(
            blank(learners),
            blank(learners),
            blank(*pair),
            blank(*pair),
            blank(learners),
            blank(*pair),
            blank(*pair),
        )
        upper = np.triu_indices(learners, 1)
        state.v[upper] = 0.0
        state.stiffness[upper] = 0.0
        return state

    def forget(self, points: Indices, a: int) -> None:
        """Set learner ``a`` to NaN at ``points`` that were not solved."""
        for array in (self.m, self.b, self.force):
            array[a, points] = np.nan
        for array in (self.q, self.noise):
            array[a, : a + 1, points] = np.nan
            array[: a + 1, a, points] = np.nan
        for array in (self.v, self.stiffness):
            array[a, : a + 1, points] = np.nan

    def take(self, index: Indices) -> Macrostate:
        """A copy of the points in ``index``."""
        return Macrostate(**{f.name: getattr(self, f.name)[..., index] for f in fields(self)})
