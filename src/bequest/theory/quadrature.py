"""Gaussian expectations to a given accuracy.

The integrands of the solvable model are analytic in a strip around the real axis whose half-width, the
*reach*, is known (π in units of a logit, see ``docs/theory.md``). The error of a rule depends on the
reach in units of the standard deviation, so a rule is chosen by how well it integrates the hardest
function of that reach, the Lorentzian a²/(a² + z²), whose expectation has a closed form.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import erfcx

from bequest.theory.parameters import Array

LADDER = tuple(sorted({round(5 * 1.16**k) | 1 for k in range(43)}))
"""The numbers of nodes that are tried: odd, from 5 to about 2,500, in steps of 16 %."""

HERMITE_MOST = 45
"""Beyond this many nodes Gauss–Hermite is never the cheaper rule."""


class Rule(NamedTuple):
    """Nodes z and weights w with Σ w f(z) ≈ E f(z), z ~ N(0, 1), for functions of at least this ``reach``."""

    nodes: Array
    weights: Array
    reach: float


def hermite(count: int) -> tuple[Array, Array]:
    """Gauss–Hermite nodes and weights for N(0, 1); exact for polynomials of degree 2·count − 1.

    >>> nodes, weights = hermite(3)
    >>> round(float(weights @ nodes**4), 12)
    3.0
    """
    nodes, weights = np.polynomial.hermite_e.hermegauss(count)
    return nodes, weights / weights.sum()


def trapezoid(count: int, accuracy: float) -> tuple[Array, Array]:
    """Equally spaced nodes out to where the Gaussian falls below ``accuracy``, with its weights.

    For an analytic integrand the error falls like exp(−2π reach/step), faster than Gauss–Hermite's
    where the reach is short (Trefethen & Weideman 2014, "The exponentially convergent trapezoidal rule", §5).

    >>> nodes, weights = trapezoid(31, 1e-12)
    >>> round(float(weights @ nodes**2), 10)
    1.0
    """
    nodes = np.linspace(-1.0, 1.0, count) * np.sqrt(-2.0 * np.log(accuracy))
    # Normalised below, so that constants are integrated exactly.
    weights = np.exp(-0.5 * nodes**2)
    return nodes, weights / weights.sum()


def rule_for(reach: float, accuracy: float) -> Rule:
    """The rule with the fewest nodes that integrates functions of this ``reach`` to about ``accuracy``.

    Args:
        reach: Distance of the nearest singularity from the real axis in standard deviations, > 0.
        accuracy: Absolute error allowed for the Lorentzian of that reach; other functions of size one come
            within a small factor of it.

    Returns:
        A rule; the finest of the ladder if none suffices.

    >>> [len(rule_for(reach, 1e-9).nodes) for reach in (100.0, 3.0, 1.0, 0.3)]
    [5, 23, 55, 153]
    """
    return rules(accuracy)[int(level(np.array(reach), accuracy))]


def level(reach: Array, accuracy: float) -> NDArray[np.int64]:
    """The position in :func:`rules` of the rule for each ``reach``, same shape."""
    # Reaches decrease along the ladder, and searchsorted needs increasing numbers: hence the signs.
    served = np.array([rule.reach for rule in rules(accuracy)])
    return np.asarray(np.minimum(np.searchsorted(-served, -reach), served.size - 1))


@lru_cache(maxsize=16)
def rules(accuracy: float) -> tuple[Rule, ...]:
    """The ladder of rules, cheapest first, each with the least reach that it serves."""
    reaches = np.geomspace(0.005, 50.0, 301)
    # E[a²/(a² + z²)]; erfcx, since erfc(a/√2) underflows where its factor exp(a²/2) overflows.
    exact = reaches * np.sqrt(np.pi / 2) * erfcx(reaches / np.sqrt(2))
    ladder: list[Rule] = []
    for count in LADDER:
        candidates = [trapezoid(count, accuracy)]
        if count <= HERMITE_MOST:
            candidates.append(hermite(count))
        for nodes, weights in candidates:
            reach = _least_reach(nodes, weights, reaches, exact, accuracy)
            # Only rules that serve a smaller reach than all cheaper ones, so that `level` can search.
            if reach < (ladder[-1].reach if ladder else np.inf):
                ladder.append(Rule(nodes, weights, reach))
    return tuple(ladder)


def _least_reach(nodes: Array, weights: Array, reaches: Array, exact: Array, accuracy: float) -> float:
    squares = reaches[:, None] ** 2
    error = np.abs((squares / (squares + nodes**2)) @ weights - exact)
    failing = np.flatnonzero(error > accuracy)
    if not failing.size:
        return float(reaches[0])
    return float(reaches[failing[-1] + 1]) if failing[-1] + 1 < reaches.size else np.inf


def split(rule: Rule, at: Array, accuracy: float) -> tuple[Array, Array]:
    """Nodes and weights for integrands that jump where z = ``at``: Gauss–Legendre on either side.

    Args:
        rule: A rule for the same integrand without the jump; it determines the number of nodes.
        at: Position of the jump, any shape S; may be far out on either side.
        accuracy: As in :func:`rule_for`; it determines where the Gaussian is cut off.

    Returns:
        Two arrays of shape (2n, *S).

    >>> nodes, weights = split(rule_for(5.0, 1e-9), np.array([0.5]), 1e-9)
    >>> round(float(weights[nodes < 0.5].sum()), 8)  # the normal distribution function at 0.5
    0.69146246
    """
    count = max(30, int(1.8 * rule.nodes.size))
    unit, unit_weights = np.polynomial.legendre.leggauss(count)
    end = np.sqrt(-2.0 * np.log(accuracy)) + 0.5
    # A jump further out leaves one of the two sides empty.
    middle = np.clip(at, -end, end)[None]
    column = unit.reshape(-1, *(1,) * at.ndim)
    half = unit_weights.reshape(column.shape) / 2.0
    left, right = middle + end, end - middle
    nodes = np.concatenate([-end + left * (column + 1.0) / 2.0, middle + right * (column + 1.0) / 2.0])
    weights = np.concatenate([half * left, half * right]) * np.exp(-0.5 * nodes**2) / np.sqrt(2.0 * np.pi)
    return nodes, weights
