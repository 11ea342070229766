r"""The sample side: expectations over the inputs of one group, for a learner with given order parameters.

Written in margins, as in :mod:`~bequest.theory.channel`: given the class s, the teachers' margin κ̄ and the
learner's cavity margin ω are Gaussian with means c m̄ + s b̄ and c m + s b and covariances Σ_k Δ_k (q̄, S, q)_k.
There is one axis of nodes for the teachers and one for the learner. On fresh inputs the teachers' margin is
the Gaussian one; on the teacher's own training inputs it is the proximal point.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from bequest.theory.losses import LOSSES, Lesson, Proximal
from bequest.theory.parameters import Array, Indices
from bequest.theory.quadrature import Rule, split
from bequest.theory.queries.orders import BlockOrders, Teachers
from bequest.theory.queries.setting import BlockSetting

SIGNS = np.array([[1.0], [-1.0]])
LOGISTIC = LOSSES["logistic"]


class Law(NamedTuple):
    """Cavity fields of a group, all (P,).

    ``mean`` and ``bias`` of the margin c m + s b, its ``variance``, the ``response`` V; ``teacher_mean``,
    ``teacher_bias``, ``teacher_variance`` are those of the teachers' mean logit; ``covariance`` is that of
    both, 0 if no teacher is asked.
    """

    mean: Array
    bias: Array
    variance: Array
    response: Array
    teacher_mean: Array
    teacher_bias: Array
    teacher_variance: Array
    covariance: Array


def law_of(setting: BlockSetting, teachers: Teachers, orders: BlockOrders, g: int) -> Law:
    """The fields of group ``g``."""
    groups = setting.groups
    variances, centre, weights = groups.variances[g], groups.centre[g], groups.teachers[g]
    asked = float(groups.taught(g))

    def over_blocks(values: Array) -> Array:
        return np.asarray((variances * values).sum(axis=0))

    return Law(
        mean=centre * orders.m.sum(axis=0),
        bias=orders.b,
        variance=over_blocks(orders.q),
        response=over_blocks(orders.v),
        teacher_mean=centre * np.einsum("ap,akp->p", weights, teachers.m),
        teacher_bias=np.einsum("ap,ap->p", weights, teachers.b),
        teacher_variance=over_blocks(np.einsum("ap,bp,abkp->kp", weights, weights, teachers.q)),
        covariance=asked * over_blocks(np.einsum("ap,akp->kp", weights, orders.overlap)),
    )


def widths(law: Law) -> tuple[Array, Array, Array]:
    """Widths of the teachers' margin, and of the learner's along the teachers' axis and along its own."""
    teacher = np.sqrt(law.teacher_variance)
    along = np.divide(law.covariance, teacher, out=np.zeros_like(teacher), where=teacher > 0)
    return teacher, along, np.sqrt(np.maximum(law.variance - along**2, 0.0))


def reaches(setting: BlockSetting, law: Law, g: int) -> Array:
    """The distance of each axis from a singularity in units of its z, (2, P): teachers' and learner's."""
    groups = setting.groups
    strip = LOGISTIC.reach(groups.mix[g], setting.temperature)
    teacher, along, rest = widths(law)
    with np.errstate(divide="ignore"):
        first = strip / np.abs(along)
        if groups.taught(g) and not (groups.fresh[g] and groups.hard[g]):
            # σ(h̄/T) is singular at iπT, the teacher's proximal point at a field of iπ
            at_most = np.inf if groups.fresh[g] else 1.0
            first = np.minimum(first, np.pi * np.minimum(setting.temperature, at_most) / teacher)
        return np.stack([first, strip / rest])


class GroupAnswers(NamedTuple):
    """Expectations over one group, (P,): E[G], E[sG], E[G²], −E[∂G/∂ω], E[∂G/∂h̄], E[G_t G]."""

    force: Array
    signed: Array
    square: Array
    slope: Array
    cross: Array
    shared: Array


