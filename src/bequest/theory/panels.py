"""Gaussian expectations of steep integrands: panels that are halved until they agree with their halves.

A rule of :mod:`~bequest.theory.quadrature` is chosen by the known smoothness of an integrand. The method here
needs no such knowledge: it finds where an integrand jumps, or nearly jumps, and puts its nodes there.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np

from bequest.theory.parameters import Array, Indices

END = 8.5
"""Standard deviations to which integrals extend: beyond them lies a mass of 2e-17."""

FIRST = 34
"""Panels at the start, half a standard deviation each, so that their nodes meet all wide features."""

NODES = 10
MOST_HALVINGS = 32
"""By then a jump is enclosed to 1e-10 standard deviations, and is left at that."""

SAFETY = 30.0
"""The factor by which panels must agree better than the accuracy: one with a jump may agree with its halves
by chance."""

BATCH = 4096
"""Panels that are evaluated at once, which bounds the memory."""

Integrand = Callable[[Indices, Array], Array]
"""From the numbers of n integrals and nodes z (k, n) to values (k, n)."""


def expectations(integrand: Integrand, count: int, accuracy: float, batch: int = BATCH) -> Array:
    """E f_i(z) for i < ``count``, z ~ N(0, 1), by Gauss–Lobatto panels that are halved where needed.

    Args:
        integrand: f, for integrals i and nodes z; of size one, with jumps allowed.
        count: How many integrals.
        accuracy: Absolute error allowed, for integrands of size one.
        batch: Panels that are evaluated at once.

    Returns:
        Shape (count,).

    >>> means = expectations(lambda i, z: 1.0 * (z > 0.1 * i), 2, 1e-9)
    >>> [round(float(mean), 8) for mean in means]  # P(z > 0), P(z > 0.1)
    [0.5, 0.46017216]
    """
    edges = np.linspace(-END, END, FIRST + 1)
    which = np.repeat(np.arange(count), FIRST)
    low, high = np.tile(edges[:-1], count), np.tile(edges[1:], count)
    total = np.zeros(count)
    whole = _integrals(integrand, which, low, high, batch)
    for halvings in range(MOST_HALVINGS + 1):
        middle = (low + high) / 2.0
        left = _integrals(integrand, which, low, middle, batch)
        right = _integrals(integrand, which, middle, high, batch)
        # NaN compares false: an undefined panel is not halved for ever, and makes its total NaN.
        rough = np.abs(left + right - whole) > accuracy / SAFETY
        if halvings == MOST_HALVINGS:
            rough[:] = False
        total += np.bincount(which[~rough], (left + right)[~rough], minlength=count)
        if not rough.any():
            break
        which = np.tile(which[rough], 2)
        low, high = np.concatenate([low[rough], middle[rough]]), np.concatenate([middle[rough], high[rough]])
        whole = np.concatenate([left[rough], right[rough]])
    return total


def _integrals(integrand: Integrand, which: Indices, low: Array, high: Array, batch: int) -> Array:
    """∫ f(z) φ(z) dz over each panel, shape (n,)."""
    unit, weights = _lobatto()
    result = np.empty(which.size)
    for first in range(0, which.size, batch):
        part = slice(first, first + batch)
        middle, half = (low[part] + high[part]) / 2.0, (high[part] - low[part]) / 2.0
        z = middle + half * unit[:, None]
        density = np.exp(-0.5 * z**2) / np.sqrt(2.0 * np.pi)
        result[part] = half * (weights @ (density * integrand(which[part], z)))
    return result


@cache
def _lobatto() -> tuple[Array, Array]:
    """Gauss–Lobatto nodes and weights on [−1, 1].

    The ends are nodes: a jump next to an edge, which no inner node of either panel would meet, is seen.
    """
    highest = np.polynomial.Legendre.basis(NODES - 1)
    nodes = np.concatenate([[-1.0], np.sort(highest.deriv().roots().real), [1.0]])
    return nodes, 2.0 / (NODES * (NODES - 1) * highest(nodes) ** 2)
