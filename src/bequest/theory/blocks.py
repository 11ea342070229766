"""Group points into blocks: those that need about the same nodes, as many as fit into a cache."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from bequest.theory.parameters import Indices
from bequest.theory.quadrature import Rule, rules

BLOCK = 12_000
"""Nodes × labels × points of one block: as many as fit, with all arrays in use, into a core's second-level
cache."""

SPREAD = 2
"""The most that numbers of nodes may differ within a block, as a factor: all its points get the largest."""


Counts = NDArray[np.int64]
"""Nodes on each axis, shape (axes, points)."""


def product_of(counts: Counts) -> Counts:
    """Nodes × labels of each point where all axes form one product grid, shape (points,)."""
    return np.asarray(2 * counts.prod(axis=0))


def blocks(
    levels: NDArray[np.int64], accuracy: float, total: Callable[[Counts], Counts] = product_of
) -> Iterator[tuple[Indices, list[Rule]]]:
    """Positions of the points of each block, and one rule per axis that serves them all.

    Args:
        levels: The quadrature level that each point needs on each axis, shape (axes, points).
        accuracy: The accuracy whose ladder of rules the levels refer to.
        total: Nodes × labels, from the nodes of each axis.
    """
    ladder = rules(accuracy)
    counts = np.array([rule.nodes.size for rule in ladder])
    nodes = total(counts[levels])
    # By nodes, so that a block's neediest point costs the others little.
    order = np.argsort(nodes, kind="stable")
    sizes = nodes[order]
    first = 0
    while first < order.size:
        ahead = sizes[first:]
        fits = (np.arange(ahead.size) < BLOCK // ahead) & (ahead <= SPREAD * ahead[0])
        # At least one: a point that needs more nodes than a block may have is a block by itself.
        last = first + max(1, int(np.argmin(np.append(fits, False))))
        chosen = order[first:last]
        yield chosen, [ladder[k] for k in levels[:, chosen].max(axis=1)]
        first = last
