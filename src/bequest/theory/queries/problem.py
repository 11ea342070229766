"""A learner in blocks as a problem for the grid solver.

The unknowns are the inputs' answers, packed as numbers of size one: m̂ relative to √E[G²], the bias,
log E[G²] and log slope of each group, E[∂G/∂h̄] relative to the slope, E[G_t G] relative to both learners'
√E[G²]. Any such numbers belong to some weights, so no step can violate |S|² ≤ q_t q.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bequest.theory.blocks import Counts
from bequest.theory.fixed_point import Map
from bequest.theory.parameters import Array, Indices
from bequest.theory.quadrature import Rule, level
from bequest.theory.queries.channel import GroupAnswers, GroupChannel, law_of, reaches
from bequest.theory.queries.guess import linear_answers
from bequest.theory.queries.orders import Answers, BlockOrders, Teachers, block_orders
from bequest.theory.queries.setting import BlockSetting

EASY, FLOOR = 10.0, 1e-12
TINY = 1e-300
LEAST_BIAS = 1e-6
"""The scale of a bias is its own size, the fields' width or this, whichever is largest."""


def norm(setting: BlockSetting, square: Array) -> Array:
    """The largest that m̂ can be: Σ α |c| √E[G²], (P,)."""
    groups = setting.groups
    return np.asarray((groups.alpha * np.abs(groups.centre) * np.sqrt(square)).sum(axis=0))


def pack(setting: BlockSetting, teachers: Teachers, answers: Answers) -> Array:
    """The answers as one array (3G + 2, P), or (3G + 3, P) with the teacher's own training inputs."""
    largest = norm(setting, answers.square)
    rows = [answers.force / (largest + TINY), answers.bias]
    parts = [np.stack(rows), np.log(answers.square), np.log(answers.slope), answers.cross / answers.slope]
    if not all(setting.groups.fresh):
        training = setting.groups.fresh.index(False)
        parts.append((answers.shared / np.sqrt(answers.square[training] * teachers.square[0]))[None])
    return np.concatenate(parts)


def unpack(setting: BlockSetting, teachers: Teachers, x: Array) -> Answers:
    """The inverse of :func:`pack`."""
    count = setting.groups.count
    square, slope = np.exp(x[2 : 2 + count]), np.exp(x[2 + count : 2 + 2 * count])
    shared = np.zeros(setting.size)
    if not all(setting.groups.fresh):
        training = setting.groups.fresh.index(False)
        shared = x[-1] * np.sqrt(square[training] * teachers.square[0])
    return Answers(
        x[0] * norm(setting, square), x[1], square, slope, x[2 + 2 * count : 2 + 3 * count] * slope, shared
    )


class QueryMap:
    """One step of the state evolution at a block of points, with fixed nodes."""

    def __init__(self, setting: BlockSetting, teachers: Teachers, channels: list[GroupChannel]) -> None:
        self.setting, self.teachers, self.channels = setting, teachers, channels
        self.width = np.zeros(setting.size)  # of the fields at the last step: a bias is measured against it

    def orders(self, x: Array) -> BlockOrders:
        """The order parameters of the packed answers ``x``."""
        return block_orders(self.setting, self.teachers, unpack(self.setting, self.teachers, x))

    def step(self, x: Array) -> Array:
        """The answers to the weights that follow from the answers ``x``."""
        setting, groups = self.setting, self.setting.groups
        orders = self.orders(x)
        self.width = np.sqrt(np.einsum("gkp,kp->gp", groups.variances, orders.q).max(axis=0))
        by_group: list[GroupAnswers] = []
        for g, channel in enumerate(self.channels):
            pushed = np.zeros(setting.size)
            if not groups.fresh[g]:
                pushed = (groups.variances[g] * orders.response).sum(axis=0)
            by_group.append(channel.answers(law_of(setting, self.teachers, orders, g), pushed))
        signed, slope = (np.stack([getattr(one, name) for one in by_group]) for name in ("signed", "slope"))
        answers = Answers(
            force=np.asarray(
                sum(groups.alpha[g] * groups.centre[g] * by_group[g].force for g in range(len(by_group)))
            ),
            # Newton's step towards Σ α E[sG] = 0
            bias=orders.b + (groups.alpha * signed).sum(axis=0) / (groups.alpha * slope).sum(axis=0),
            square=np.maximum(np.stack([one.square for one in by_group]), TINY),
            slope=np.maximum(slope, TINY),
            cross=np.stack([one.cross for one in by_group]),
            shared=np.asarray(sum(one.shared for one in by_group)),
        )
        return pack(setting, self.teachers, answers)

    def scale(self, x: Array) -> Array:
        """One, except for the bias and for ratios above one."""
        scale = np.maximum(1.0, np.abs(x))
        count = self.setting.groups.count
        scale[2 : 2 + 2 * count] = 1.0
        scale[1] = np.maximum(np.maximum(np.abs(x[1]), self.width), LEAST_BIAS)
        return scale

    def curb(self, x: Array, dx: Array) -> Array:
        """A step of at most one unit of scale in every number; a bias may move by at least a logit."""
        most = self.scale(x)
        most[1] = np.maximum(most[1], 1.0)
        return np.asarray(dx / np.maximum(np.abs(dx / most).max(axis=0), 1.0))

    def take(self, index: Indices) -> QueryMap:
        """The same map for fewer points."""
        channels = [channel.take(index) for channel in self.channels]
        part = QueryMap(self.setting.take(index), self.teachers.take(index), channels)
        part.width = self.width[index]
        return part


