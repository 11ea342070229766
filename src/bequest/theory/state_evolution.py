"""One learner's state evolution: a map from its order parameters to themselves.

A learner does not depend on those that it teaches, so a chain is solved link by link; within a link the
unknowns are m, q, b, v, its overlaps with the earlier learners and its responses to them. They are packed
as (m/√q, log q, b, log v, overlaps/√(q q_c), responses/v): positive numbers stay positive, and nothing
depends on the size of the weights.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bequest.theory.channel import Channel, Conjugates, Tape, Unknowns, factor, factor_row
from bequest.theory.learner import Learner
from bequest.theory.losses import LOSSES
from bequest.theory.macrostate import Macrostate, Setting
from bequest.theory.parameters import Array, Indices
from bequest.theory.quadrature import Rule, split
from bequest.theory.weights import Slab, overlaps, slabs_of

OWN_KEPT = 0.1
"""The least fraction of a learner's own part that a step leaves, so that |s|² ≤ q_t q_s holds."""


def pack(x: Unknowns, state: Macrostate) -> Array:
    """The unknowns as one array (4 + 2a, P) of scale-free numbers, given the earlier learners' ``state``."""
    a = x.overlap.shape[0]
    root = np.sqrt(x.q)
    earlier = np.sqrt(state.q[range(a), range(a)])
    return np.concatenate(
        [
            np.stack([x.m / root, np.log(x.q), x.b, np.log(x.v)]),
            x.overlap / (root * earlier),
            x.response / x.v,
        ]
    )


def unpack(packed: Array, state: Macrostate) -> Unknowns:
    """The inverse of :func:`pack`."""
    a = (packed.shape[0] - 4) // 2
    aligned, log_q, b, log_v = packed[:4]
    q, v = np.exp(log_q), np.exp(log_v)
    root = np.sqrt(q)
    earlier = np.sqrt(state.q[range(a), range(a)])
    return Unknowns(aligned * root, q, b, v, packed[4 : 4 + a] * root * earlier, packed[4 + a :] * v)


def unknowns_of(state: Macrostate, a: int) -> Unknowns:
    """The solved unknowns of learner ``a``."""
    return Unknowns(state.m[a], state.q[a, a], state.b[a], state.v[a, a], state.q[a, :a], state.v[a, :a])


def reaches(setting: Setting, state: Macrostate, a: int, x: Unknowns) -> Array:
    """The distance of each axis of nodes from a singularity of learner ``a``'s integrands, shape (a + 1, P).

    A learner's margins are analytic in a strip around the real axis; moving z_c by one moves its cavity
    margin by C_ac. So in units of z_c the nearest singularity is the least strip/|C| over the learners.
    """
    rows = np.zeros((a + 1, a + 1, setting.size))
    rows[:a, :a] = factor(setting, state, a)
    rows[a] = factor_row(setting, rows, x.q, x.overlap)
    strips = np.stack(
        [
            LOSSES[learner.loss].reach(setting.mix[c], setting.temperature[c])
            for c, learner in enumerate(setting.learners[: a + 1])
        ]
    )
    with np.errstate(divide="ignore"):
        return np.asarray((strips[:, None] / np.abs(rows)).min(axis=0))


def tabulate(setting: Setting, state: Macrostate, rules: Sequence[Rule], accuracy: float) -> Tape:
    """The tape of the first ``len(rules)`` learners on the samples of the next, one axis of nodes each.

    If a later learner is taught with hard labels of a learner, the axis of the latter is split where its
    margin changes sign, so that no rule integrates over a jump.
    """
    tape = Tape.blank(setting)
    rows = factor(setting, state, len(rules))
    for a, rule in enumerate(rules):
        channel = Channel(setting, tape, rows[:a, :a], a)
        x = unknowns_of(state, a)
        row = channel.row(x)
        if gives_decisions(setting.learners, a):
            nodes, weights = split(rule, channel.crossing(x, row), accuracy)
        else:
            nodes, weights = (one[:, None, None, None] for one in (rule.nodes, rule.weights))
        at = channel.proximal(channel.centre(x, row) + nodes * row[a], x, None)
        tape = channel.extended(x, nodes, weights, at)
    # Fresh inputs are not those on which the earlier learners were trained.
    following = len(rules)
    if following < len(setting.learners) and setting.learners[following].fresh:
        return tape.unseen(state, rows)
    return tape


def gives_decisions(learners: Sequence[Learner], a: int) -> bool:
    """Whether a later learner is taught with hard labels of learner ``a``."""
    return any(
        learner.target == "hard" and a in learner.taught_by(position)
        for position, learner in enumerate(learners)
    )


