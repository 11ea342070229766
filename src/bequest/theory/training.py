"""What a learner of the solvable model does on its own training samples: the margins are proximal points."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float
from scipy.special import ndtr

from bequest.theory.blocks import blocks
from bequest.theory.channel import Channel, Tape, factor, over_nodes
from bequest.theory.macrostate import Macrostate, Setting
from bequest.theory.parameters import Array
from bequest.theory.quadrature import Rule, level
from bequest.theory.solution import Solution
from bequest.theory.state_evolution import reaches, tabulate, unknowns_of

ACCURACY = 1e-8

MARGIN = 1.5
"""The reach is taken for so much shorter: what is integrated here has no check of its own."""

HALVINGS = 50
"""Of the interval in which the training margin changes sign."""


def training_loss(solution: Solution, learner: int = -1) -> Float[np.ndarray, "*grid"]:
    """The learner's own loss ℓ per training sample, without the penalty.

    >>> from bequest.theory import Mixture, solve
    >>> loose = solve(Mixture(2, 1, 0.5), lambda_teacher=[0.01, 1.0], lambda_student=1)
    >>> training_loss(loose, 0).round(3)
    array([0.069, 0.422])
    """
    return _over_points(solution, learner, _loss)


def training_error(solution: Solution, learner: int = -1) -> Float[np.ndarray, "*grid"]:
    """The fraction of training samples whose given label the learner misses, in [0, 1].

    The axis along which the margin moves most is integrated in closed form, Φ at the sign change; so nothing
    is integrated over a jump. The margin is taken to change sign once along that axis.

    >>> from bequest.theory import Mixture, solve
    >>> loose = solve(Mixture(2, 1, 0.5), lambda_teacher=[0.01, 1.0], lambda_student=1)
    >>> training_error(loose, 0).round(3)
    array([0.001, 0.08 ])
    """
    return _over_points(solution, learner, _error)


def _over_points(solution: Solution, learner: int, function: Callable[..., Array]) -> Array:
    """``function`` at every point that is solved, block by block; NaN elsewhere."""
    a = range(len(solution.learners))[learner]
    result = np.full(solution.setting.size, np.nan)
    solved = np.flatnonzero(np.isfinite(solution.state.m[: a + 1]).all(axis=0))
    if not solved.size:
        return result.reshape(solution.shape)
    setting, state = solution.setting.take(solved), solution.state.take(solved)
    reach = reaches(setting, state, a, unknowns_of(state, a))
    widest = np.abs(factor(setting, state, a + 1)[a]).argmax(axis=0)
    for axis in np.unique(widest):
        same = np.flatnonzero(widest == axis)
        for chosen, picked in blocks(level(reach[:, same] / MARGIN, ACCURACY), ACCURACY):
            block = same[chosen]
            result[solved[block]] = function(setting.take(block), state.take(block), a, picked, int(axis))
    return result.reshape(solution.shape)


def _loss(setting: Setting, state: Macrostate, a: int, picked: list[Rule], axis: int) -> Array:  # noqa: ARG001
    channel = Channel(setting, tabulate(setting, state, picked[:a], ACCURACY), factor(setting, state, a), a)
    x = unknowns_of(state, a)
    row = channel.row(x)
    cavity = channel.centre(x, row) + picked[a].nodes[:, None, None, None] * row[a]
    margin = channel.proximal(cavity, x, None).margin
    value = channel.loss.value(margin, channel.lesson, channel.taught)
    return channel.tape.mean(over_nodes(picked[a], value))


def _error(setting: Setting, state: Macrostate, a: int, picked: list[Rule], axis: int) -> Array:
    if axis == a:
        tape = tabulate(setting, state, picked[:a], ACCURACY)
        channel = Channel(setting, tape, factor(setting, state, a), a)
        x = unknowns_of(state, a)
        return tape.mean(np.asarray(ndtr(channel.crossing(x, channel.row(x)))))
    weight, spins = _grid_without(setting, picked, axis)
    low, high = np.full(weight.shape, -9.0), np.full(weight.shape, 9.0)
    rises = _margin(setting, state, a, weight, [*spins[:axis], high, *spins[axis:]]) > 0
    for _ in range(HALVINGS):
        middle = (low + high) / 2.0
        margin = _margin(setting, state, a, weight, [*spins[:axis], middle, *spins[axis:]])
        before = (margin > 0) != rises
        low, high = np.where(before, middle, low), np.where(before, high, middle)
    below = ndtr((low + high) / 2.0)
    return np.asarray((weight * np.where(rises, below, 1.0 - below)).sum(axis=(0, 1)))


def _grid_without(setting: Setting, picked: list[Rule], axis: int) -> tuple[Array, list[Array]]:
    """Weights (K, 2, P) and nodes (K, 2, P) of every axis but one, as a flat product grid."""
    rest = [rule for c, rule in enumerate(picked) if c != axis]
    shape = (np.prod([rule.nodes.size for rule in rest], dtype=int), 2, setting.size)
    nodes = np.meshgrid(*(rule.nodes for rule in rest), indexing="ij")
    weights = np.meshgrid(*(rule.weights for rule in rest), indexing="ij")
    label = np.stack([setting.rho, 1.0 - setting.rho])
    weight = np.prod([one.ravel() for one in weights], axis=0)[:, None, None] * label
    return weight, [np.broadcast_to(one.ravel()[:, None, None], shape) for one in nodes]


def _margin(setting: Setting, state: Macrostate, a: int, weight: Array, spins: list[Array]) -> Array:
    """The training margin of learner ``a`` where the learners' z are ``spins``."""
    rows = factor(setting, state, a + 1)
    tape = Tape(weight, [], [], [], None)
    for c in range(a + 1):
        channel = Channel(setting, tape, rows[:c, :c], c)
        x = unknowns_of(state, c)
        cavity = channel.centre(x, rows[c]) + spins[c] * rows[c, c]
        found = channel.proximal(cavity[None], x, None)
        margin, force = [*tape.margin, found.margin[0]], [*tape.force, found.force[0]]
        tape = Tape(weight, spins[: c + 1], margin, force, None)
    return tape.margin[a]
