"""Bounded minimisation in the unit cube, many points at once.

A coarse lattice finds the basins; from the best few a second-order model of finite differences is minimised
in a box that shrinks and grows with the quality of the model's predictions. Each round evaluates all places
of all points in one batch.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations, product

import numpy as np

from bequest.theory.parameters import Array, Indices, Mask

LATTICE = {1: 13, 2: 7, 3: 5, 4: 5}
FEW = 3
"""Places per parameter on the coarse lattice, by the number of parameters; ``FEW`` for more of them."""

STARTS = 3
"""Basins of the lattice from which the search descends, the deepest first."""

DIFFERENCE = 0.003
"""Step of a finite difference, in units of a parameter's range."""

LEAST_BOX, MOST_BOX = 1e-4, 0.2
"""Bounds of the box's half-width: a point has converged below the first."""

MOST_ROUNDS = 40
COARSE, SOLVED = 1e-5, 1e-10
"""Accuracy of the solves on the lattice, and of later ones."""

GAIN = 1e-8
"""A point has converged if the predicted gain of its step is below this."""

Evaluate = Callable[..., Array]
"""Maps places (d, n) in the unit cube, the points (n,) that they belong to and an accuracy to values (n,)."""


def minimise(evaluate: Evaluate, dimensions: int, size: int) -> tuple[Array, Array, Mask]:
    """The minimum of every point.

    Args:
        evaluate: The function; infinite where it is undefined. Called with an accuracy of ``COARSE`` on the
            lattice and with its default later.
        dimensions: d.
        size: How many points.

    Returns:
        Places (d, P), values (P,), and whether the search converged (P,).

    >>> places, least, settled = minimise(lambda u, *_: ((u - 0.3) ** 2).sum(axis=0), 2, 1)
    >>> places.ravel().round(3), bool(settled[0])
    (array([0.3, 0.3]), True)
    """
    starts, owners = _lattice(evaluate, dimensions, size)
    places, best, box = _deepest(*_descend(evaluate, starts, owners), owners, size)
    return places, best, box <= LEAST_BOX


def side_of(dimensions: int) -> int:
    """Places per parameter on the lattice."""
    return LATTICE.get(dimensions, FEW)


def _lattice(evaluate: Evaluate, dimensions: int, size: int) -> tuple[Array, Indices]:
    """The deepest basins of a coarse lattice, (d, S), and the point that each belongs to, (S,)."""
    side = side_of(dimensions)
    lattice = np.array(list(product(np.linspace(0.0, 1.0, side), repeat=dimensions))).T
    count = lattice.shape[1]
    asked = np.tile(np.arange(size), count)
    values = evaluate(np.repeat(lattice, size, axis=1), asked, COARSE).reshape(count, size)
    box = values.reshape(*[side] * dimensions, size)
    floor = np.ones(box.shape, dtype=np.bool_)
    for axis in range(dimensions):
        for shift in (1, -1):
            beyond = np.roll(box, shift, axis=axis)
            edge = [slice(None)] * box.ndim
            # np.roll wraps around: beyond an edge there is no neighbour that could be lower.
            edge[axis] = slice(0, 1) if shift == 1 else slice(-1, None)
            beyond[tuple(edge)] = np.inf
            floor &= box <= beyond
    ranked = np.where(floor.reshape(count, size), values, np.inf)
    # At least one start per point, on which `_deepest` relies, even if no value is finite.
    ranked[values.argmin(axis=0), np.arange(size)] = -np.inf
    chosen = np.argsort(ranked, axis=0, kind="stable")[:STARTS]
    rank, owners = np.nonzero(np.take_along_axis(ranked, chosen, axis=0) < np.inf)
    return lattice[:, chosen[rank, owners]], owners


def _deepest(
    places: Array, best: Array, box: Array, owners: Indices, size: int
) -> tuple[Array, Array, Array]:
    """The descent of each point that reached the lowest value."""
    order = np.lexsort((best, owners))
    first = order[np.searchsorted(owners[order], np.arange(size))]
    return places[:, first], best[first], box[first]


