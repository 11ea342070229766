"""Two teachers on the same training inputs: how alike they are, block by block.

Neither depends on the other, so one number is unknown, e = E[G_a G_c]: it determines the products
w_a·w_c/N = gain_a gain_c (m̂_a m̂_c π_k + α Δ_k e κ_k), and these the correlation of the fields, on which e
depends.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bequest.theory.blocks import Counts, product_of
from bequest.theory.fixed_point import Map
from bequest.theory.losses import LOSSES, Lesson, Proximal
from bequest.theory.parameters import Array, Indices
from bequest.theory.quadrature import Rule, level
from bequest.theory.queries.channel import SIGNS
from bequest.theory.queries.orders import Teachers
from bequest.theory.queries.setting import BlockSetting

ALIKE = 0.9
"""The correlation of G_a and G_c at the start of the iteration."""


class TeacherPair:
    """The problem of one pair at every point; its result is ``products`` (K, P)."""

    def __init__(self, setting: BlockSetting, teachers: Teachers, a: int, c: int) -> None:
        self.setting, self.teachers, self.pair = setting, teachers, (a, c)
        self.products = np.full(setting.shares.shape, np.nan)

    @property
    def size(self) -> int:
        """The number of points."""
        return self.setting.size

    def first_guess(self, points: Indices) -> Array:
        """The start of the iteration: teachers that nearly agree."""
        return np.full((1, points.size), ALIKE)

    def places(self) -> Array:
        """Logarithms of the two teachers' norms."""
        diagonal = [self.teachers.q[a, a].sum(axis=0) for a in self.pair]
        return np.log(np.stack(diagonal) + 1e-9)

    def levels(
        self,
        points: Indices,
        x: Array,  # noqa: ARG002
        shrink: Array,
        accuracy: float,
    ) -> NDArray[np.int64]:
        """π over the fields' widths, for any correlation."""
        variances = self.setting.groups.variances[0][:, points]
        widths = [np.sqrt((variances * self.teachers.q[a, a][:, points]).sum(axis=0)) for a in self.pair]
        widest = np.maximum(*widths)
        with np.errstate(divide="ignore"):
            return level(np.pi / np.stack([widest, widths[1]]) / shrink, accuracy)

    def nodes(self, counts: Counts) -> Counts:
        """Two labels at each node of the product grid."""
        return product_of(counts)

    def map(self, points: Indices, rules: list[Rule], accuracy: float) -> Map:  # noqa: ARG002
        """The map at these points."""
        return PairMap(self.setting.take(points), self.teachers.take(points), self.pair, rules)

    def ease(self, points: Indices, fraction: float) -> None:
        """Do nothing: products have no penalty to ease."""

    def write(self, points: Indices, evolution: Map, image: Array) -> None:
        """Store the products of the points."""
        assert isinstance(evolution, PairMap)
        self.products[:, points] = evolution.products(image)


class PairMap:
    """From the correlation of two teachers' forces to itself."""

    def __init__(
        self, setting: BlockSetting, teachers: Teachers, pair: tuple[int, int], rules: list[Rule]
    ) -> None:
        self.setting, self.teachers, self.pair, self.rules = setting, teachers, pair, rules
        a, c = pair
        self.variances = setting.groups.variances[0]
        self.size_of_forces = np.sqrt(teachers.square[a] * teachers.square[c])
        self.width = np.sqrt((self.variances * teachers.q[a, a]).sum(axis=0))
        first = rules[0].nodes[:, None, None]
        self.force = self._proximal(a, self._centre(a) + self.width * first).force
        self.label = np.stack([setting.rho, 1.0 - setting.rho])

    def products(self, x: Array) -> Array:
        """w_a·w_c/N by block, (K, P): the signal part is m_a m_c/π where there is signal."""
        a, c = self.pair
        t, signal = self.teachers, self.setting.signal
        along = np.divide(t.m[a] * t.m[c], signal, out=np.zeros_like(signal), where=signal > 0)
        noise = self.setting.groups.alpha[0] * self.variances * (x[0] * self.size_of_forces)
        return np.asarray(along + t.gain[a] * t.gain[c] * noise * self.setting.shares)

    def step(self, x: Array) -> Array:
        """E[G_a G_c] relative to the root of E[G_a²] E[G_c²]."""
        c = self.pair[1]
        along = (self.variances * self.products(x)).sum(axis=0) / np.where(self.width > 0, self.width, 1.0)
        rest = np.sqrt(np.maximum((self.variances * self.teachers.q[c, c]).sum(axis=0) - along**2, 0.0))
        first, second = (rule.nodes[:, None, None] for rule in self.rules)
        cavity = self._centre(c) + along * first + rest * second[:, None]
        other = np.tensordot(self.rules[1].weights, self._proximal(c, cavity).force, axes=1)
        mean = np.einsum("n,lp,nlp->p", self.rules[0].weights, self.label, self.force * other)
        # Relative: as a correlation the unknown is of size one, and bounded.
        return np.asarray(mean / self.size_of_forces)[None]

    def scale(self, x: Array) -> Array:
        """One for each unknown: they are correlations."""
        return np.ones_like(x)

    def curb(self, x: Array, dx: Array) -> Array:
        """Keep the unknowns in [−1, 1], where correlations lie."""
        return np.clip(x + dx, -1.0, 1.0) - x

    def take(self, index: Indices) -> PairMap:
        """The same map at fewer points."""
        return PairMap(self.setting.take(index), self.teachers.take(index), self.pair, self.rules)

    def _centre(self, a: int) -> Array:
        return np.asarray(self.teachers.m[a].sum(axis=0) + SIGNS * self.teachers.b[a])

    def _proximal(self, a: int, cavity: Array) -> Proximal:
        response = np.broadcast_to((self.variances * self.teachers.v[a]).sum(axis=0), cavity.shape)
        plain = Lesson(np.zeros_like(cavity), np.ones_like(cavity), False)
        return LOSSES["logistic"].proximal(cavity, response, plain, np.zeros_like(cavity), None)