class Link:
    """The map of learner ``a`` for a block of points, with fixed nodes.

    It remembers the margins of its last step, from which the next proximal iteration starts.
    """

    def __init__(self, setting: Setting, state: Macrostate, tape: Tape, rule: Rule, a: int) -> None:
        self.setting, self.state, self.rule, self.a = setting, state, rule, a
        self.rows = factor(setting, state, a)
        self.channel = Channel(setting, tape, self.rows, a)
        self.slabs: list[Slab] = slabs_of(setting, state, a)
        self.conjugates: Conjugates | None = None
        self._cavity: Array | None = None
        self._margin: Array | None = None
        self._give: Array | None = None

    def take(self, index: Indices) -> Link:
        """The same map for fewer points."""
        link = Link(
            self.setting.take(index), self.state.take(index), self.channel.tape.take(index), self.rule, self.a
        )
        if self._cavity is not None and self._margin is not None and self._give is not None:
            link._cavity, link._margin = self._cavity[..., index], self._margin[..., index]
            link._give = self._give[..., index]
        return link

    def step(self, packed: Array) -> Array:
        """The state evolution's next order parameters."""
        x = unpack(packed, self.state)
        row = self.channel.row(x)
        cavity = self.channel.centre(x, row) + self.rule.nodes[:, None, None, None] * row[self.a]
        at = self.channel.proximal(cavity, x, self._guess(cavity))
        self._cavity, self._margin = cavity, at.margin
        self._give = 1.0 / (1.0 + self.setting.delta * x.v * at.curvature)
        if not np.isfinite(at.margin.sum()):
            self._margin = None  # a failed step is no start for the next
        answers = self.conjugates = self.channel.conjugates(x, row, self.rule, at)
        gain = 1.0 / (self.setting.penalty[self.a] + answers.stiffness[self.a])
        order = overlaps(
            self.state, self.slabs, self.a, gain, answers.force, answers.noise, answers.stiffness[: self.a]
        )
        image = Unknowns(order.m, order.q, x.b + answers.bias_step, order.v, order.overlap, order.response)
        return pack(image, self.state)

    def scale(self, packed: Array) -> Array:
        """The scale of each unknown's residual: for the bias √q, or its own size if that is larger."""
        scale = np.ones_like(packed)
        scale[2] = np.maximum(np.abs(packed[2]), np.exp(0.5 * packed[1]))
        scale[4 + self.a :] += np.abs(packed[4 + self.a :])
        return scale

    def curb(self, packed: Array, change: Array) -> Array:
        """A step of at most one unit of scale that keeps the overlaps possible.

        The bias may move by at least a logit, as it may have to cross zero. A fraction ``OWN_KEPT`` remains
        of the learner's own part, which it does not share with the earlier learners.
        """
        most = self.scale(packed)
        most[2] = np.maximum(most[2], 1.0)
        # All unknowns by one factor: the direction of the step is kept.
        change = change / np.maximum(np.abs(change / most).max(axis=0), 1.0)
        if not self.a:
            return change
        moved = packed + change
        shared = self._shared(moved)
        room = 1.0 - OWN_KEPT * np.maximum(1.0 - self._shared(packed), 0.0)
        moved[4 : 4 + self.a] *= np.sqrt(np.minimum(1.0, room / np.maximum(shared, 1e-300)))
        return moved - packed

    def _shared(self, packed: Array) -> Array:
        """The share of the learner's cavity variance that the earlier learners explain."""
        x = unpack(packed, self.state)
        row = self.channel.row(x)
        return np.asarray((row[:-1] ** 2).sum(axis=0) / (self.setting.delta * x.q))

    def write(self, state: Macrostate, points: Indices, x: Unknowns) -> None:
        """Store ``x`` and the conjugates of the last step in ``state`` at ``points``."""
        a, answers = self.a, self.conjugates
        assert answers is not None
        state.m[a, points], state.b[a, points] = x.m, x.b
        state.q[a, a, points], state.v[a, a, points] = x.q, x.v
        state.force[a, points] = answers.force
        for c in range(a):
            state.q[a, c, points] = state.q[c, a, points] = x.overlap[c]
            state.v[a, c, points] = x.response[c]
        for c in range(a + 1):
            state.noise[a, c, points] = state.noise[c, a, points] = answers.noise[c]
            state.stiffness[a, c, points] = answers.stiffness[c]

    def _guess(self, cavity: Array) -> Array | None:
        """The last margins, moved along with the cavity margins to first order."""
        if self._margin is None or self._cavity is None or self._give is None:
            return None
        return self._margin + (cavity - self._cavity) * self._give