def _descend(evaluate: Evaluate, places: Array, owners: Indices) -> tuple[Array, Array, Array]:
    """Second-order steps in a box from these places; returns places, values and the boxes' half-widths."""
    best = evaluate(places, owners)
    dimensions = places.shape[0]
    box = np.where(np.isfinite(best), 1.0 / (side_of(dimensions) - 1), 0.0)
    stencil = _stencil(dimensions)
    for _ in range(MOST_ROUNDS):
        points = np.flatnonzero(box > LEAST_BOX)
        if not points.size:
            break
        # The stencil must stay in the cube; near its faces the gradient is moved back by the curvature.
        centre = np.clip(places[:, points], DIFFERENCE, 1.0 - DIFFERENCE)
        around = centre[:, None] + DIFFERENCE * stencil[:, :, None]
        count = stencil.shape[1]
        values = evaluate(around.reshape(dimensions, -1), np.tile(owners[points], count)).reshape(count, -1)
        usable = np.isfinite(values).all(axis=0)
        gradient, curvature = _model(np.where(usable, values, 0.0), stencil)
        offset = places[:, points] - centre
        gradient = gradient + np.einsum("ijp,jp->ip", curvature, offset)
        reach = np.minimum(box[points], MOST_BOX)
        step = _least(gradient, curvature, places[:, points], reach)
        trial = places[:, points] + step
        reached = evaluate(trial, owners[points])
        better = usable & (reached < best[points])
        moved = np.abs(step).max(axis=0)
        gain = -(gradient * step).sum(axis=0) - 0.5 * np.einsum("ip,ijp,jp->p", step, curvature, step)
        places[:, points[better]], best[points[better]] = trial[:, better], reached[better]
        # Larger if the step ended at the box, else about the step; a step that was no improvement shrinks it.
        grown = np.where(moved > 0.9 * reach, 2.0 * reach, np.maximum(2.0 * moved, 0.25 * reach))
        box[points] = np.where(better, grown, 0.25 * reach)
        box[points[usable & (gain < GAIN) & (moved < 0.9 * reach)]] = 0.0
    return places, best, box


def _stencil(dimensions: int) -> Array:
    """The centre, both neighbours on each axis, and the four corners of each pair of axes; (d, n)."""
    rows = [np.zeros(dimensions)]
    unit = np.eye(dimensions)
    rows += [sign * unit[i] for i in range(dimensions) for sign in (1, -1)]
    for i, j in combinations(range(dimensions), 2):
        rows += [a * unit[i] + b * unit[j] for a in (1, -1) for b in (1, -1)]
    return np.array(rows).T


def _model(values: Array, stencil: Array) -> tuple[Array, Array]:
    """Gradient (d, P) and Hessian (d, d, P) from values on the stencil (n, P)."""
    dimensions = stencil.shape[0]
    ups, downs = values[1 : 1 + 2 * dimensions : 2], values[2 : 2 + 2 * dimensions : 2]
    gradient = (ups - downs) / (2.0 * DIFFERENCE)
    curvature = np.zeros((dimensions, dimensions, values.shape[1]))
    for i in range(dimensions):
        curvature[i, i] = (ups[i] - 2.0 * values[0] + downs[i]) / DIFFERENCE**2
    corner = 1 + 2 * dimensions
    for i, j in combinations(range(dimensions), 2):
        plus, mixed, other, minus = values[corner : corner + 4]
        curvature[i, j] = curvature[j, i] = (plus - mixed - other + minus) / (4.0 * DIFFERENCE**2)
        corner += 4
    return gradient, curvature


def _least(gradient: Array, curvature: Array, places: Array, reach: Array) -> Array:
    """The step (d, P) that minimises the model in the box and the cube, by exact steps along each axis."""
    low, high = np.maximum(-places, -reach), np.minimum(1.0 - places, reach)
    step = np.zeros_like(gradient)
    for _ in range(60):
        for i in range(gradient.shape[0]):
            slope = gradient[i] + np.einsum("jp,jp->p", curvature[i], step) - curvature[i, i] * step[i]
            bent = curvature[i, i]
            inner = np.clip(-slope / np.where(bent > 0, bent, 1.0), low[i], high[i])
            ends = np.stack([low[i], high[i]])
            # Along an axis of negative curvature the minimum lies at an end of the box.
            outer = ends[(slope * ends + 0.5 * bent * ends**2).argmin(axis=0), np.arange(slope.size)]
            step[i] = np.where(bent > 0, inner, outer)
    return step
