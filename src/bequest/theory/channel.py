r"""The sample side of the state evolution: from order parameters to conjugates.

For a label τ = ±1 the cavity margins of the learners are Gaussian, with means m_a + τ b_a and covariance
Δ q_ac. They are written as ω = mean + C z with C the Cholesky factor and z standard normal, one axis of
nodes for each learner; a :class:`Tape` holds what the earlier learners do at every node.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from bequest.theory.losses import LOSSES, Lesson, Proximal
from bequest.theory.macrostate import Macrostate, Setting
from bequest.theory.parameters import Array, Indices
from bequest.theory.quadrature import Rule

SIGNS = np.array([[1.0], [-1.0]])
"""The label τ on its axis."""


class Unknowns(NamedTuple):
    """The unknowns of one learner: shapes (P,) four times, then (a, P) twice."""

    m: Array
    q: Array
    b: Array
    v: Array
    overlap: Array
    response: Array


class Conjugates(NamedTuple):
    """The conjugates: m̂ (P,), q̂ (a + 1, P), V̂ (a + 1, P), and Newton's step for the bias (P,)."""

    force: Array
    noise: Array
    stiffness: Array
    bias_step: Array


class Slopes(NamedTuple):
    """∂κ_d/∂ω_c and ∂G_d/∂ω_c at every node, by (d, c) with c ≤ d."""

    margin: dict[tuple[int, int], Array]
    force: dict[tuple[int, int], Array]


@dataclass
class Tape:
    """The earlier learners at every node: K nodes, two labels, P points.

    ``weight`` includes the label's probability and sums to one over nodes and labels. ``spin[c]`` is z_c,
    ``margin[c]`` and ``force[c]`` are κ_c and G_c, all of shape (K, 2, P). ``slopes`` is None once a learner
    was taught with hard labels, where they would hold a delta function.
    """

    weight: Array
    spin: list[Array]
    margin: list[Array]
    force: list[Array]
    slopes: Slopes | None

    @classmethod
    def blank(cls, setting: Setting) -> Tape:
        """Before the first learner: one node."""
        weight = np.stack([setting.rho, 1.0 - setting.rho])[None]
        return cls(weight, [], [], [], Slopes({}, {}))

    def unseen(self, state: Macrostate, rows: Array) -> Tape:
        """The same learners on samples that none of them was trained on: each margin is its cavity margin ω.

        Such a sample exerts no force on them: their forces and the slopes of these are 0, and ∂κ_d/∂ω_c is 1
        for c = d alone.
        """
        nothing = np.zeros(self.weight.shape)
        margin, slopes = [], Slopes({}, {})
        for d in range(len(self.spin)):
            cavity = np.broadcast_to(state.m[d] + SIGNS * state.b[d], self.weight.shape)
            margin.append(cavity + sum(rows[d, c] * self.spin[c] for c in range(d + 1)))
            for c in range(d + 1):
                slopes.margin[d, c] = nothing + (c == d)
                slopes.force[d, c] = nothing
        return Tape(self.weight, self.spin, margin, [nothing for _ in self.spin], slopes)

    def take(self, index: Indices) -> Tape:
        """The tape of the points in ``index``."""

        def picked(arrays: dict[tuple[int, int], Array]) -> dict[tuple[int, int], Array]:
            return {key: array[..., index] for key, array in arrays.items()}

        return Tape(
            self.weight[..., index],
            [array[..., index] for array in self.spin],
            [array[..., index] for array in self.margin],
            [array[..., index] for array in self.force],
            self.slopes and Slopes(picked(self.slopes.margin), picked(self.slopes.force)),
        )

    def mean(self, values: Array) -> Array:
        """The expectation of ``values`` (K, 2, P) over nodes and labels."""
        return np.asarray(np.einsum("klp,klp->p", self.weight, values))


def factor(setting: Setting, state: Macrostate, learners: int) -> Array:
    """The Cholesky factor of Δq of the first learners, shape (learners, learners, P)."""
    rows = np.zeros((learners, learners, setting.size))
    for a in range(learners):
        rows[a, : a + 1] = factor_row(setting, rows, state.q[a, a], state.q[a, :a])
    return rows


