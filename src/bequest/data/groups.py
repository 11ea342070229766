"""Finite groups as permutations of a few points, with their tables: what a state machine can be made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from bequest.errors import DataError

Permutation = tuple[int, ...]

MOST_ELEMENTS = 1000
"""Elements of a group whose table is written out."""


@dataclass(frozen=True)
class Group:
    """A group of permutations; an element is a number, and 0 is the identity.

    Attributes:
        name: What it is called, such as ``S3``.
        elements: Where each element sends the points 0, 1 ...; the identity first, then in rising order.
        generators: Elements that make all others, by their numbers; not the identity.
        labels: What each element is called.
    """

    name: str
    elements: tuple[Permutation, ...]
    generators: tuple[int, ...]
    labels: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.elements)

    @cached_property
    def table(self) -> np.ndarray:
        """``table[a, b]`` is a, then b; int64 (G, G).

        >>> cyclic(3).table.tolist()
        [[0, 1, 2], [1, 2, 0], [2, 0, 1]]
        """
        places = {element: k for k, element in enumerate(self.elements)}
        rows = [[places[_then(a, b)] for b in self.elements] for a in self.elements]
        return np.array(rows, np.int64)

    @cached_property
    def inverses(self) -> np.ndarray:
        """``inverses[a]`` undoes a; int64 (G,)."""
        undoing: np.ndarray = (self.table == 0).argmax(1)
        return undoing

    @property
    def commutes(self) -> bool:
        """Whether the order of two elements never matters."""
        return bool((self.table == self.table.T).all())

    def product(self, word: Sequence[int]) -> int:
        """One element after the other, from the identity on.

        >>> cyclic(5).product([1, 1, 4, 3])
        4
        """
        state = 0
        for element in word:
            state = int(self.table[state, element])
        return state


def cyclic(order: int) -> Group:
    """The integers modulo ``order``; element k adds k. Order 2 is parity."""
    turn = tuple((k + 1) % order for k in range(order))
    return replace(_generated(f"Z{order}", order, [turn]), labels=tuple(map(str, range(order))))


def dihedral(order: int) -> Group:
    """Turns and mirrorings of a polygon of ``order`` corners, 2 · ``order`` elements.

    >>> len(dihedral(4)), dihedral(4).commutes
    (8, False)
    """
    turn = tuple((k + 1) % order for k in range(order))
    mirror = tuple(-k % order for k in range(order))
    return _generated(f"D{order}", order, [turn, mirror])


def symmetric(order: int) -> Group:
    """All permutations of ``order`` points; made by one exchange and one cycle.

    >>> symmetric(3).elements[:3], symmetric(3).commutes
    (((0, 1, 2), (0, 2, 1), (1, 0, 2)), False)
    """
    swap = (1, 0, *range(2, order))
    turn = tuple((k + 1) % order for k in range(order))
    return _generated(f"S{order}", order, [swap, turn])


def alternating(order: int) -> Group:
    """The even permutations of ``order`` points; A5 is the smallest group that is not solvable.

    >>> len(alternating(5))
    60
    """
    threes = [(1, k, *(0 if j == k else j for j in range(2, order))) for k in range(2, order)]
    return _generated(f"A{order}", order, threes)


GROUPS: dict[str, Callable[[int], Group]] = {
    "cyclic": cyclic,
    "dihedral": dihedral,
    "symmetric": symmetric,
    "alternating": alternating,
}

FEWEST_POINTS = {"cyclic": 2, "dihedral": 3, "symmetric": 2, "alternating": 3}


def group_of(name: str, order: int) -> Group:
    """The group of a family, such as S3 for ``symmetric`` and 3.

    Raises:
        DataError: If the family has no group of that order, or its table is too large.
    """
    if order < FEWEST_POINTS[name]:
        raise DataError(
            f"there is no such {name} group", expected=f"order of {FEWEST_POINTS[name]} or more", got=order
        )
    return GROUPS[name](order)


def _then(first: Permutation, second: Permutation) -> Permutation:
    return tuple(second[point] for point in first)


def _generated(name: str, points: int, generators: Sequence[Permutation]) -> Group:
    """The closure of the generators: what is new times each generator, until nothing is new."""
    identity = tuple(range(points))
    elements, waiting = {identity}, [identity]
    while waiting:
        element = waiting.pop()
        for generator in generators:
            product = _then(element, generator)
            if product not in elements:
                elements.add(product)
                waiting.append(product)
        if len(elements) > MOST_ELEMENTS:
            raise DataError(
                f"the group {name} is too large", expected=f"at most {MOST_ELEMENTS} elements", got="more"
            )
    ordered = sorted(elements)
    chosen = {ordered.index(generator) for generator in generators} - {0}
    labels = tuple("-".join(map(str, element)) for element in ordered)
    return Group(name, tuple(ordered), tuple(sorted(chosen)), labels)
