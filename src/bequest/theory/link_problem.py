"""One link of a chain as a problem for the grid solver."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bequest.theory.blocks import Counts, product_of
from bequest.theory.fixed_point import Map
from bequest.theory.macrostate import Macrostate, Setting
from bequest.theory.parameters import Array, Indices
from bequest.theory.quadrature import Rule, level
from bequest.theory.start import coordinates, first_guess
from bequest.theory.state_evolution import Link, reaches, tabulate, unpack

EASY, FLOOR = 10.0, 1e-12
"""The path of a rescue goes between these penalties in equal factors, which cannot reach 0."""


class LinkProblem:
    """Learner ``a`` at every point of ``setting``, given the learners before it in ``state``."""

    def __init__(self, setting: Setting, state: Macrostate, a: int) -> None:
        self.setting, self.state, self.a = setting, state, a
        self.penalty = setting.penalty[a].copy()

    @property
    def size(self) -> int:
        """The number of points."""
        return self.setting.size

    def first_guess(self, points: Indices) -> Array:
        """The start of the iteration: the solution of a linearised learner."""
        return first_guess(self.setting.take(points), self.state.take(points), self.a)

    def places(self) -> Array:
        """The parameters of each point, most of them as logarithms."""
        return coordinates(self.setting, self.a)

    def levels(self, points: Indices, x: Array, shrink: Array, accuracy: float) -> NDArray[np.int64]:
        """One axis for each learner up to this one."""
        setting, state = self.setting.take(points), self.state.take(points)
        return level(reaches(setting, state, self.a, unpack(x, state)) / shrink, accuracy)

    def nodes(self, counts: Counts) -> Counts:
        """Two labels at every node of the product grid."""
        return product_of(counts)

    def map(self, points: Indices, rules: list[Rule], accuracy: float) -> Map:
        """The earlier learners tabulated at the nodes, this one's map on top."""
        setting, state = self.setting.take(points), self.state.take(points)
        return Link(setting, state, tabulate(setting, state, rules[:-1], accuracy), rules[-1], self.a)

    def ease(self, points: Indices, fraction: float) -> None:
        """Set penalties between large ones and the requested ones, in equal factors."""
        asked = self.penalty[points]
        easy, floor = np.maximum(asked, EASY), np.maximum(asked, FLOOR)
        between = easy * (floor / easy) ** fraction
        # The end of the path is exactly what is asked for, which may be 0.
        self.setting.penalty[self.a, points] = asked if fraction == 1.0 else between

    def write(self, points: Indices, evolution: Map, image: Array) -> None:
        """Enter the solution into ``state``."""
        assert isinstance(evolution, Link)
        evolution.write(self.state, points, unpack(image, evolution.state))