def factor_row(setting: Setting, rows: Array, q: Array, overlap: Array) -> Array:
    """The next row of the Cholesky factor, shape (a + 1, P); 0 on the diagonal of a dependent learner."""
    a = overlap.shape[0]
    row = np.zeros((a + 1, setting.size))
    for c in range(a):
        rest = setting.delta * overlap[c] - np.einsum("dp,dp->p", row[:c], rows[c, :c])
        np.divide(rest, rows[c, c], out=row[c], where=rows[c, c] > 0)
    row[a] = np.sqrt(np.maximum(setting.delta * q - np.einsum("cp,cp->p", row[:a], row[:a]), 0.0))
    return row


class Channel:
    """The sample side of learner ``a``, given the tape of the learners before it."""

    def __init__(self, setting: Setting, tape: Tape, rows: Array, a: int) -> None:
        learner = setting.learners[a]
        shape = tape.weight.shape
        self.setting, self.tape, self.rows, self.a = setting, tape, rows, a
        self.loss = LOSSES[learner.loss]
        hard = learner.target == "hard"
        self.teachers = learner.taught_by(a)
        # Labels and decisions have no temperature.
        tempered = (setting.mix[a] > 0) & (not hard)
        temperature = np.where(tempered, setting.temperature[a], 1.0)
        self.lesson = Lesson(_spread(setting.mix[a], shape), _spread(temperature, shape), hard)
        self.taught = np.zeros(shape)
        for d in self.teachers:
            self.taught += tape.margin[d] / len(self.teachers)
        # Once: the teachers' margins are fixed while this learner is solved.
        self.drive = self.loss.drive(self.taught, self.lesson)

    def row(self, x: Unknowns) -> Array:
        """This learner's row of the Cholesky factor."""
        return factor_row(self.setting, self.rows, x.q, x.overlap)

    def centre(self, x: Unknowns, row: Array) -> Array:
        """The cavity margin ψ at z_a = 0, including the push of the earlier learners' forces."""
        centre = np.broadcast_to(x.m + SIGNS * x.b, self.tape.weight.shape)
        for c in range(self.a):
            push = self.setting.delta * x.response[c] * self.tape.force[c]
            centre = centre + row[c] * self.tape.spin[c] + push
        return centre

    def proximal(self, cavity: Array, x: Unknowns, guess: Array | None) -> Proximal:
        """The learner's margins on its training samples, at ``cavity`` (n, K, 2, P)."""
        response = _spread(self.setting.delta * x.v, self.tape.weight.shape)
        return self.loss.proximal(cavity, response, self.lesson, self.drive.value, guess)

    def crossing(self, x: Unknowns, row: Array) -> Array:
        """The z_a at which the training margin is zero, shape (K, 2, P); below it the label is missed."""
        zero = np.zeros(self.tape.weight.shape)
        pull = self.loss.force(zero, self.lesson, self.drive.value)
        cavity = -self.setting.delta * x.v * pull - self.centre(x, row)
        return np.asarray(cavity / row[self.a])

    def conjugates(self, x: Unknowns, row: Array, rule: Rule, at: Proximal) -> Conjugates:
        """The expectations that the weight side needs."""
        setting, tape, a = self.setting, self.tape, self.a
        yielding = at.curvature / (1.0 + setting.delta * x.v * at.curvature)
        force = over_nodes(rule, at.force)
        square = over_nodes(rule, at.force**2)
        softness = over_nodes(rule, yielding)
        softened = tape.mean(softness)
        noise = [tape.mean(force * tape.force[c]) for c in range(a)] + [tape.mean(square)]
        # A hard label's slope is a delta function, which no node meets; by parts only the force is needed.
        by_parts = tape.slopes is None or self.lesson.hard
        slopes = (
            self._mean_slopes_by_parts(row, force, softened) if by_parts else self._mean_slopes(x, softness)
        )
        scale = setting.alpha * setting.delta
        return Conjugates(
            force=setting.alpha * tape.mean(force),
            noise=scale * np.array(noise),
            stiffness=scale * np.array([*(-slope for slope in slopes), softened]),
            # Towards E[τG] = 0, whose derivative by the bias is −E[yielding].
            bias_step=tape.mean(SIGNS * force) / softened,
        )

    def extended(self, x: Unknowns, nodes: Array, weights: Array, at: Proximal) -> Tape:
        """The tape with this learner added, ``at`` its proximal points; both axes of nodes become one."""
        shape = at.margin.shape
        yielding = at.curvature / (1.0 + self.setting.delta * x.v * at.curvature)

        def flat(array: Array) -> Array:
            return np.ascontiguousarray(np.broadcast_to(array, shape)).reshape(-1, *shape[2:])

        slopes = None
        if self.tape.slopes and not self.lesson.hard:
            margin = {key: flat(array) for key, array in self.tape.slopes.margin.items()}
            force = {key: flat(array) for key, array in self.tape.slopes.force.items()}
            for c in range(self.a):
                moved, pulled = self.slope(x, yielding, c)
                margin[self.a, c], force[self.a, c] = flat(moved), flat(pulled)
            margin[self.a, self.a] = flat(1.0 - self.setting.delta * x.v * yielding)
            force[self.a, self.a] = flat(-yielding)
            slopes = Slopes(margin, force)
        return Tape(
            flat(weights * self.tape.weight),
            [*map(flat, self.tape.spin), flat(nodes)],
            [*map(flat, self.tape.margin), flat(at.margin)],
            [*map(flat, self.tape.force), flat(at.force)],
            slopes,
        )

    def slope(self, x: Unknowns, yielding: Array, c: int) -> tuple[Array, Array]:
        """∂κ_a/∂ω_c and ∂G_a/∂ω_c for c < a, where ``yielding`` is ℓ''/(1 + ΔVℓ'') at the nodes."""
        slopes = self.tape.slopes
        assert slopes is not None
        pushed = self.setting.delta * sum(x.response[d] * slopes.force[d, c] for d in range(c, self.a))
        moved = sum(slopes.margin[d, c] for d in self.teachers if d >= c) / len(self.teachers)
        pulled = self.drive.cross * moved
        response = self.setting.delta * x.v
        left = 1.0 - response * yielding
        return left * (pushed + response * pulled), left * pulled - yielding * pushed

    def _mean_slopes(self, x: Unknowns, softness: Array) -> list[Array]:
        """E[∂G_a/∂ω_c]: the slopes are linear in ``yielding``, so that its average over z_a suffices."""
        return [self.tape.mean(self.slope(x, softness, c)[1]) for c in range(self.a)]

    def _mean_slopes_by_parts(self, row: Array, force: Array, softened: Array) -> list[Array]:
        """E[∂G_a/∂ω_c] from Stein's identity E[z_c G] = Σ_d C_dc E[∂G/∂ω_d]: no slope is needed."""
        slopes = [np.zeros_like(softened) for _ in range(self.a)]
        # Back substitution: the Cholesky factor is triangular, so that the last slope stands alone.
        for c in reversed(range(self.a)):
            rest = self.tape.mean(self.tape.spin[c] * force) + row[c] * softened
            rest = rest - sum(self.rows[d, c] * slopes[d] for d in range(c + 1, self.a))
            slopes[c] = rest / self.rows[c, c]
        return slopes


def over_nodes(rule: Rule, values: Array) -> Array:
    """The expectation of ``values`` (n, K, 2, P) over the last learner's z."""
    shape = values.shape[1:]
    return np.asarray(rule.weights @ values.reshape(values.shape[0], -1)).reshape(shape)


def _spread(values: Array, shape: tuple[int, ...]) -> Array:
    """A contiguous copy of ``values`` in ``shape``: arithmetic with it runs at full length."""
    return np.ascontiguousarray(np.broadcast_to(values, shape))