class QueryProblem:
    """A learner at every point of ``setting``, given its teachers; its results are in ``orders``."""

    def __init__(self, setting: BlockSetting, teachers: Teachers) -> None:
        self.setting, self.teachers = setting, teachers
        self.penalty = setting.penalty.copy()
        shape = (setting.shares.shape[0], setting.size)
        none = np.full(setting.size, np.nan)
        blank = np.full(shape, np.nan)
        overlap = np.full((teachers.m.shape[0], *shape), np.nan)
        self.orders = BlockOrders(
            blank, blank.copy(), blank.copy(), none, overlap, blank.copy(), blank.copy()
        )
        self.square = np.full((setting.groups.count, setting.size), np.nan)

    @property
    def size(self) -> int:
        """The number of points."""
        return self.setting.size

    def first_guess(self, points: Indices) -> Array:
        """The start of the iteration: the solution of a linearised learner."""
        setting, teachers = self.setting.take(points), self.teachers.take(points)
        return pack(setting, teachers, linear_answers(setting, teachers))

    def places(self) -> Array:
        """Numbers that decide the solution, those of wide range as logarithms."""
        setting, groups = self.setting, self.setting.groups
        # The added numbers keep the logarithm of 0 finite, as the cap does with infinite penalties.
        wide = [*groups.alpha + 1e-3, *np.minimum(self.penalty, 1e9) + 1e-9, setting.temperature]
        wide += [1.0 + setting.start, *(groups.variances.reshape(-1, setting.size) + 1e-6)]
        wide += [*self.teachers.q.sum(axis=2).reshape(-1, setting.size) + 1e-9]
        plain = [4.0 * setting.rho, *(2.0 * groups.centre), *(4.0 * groups.mix), *(4.0 * setting.shares)]
        plain += [*(4.0 * groups.teachers.reshape(-1, setting.size)), *(4.0 * setting.signal)]
        return np.stack([*(np.log(one) for one in wide), *plain])

    def levels(self, points: Indices, x: Array, shrink: Array, accuracy: float) -> NDArray[np.int64]:
        """Two axes for each group: the teachers', the learner's."""
        setting, teachers = self.setting.take(points), self.teachers.take(points)
        orders = block_orders(setting, teachers, unpack(setting, teachers, x))
        reach = [
            reaches(setting, law_of(setting, teachers, orders, g), g) for g in range(setting.groups.count)
        ]
        return level(np.concatenate(reach) / shrink, accuracy)

    def nodes(self, counts: Counts) -> Counts:
        """The sum of the groups' product grids; a group that asks no teacher has the learner's axis only."""
        groups = self.setting.groups
        total = np.zeros(counts.shape[1], dtype=np.int64)
        for g in range(groups.count):
            first = counts[2 * g] * (2 if groups.hard[g] else 1) if groups.taught(g) else 1
            total += 2 * first * counts[2 * g + 1]
        return total

    def map(self, points: Indices, rules: list[Rule], accuracy: float) -> Map:
        """The teachers tabulated at the nodes, the learner's map on top."""
        setting, teachers = self.setting.take(points), self.teachers.take(points)
        channels = [
            GroupChannel(setting, teachers, g, (rules[2 * g], rules[2 * g + 1]), accuracy)
            for g in range(setting.groups.count)
        ]
        return QueryMap(setting, teachers, channels)

    def ease(self, points: Indices, fraction: float) -> None:
        """As in :meth:`LinkProblem.ease <bequest.theory.link_problem.LinkProblem.ease>`; inf stays inf."""
        asked = self.penalty[:, points]
        easy, floor = np.maximum(asked, EASY), np.maximum(asked, FLOOR)
        with np.errstate(invalid="ignore"):
            between = np.where(np.isinf(asked), np.inf, easy * (floor / easy) ** fraction)
        self.setting.penalty[:, points] = asked if fraction == 1.0 else between

    def write(self, points: Indices, evolution: Map, image: Array) -> None:
        """Store order parameters, and the groups' E[G²]."""
        assert isinstance(evolution, QueryMap)
        for array, solved in zip(self.orders, evolution.orders(image), strict=True):
            array[..., points] = solved
        self.square[:, points] = unpack(evolution.setting, evolution.teachers, image).square