class GroupChannel:
    """Group ``g`` for a block of points with fixed rules; the teachers' axis is tabulated once."""

    def __init__(
        self, setting: BlockSetting, teachers: Teachers, g: int, rules: tuple[Rule, Rule], accuracy: float
    ) -> None:
        groups = setting.groups
        self.setting, self.teachers, self.g, self.rule = setting, teachers, g, rules[1]
        self.fresh, self.hard, self.taught = groups.fresh[g], groups.hard[g], groups.taught(g)
        # Without a class and without labels both signs of s give the same.
        one_sided = bool((groups.centre[g] == 0).all() and (groups.mix[g] == 1).all())
        self.signs = SIGNS[:1] if one_sided else SIGNS
        label = np.stack([setting.rho, 1.0 - setting.rho])
        self.label = np.ones((1, setting.size)) if one_sided else label
        self._tabulate(rules[0], accuracy)
        self._last: tuple[Array, Array, Array] | None = None

    def _tabulate(self, rule: Rule, accuracy: float) -> None:
        """The teachers at the nodes of their axis: spins, weights, margins, forces, all (n, labels, P)."""
        setting, teachers, g = self.setting, self.teachers, self.g
        groups = setting.groups
        none = np.zeros((len(self.signs), setting.size))
        weights = groups.teachers[g]
        variance = np.einsum("kp,ap,bp,abkp->p", groups.variances[g], weights, weights, teachers.q)
        self.width = np.sqrt(variance)
        mean = groups.centre[g] * np.einsum("ap,akp->p", weights, teachers.m)
        centre = mean + self.signs * np.einsum("ap,ap->p", weights, teachers.b)
        if not self.taught:
            spins, nodes_weights = none[None], none[None] + 1.0
        elif self.hard:
            spins, nodes_weights = split(rule, self._decision(centre), accuracy)
        else:
            spins, nodes_weights = (
                np.broadcast_to(one[:, None, None], (one.size, *none.shape))
                for one in (rule.nodes, rule.weights)
            )
        self.spins = np.ascontiguousarray(spins)
        self.weight = nodes_weights * self.label
        margin = centre + self.width * self.spins
        self.yielding = np.zeros_like(margin)
        self.teacher_force = np.zeros_like(margin)
        if not self.fresh:
            at = self._teacher_proximal(margin)
            response = (groups.variances[g] * teachers.v[0]).sum(axis=0)
            margin, self.teacher_force = at.margin, at.force
            self.yielding = at.curvature / (1.0 + response * at.curvature)
            self.give = 1.0 - response * self.yielding
        else:
            self.give = np.ones_like(margin)
        self.margin = margin
        tempered = (groups.mix[g] > 0) & (not self.hard)
        temperature = np.where(tempered, setting.temperature, 1.0)
        self.lesson = Lesson(_spread(groups.mix[g], margin), _spread(temperature, margin), self.hard)
        self.drive = LOGISTIC.drive(margin, self.lesson)

    def _teacher_proximal(self, cavity: Array) -> Proximal:
        response = _spread((self.setting.groups.variances[self.g] * self.teachers.v[0]).sum(axis=0), cavity)
        plain = Lesson(np.zeros_like(cavity), np.ones_like(cavity), False)
        return LOGISTIC.proximal(cavity, response, plain, np.zeros_like(cavity), None)

    def _decision(self, centre: Array) -> Array:
        """The spin at which the teacher's decision changes."""
        response = 0.0
        if not self.fresh:  # at margin 0 the force is one half: ω = −V/2
            response = 0.5 * (self.setting.groups.variances[self.g] * self.teachers.v[0]).sum(axis=0)
        with np.errstate(divide="ignore", invalid="ignore"):
            at = -(centre + response) / self.width
        # A teacher without width never changes its decision: the jump is put far outside of all nodes.
        return np.asarray(np.nan_to_num(at, nan=-50.0, posinf=50.0, neginf=-50.0))

    def answers(self, law: Law, pushed: Array) -> GroupAnswers:
        """All expectations; ``pushed`` is V^{st} by point, 0 on fresh inputs."""
        _, along, rest = widths(law)
        centre = law.mean + self.signs * law.bias + along * self.spins + pushed * self.teacher_force
        cavity = centre + self.rule.nodes[:, None, None, None] * rest
        response = _spread(law.response, self.margin)
        at = LOGISTIC.proximal(cavity, response, self.lesson, self.drive.value, self._guess(cavity))
        bent = 1.0 + response * at.curvature
        self._last = (cavity, at.margin, 1.0 / bent) if np.isfinite(at.margin.sum()) else None
        force, square = self._over_nodes(at.force), self._over_nodes(at.force**2)
        softness = self._over_nodes(at.curvature / bent)
        slope = self._mean(softness)
        return GroupAnswers(
            force=self._mean(force),
            signed=self._mean(self.signs * force),
            square=self._mean(square),
            slope=slope,
            cross=self._cross(law, force, softness, slope, pushed),
            shared=self._mean(self.teacher_force * force),
        )

    def _cross(self, law: Law, force: Array, softness: Array, slope: Array, pushed: Array) -> Array:
        """E[∂G/∂ω_t]; for decisions (a delta function) from Stein's identity E[zG] = Σ C E[∂G]."""
        if not self.taught:
            return np.zeros_like(slope)
        if self.hard:
            _, along, _ = widths(law)
            rest = self._mean(self.spins * force) + along * slope
            return np.asarray(np.divide(rest, self.width, out=np.zeros_like(rest), where=self.width > 0))
        left = 1.0 - law.response * softness
        return self._mean(left * self.drive.cross * self.give + softness * pushed * self.yielding)

    def take(self, index: Indices) -> GroupChannel:
        """The same nodes for fewer points."""
        # Without __init__, which would tabulate the teachers again.
        part = object.__new__(GroupChannel)
        part.__dict__.update(self.__dict__)
        part.setting, part.teachers = self.setting.take(index), self.teachers.take(index)
        for name in ("label", "width", "spins", "weight", "yielding", "teacher_force", "give", "margin"):
            setattr(part, name, getattr(self, name)[..., index])
        mix, temperature, hard = self.lesson
        part.lesson = Lesson(mix[..., index], temperature[..., index], hard)
        part.drive = type(self.drive)(*(array[..., index] for array in self.drive))
        if self._last is not None:
            cavity, margin, give = self._last
            part._last = (cavity[..., index], margin[..., index], give[..., index])
        return part

    def _guess(self, cavity: Array) -> Array | None:
        """The last margins, moved along with the cavity margins to first order."""
        if self._last is None:
            return None
        before, margin, give = self._last
        return np.asarray(margin + (cavity - before) * give)

    def _over_nodes(self, values: Array) -> Array:
        flat = values.reshape(values.shape[0], -1)
        return np.asarray(self.rule.weights @ flat).reshape(values.shape[1:])

    def _mean(self, values: Array) -> Array:
        return np.asarray(np.einsum("nlp,nlp->p", self.weight, values))


def _spread(values: Array, like: Array) -> Array:
    """A contiguous copy in the shape of ``like``: arithmetic with it runs at full length."""
    return np.ascontiguousarray(np.broadcast_to(values, like.shape))
