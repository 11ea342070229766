r"""The weight side of the state evolution: from conjugates to order parameters.

Each input i obeys, for the learners that see it, the triangular system

.. math:: (λ_a + V̂_{aa}) w_a^i = m̂_a v^i + ξ_a^i - \sum_{c<a} V̂_{ac} w_c^i,
    \qquad E[ξ_a ξ_c] = q̂_{ac},

so that w = L (m̂ v + ξ) with L = (Λ + V̂)⁻¹ on the learners that see the input. Inputs that the same
learners see form a *slab*; every order parameter is a sum over slabs.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from bequest.theory.macrostate import Macrostate, Setting
from bequest.theory.parameters import Array


class Slab(NamedTuple):
    """Inputs that the same learners see, as learner ``a`` needs them.

    ``share`` (P,): their fraction of the N inputs, 0 where learner a does not see them. ``seen`` (a, P):
    1 for earlier learners that see them. ``inverse`` (a, a, P): L of the earlier learners, zero where unseen.
    """

    share: Array
    seen: Array
    inverse: Array


class Overlaps(NamedTuple):
    """A learner's order parameters: shapes (P,), (P,), (P,), (a, P), (a, P)."""

    m: Array
    q: Array
    v: Array
    overlap: Array
    response: Array


def slabs_of(setting: Setting, state: Macrostate, a: int) -> list[Slab]:
    """The slabs that learner ``a`` sees, with L of the earlier learners on each."""
    # Learners see the first ηN inputs, so that slabs lie between sorted η; each point has its own order.
    edges = np.sort(setting.eta[: a + 1], axis=0)
    below = np.zeros(setting.size)
    slabs = []
    for edge in edges:
        share = np.where(setting.eta[a] >= edge, edge - below, 0.0)
        below = edge
        if share.any():
            seen = (setting.eta[:a] >= edge).astype(np.float64)
            slabs.append(Slab(share, seen, _inverse(setting, state, seen)))
    return slabs


def _inverse(setting: Setting, state: Macrostate, seen: Array) -> Array:
    """L by forward substitution, row by row."""
    a, points = seen.shape
    inverse = np.zeros((a, a, points))
    for c in range(a):
        gain = seen[c] / (setting.penalty[c] + state.stiffness[c, c])
        inverse[c, c] = gain
        for d in range(c):
            inverse[c] -= gain * state.stiffness[c, d] * inverse[d]
    return inverse


def overlaps(
    state: Macrostate, slabs: list[Slab], a: int, gain: Array, force: Array, noise: Array, stiffness: Array
) -> Overlaps:
    """The order parameters of learner ``a`` from its conjugates.

    Args:
        state: Holds the earlier learners' conjugates.
        slabs: From :func:`slabs_of`.
        a: The learner's position.
        gain: 1/(λ_a + V̂_aa), shape (P,).
        force: m̂_a, shape (P,).
        noise: q̂_ac for c ≤ a, shape (a + 1, P).
        stiffness: V̂_ac for c < a, shape (a, P).
    """
    points = gain.shape[0]
    m, q, v = np.zeros(points), np.zeros(points), np.zeros(points)
    overlap, response = np.zeros((a, points)), np.zeros((a, points))
    for share, seen, inverse in slabs:
        row = -gain * np.einsum("cp,cdp->dp", stiffness * seen, inverse)
        mean = gain * force + np.einsum("dp,dp->p", row, state.force[:a])
        spread = np.einsum("cp,cdp->dp", row, state.noise[:a, :a]) + gain * noise[:a]
        with_noise = np.einsum("cp,cp->p", row, noise[:a]) + gain * noise[a]
        earlier = np.einsum("cdp,dp->cp", inverse, state.force[:a])
        m += share * mean
        q += share * (mean**2 + np.einsum("dp,dp->p", row, spread) + gain * with_noise)
        v += share * gain
        overlap += share * (mean * earlier + np.einsum("dp,cdp->cp", spread, inverse))
        response += share * row
    return Overlaps(m, q, v, overlap, response)
