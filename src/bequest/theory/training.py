"""Observables of a learner of the solvable model on its training samples: margins are proximal points."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from jaxtyping import Float
from scipy.special import ndtr

from bequest.theory.blocks import blocks
from bequest.theory.channel import Channel, Tape, factor, over_nodes
from bequest.theory.macrostate import Macrostate, Setting
from bequest.theory.panels import BATCH, expectations
from bequest.theory.parameters import Array, Indices
from bequest.theory.quadrature import Rule, level
from bequest.theory.solution import Solution
from bequest.theory.state_evolution import gives_decisions, reaches, tabulate, unknowns_of

ACCURACY = 1e-8

MARGIN = 1.5
"""The factor by which the reach is taken as shorter: these integrals have no check of their own."""

NUDGE = 1e-4
"""The step of z with which it is measured which axis moves the training margin most."""


def training_loss(solution: Solution, learner: int = -1) -> Float[np.ndarray, "*grid"]:
    """The learner's own loss ℓ per training sample, without the penalty.

    >>> from bequest.theory import Mixture, solve
    >>> loose = solve(Mixture(2, 1, 0.5), lambda_teacher=[0.01, 1.0], lambda_student=1)
    >>> training_loss(loose, 0).round(3)
    array([0.069, 0.422])
    """
    return _over_points(solution, learner, _loss)


def training_error(solution: Solution, learner: int = -1) -> Float[np.ndarray, "*grid"]:
    """The fraction of training samples that the learner misclassifies, in [0, 1].

    The learner's own z is integrated in closed form: its training margin increases with z_a and changes sign
    once, at the *crossing* ζ, so the error is E Φ(ζ) over the earlier learners' z. Near the distillation
    peak ζ moves by hundreds while an earlier z moves by one; that axis is integrated in panels that are
    halved where it is steep (:mod:`~bequest.theory.panels`). Any further axes are assumed to be smooth.

    >>> from bequest.theory import Mixture, solve
    >>> loose = solve(Mixture(2, 1, 0.5), lambda_teacher=[0.01, 1.0], lambda_student=1)
    >>> training_error(loose, 0).round(3)
    array([0.001, 0.08 ])
    """
    return _over_points(solution, learner, _error)


Function = Callable[[Setting, Macrostate, int], Array]


def _over_points(solution: Solution, learner: int, function: Function) -> Array:
    """``function`` at every point that is solved; NaN elsewhere."""
    a = range(len(solution.learners))[learner]
    values = np.full(solution.setting.size, np.nan)
    solved = np.flatnonzero(np.isfinite(solution.state.m[: a + 1]).all(axis=0))
    if solved.size:
        values[solved] = function(solution.setting.take(solved), solution.state.take(solved), a)
    return values.reshape(solution.shape)


def _blocks(setting: Setting, state: Macrostate, a: int) -> Iterator[tuple[Indices, list[Rule]]]:
    """Points that need about the same nodes for learner ``a``, with a rule for each axis."""
    reach = reaches(setting, state, a, unknowns_of(state, a))
    return blocks(level(reach / MARGIN, ACCURACY), ACCURACY)


def _loss(setting: Setting, state: Macrostate, a: int) -> Array:
    values = np.empty(setting.size)
    for block, picked in _blocks(setting, state, a):
        values[block] = _block_loss(setting.take(block), state.take(block), a, picked)
    return values


def _block_loss(setting: Setting, state: Macrostate, a: int, picked: list[Rule]) -> Array:
    channel = Channel(setting, tabulate(setting, state, picked[:a], ACCURACY), factor(setting, state, a), a)
    x = unknowns_of(state, a)
    row = channel.row(x)
    cavity = channel.centre(x, row) + picked[a].nodes[:, None, None, None] * row[a]
    margin = channel.proximal(cavity, x, None).margin
    value = channel.loss.value(margin, channel.lesson, channel.taught)
    return channel.tape.mean(over_nodes(picked[a], value))


def _error(setting: Setting, state: Macrostate, a: int) -> Array:
    # Without earlier learners there is nothing left to integrate.
    if a == 0:
        blank = Tape.blank(setting)
        return blank.mean(np.asarray(ndtr(_crossing(setting, state, 0, blank.weight, []))))
    values = np.empty(setting.size)
    for block, picked in _blocks(setting, state, a):
        part, order = setting.take(block), state.take(block)
        steep = _steepest(part, order, a, picked[:a])
        for axis in np.unique(steep):
            same = np.flatnonzero(steep == axis)
            values[block[same]] = _over_axis(part.take(same), order.take(same), a, picked[:a], int(axis))
    return values


def _over_axis(setting: Setting, state: Macrostate, a: int, picked: list[Rule], axis: int) -> Array:
    """E Φ(ζ) with panels along one earlier ``axis``, and the rules ``picked`` along the others."""
    rest = [rule for c, rule in enumerate(picked) if c != axis]
    weights, others = _product(rest)

    def integrand(points: Indices, z: Array) -> Array:
        part, order = setting.take(points), state.take(points)
        label = np.stack([part.rho, 1.0 - part.rho])
        shape = (z.shape[0] * weights.size, 2, points.size)
        spins = [np.tile(nodes, z.shape[0])[:, None, None] for nodes in others]
        spins.insert(axis, np.repeat(z, weights.size, axis=0)[:, None, :])
        spins = [np.broadcast_to(one, shape) for one in spins]
        below = ndtr(_crossing(part, order, a, np.broadcast_to(label, shape), spins))
        over_labels = (label * below).sum(axis=1).reshape(z.shape[0], weights.size, points.size)
        return np.asarray(np.einsum("m,kmp->kp", weights, over_labels))

    # Fewer panels at once the more nodes each has: the memory stays that of BATCH panels of one node.
    return expectations(integrand, setting.size, ACCURACY, max(1, BATCH // weights.size))


def _steepest(setting: Setting, state: Macrostate, a: int, picked: list[Rule]) -> Indices:
    """The earlier axis along which ζ moves most, root mean square, for each point.

    An axis along which decisions are handed over is always chosen: ζ jumps along it.
    """
    weights, nodes = _product(picked)
    shape = (weights.size, 2, setting.size)
    label = np.stack([setting.rho, 1.0 - setting.rho])
    density = weights[:, None, None] * label
    spins = [np.broadcast_to(one[:, None, None], shape) for one in nodes]
    before = _crossing(setting, state, a, density, spins)
    moved = []
    for c in range(a):
        nudged = [*spins[:c], spins[c] + NUDGE, *spins[c + 1 :]]
        change = _crossing(setting, state, a, density, nudged) - before
        jumps = gives_decisions(setting.learners[: a + 1], c)
        moved.append(np.where(jumps, np.inf, (density * change**2).sum(axis=(0, 1))))
    return np.asarray(np.argmax(moved, axis=0))


def _product(picked: list[Rule]) -> tuple[Array, list[Array]]:
    """Weights and nodes of the product of rules, flat; one node of weight 1 without rules."""
    weights = np.ones(1)
    for rule in picked:
        weights = np.outer(weights, rule.weights).ravel()
    nodes = np.meshgrid(*(rule.nodes for rule in picked), indexing="ij")
    return weights, [one.ravel() for one in nodes]


def _crossing(setting: Setting, state: Macrostate, a: int, weight: Array, spins: list[Array]) -> Array:
    """ζ, the z_a at which learner ``a``'s training margin is zero, given ``spins``, the earlier z."""
    rows = factor(setting, state, a + 1)
    tape = Tape(weight, [], [], [], None)
    for c in range(a):
        channel = Channel(setting, tape, rows[:c, :c], c)
        x = unknowns_of(state, c)
        cavity = channel.centre(x, rows[c]) + spins[c] * rows[c, c]
        at = channel.proximal(cavity[None], x, None)
        tape = Tape(weight, spins[: c + 1], [*tape.margin, at.margin[0]], [*tape.force, at.force[0]], None)
    if setting.learners[a].fresh:
        tape = tape.unseen(state, rows)
    channel = Channel(setting, tape, rows[:a, :a], a)
    return channel.crossing(unknowns_of(state, a), rows[a])
