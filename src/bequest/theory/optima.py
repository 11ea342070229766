"""The best penalty, mix or temperature of a point: bounded minimisation, many points at once.

A coarse lattice finds the basins; from the best few a second-order model of finite differences is minimised
in a box that shrinks and grows with how well the model foretells. All places that are needed, of all points,
are one batched solve.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from typing import Any

import numpy as np

from bequest.errors import ConfigError
from bequest.theory.mixture import Mixture
from bequest.theory.parameters import RANGES, Array, Indices, Mask, checked
from bequest.theory.prediction import names, observe
from bequest.theory.solution import Solution
from bequest.theory.solver import solve

BOUNDS: dict[str, tuple[float, float]] = {
    "lambda_teacher": (1e-3, 1e3),
    "lambda_student": (1e-3, 1e3),
    "mix": (0.0, 1.0),
    "temperature": (0.2, 5.0),
}
"""Where each parameter is sought unless told otherwise."""

LINEAR = ("mix",)
"""Parameters that are sought on a linear scale; the others on a logarithmic one."""

LATTICE = {1: 13, 2: 7, 3: 5, 4: 5}
"""Places a parameter on the coarse lattice, by the number of parameters sought."""

STARTS = 3
"""Basins of the lattice that are gone down into, the deepest first."""

OBSERVABLES = ("error", "nll", "brier", "calibration_error", "alignment", "agreement", "agreement_on_errors")
DIFFERENCE = 0.003
"""Step of a finite difference, in units of a parameter's range."""

LEAST_BOX, MOST_BOX = 1e-4, 0.2
"""Half-widths of the box: a point is done below the first."""

MOST_ROUNDS = 40
COARSE, SOLVED = 1e-5, 1e-10
"""Accuracy of the solves on the lattice, and after."""

GAIN = 1e-8
"""A step that is foretold to gain less than this is not worth taking: the point is done."""

EDGE = 1e-3
"""An optimum this near to a bound, in units of the range, lies on it."""


@dataclass(frozen=True)
class Optimum:
    """The best parameters of every point; arrays in the grid's shape, NaN where nothing was solved.

    Attributes:
        values: The parameters sought, by name.
        value: The observable there.
        at_bound: Which of them lie on a bound: the best may lie beyond.
        settled: Where the search came to rest.
        solution: The model solved there.
    """

    values: dict[str, Array]
    value: Array
    at_bound: dict[str, Mask]
    settled: Mask
    solution: Solution


def optimise(
    mixture: Mixture,
    over: Sequence[str],
    *,
    observable: str = "error",
    learner: int = -1,
    bounds: Mapping[str, tuple[float, float]] | None = None,
    sign: int = 1,
    **point: Any,
) -> Optimum:
    """The parameters in ``over`` that make an observable least, at every point of a grid.

    The search is local from the deepest ``STARTS`` basins of a lattice. With three or four parameters the
    landscape is flat and has several minima; the best one can be missed by some 1e-5 in the error.

    Args:
        mixture: The data.
        over: Which of "lambda_teacher", "lambda_student", "mix" and "temperature" are sought.
        observable: "error", "nll", "brier", "calibration_error", "alignment", "agreement" or
            "agreement_on_errors".
        learner: 0 for the teacher's, −1 for the student's.
        bounds: Where each is sought; default :data:`BOUNDS`.
        sign: −1 to make the observable greatest.
        point: What :func:`~bequest.theory.solve` takes, less what is sought.

    Raises:
        ConfigError: Lists every argument that is wrong.

    >>> best = optimise(Mixture(2, 1, 0.2), ["lambda_teacher"], learner=0, lambda_student=1)
    >>> float(best.values["lambda_teacher"].round(2)), float(best.value.round(4))
    (0.18, 0.1597)
    """
    ranges = {name: tuple((bounds or {}).get(name, BOUNDS.get(name, (0.0, 1.0)))) for name in over}
    shape, fixed, options = _checked(mixture, over, observable, learner, ranges, sign, point)
    size = int(np.prod(shape, dtype=int))

    def evaluate(places: Array, points: Indices, accuracy: float = SOLVED) -> Array:
        """The observable at unit places (d, n) of the points with these indices (n,)."""
        given: dict[str, Any] = {name: array[points] for name, array in fixed.items()}
        given |= dict(zip(over, _real(places, over, ranges), strict=True))
        data = Mixture(*(given.pop(name) for name in ("alpha", "delta", "rho")))
        solution = solve(data, **given, **options, accuracy=accuracy, throw=False)
        found = sign * _observed(solution, observable, learner)
        return np.where(np.isfinite(found), found, np.inf)

    starts, owners = _lattice(evaluate, len(over), size)
    places, best, box = _deepest(*_descend(evaluate, starts, owners), owners, size)
    found = dict(zip(over, _real(places, over, ranges), strict=True))
    known = np.isfinite(best)
    values = {name: np.where(known, array, np.nan).reshape(shape) for name, array in found.items()}
    edges = {
        name: ((u < EDGE) | (u > 1.0 - EDGE)).reshape(shape) for name, u in zip(over, places, strict=True)
    }
    given: dict[str, Any] = {name: array.reshape(shape) for name, array in {**fixed, **found}.items()}
    data = Mixture(*(given.pop(name) for name in ("alpha", "delta", "rho")))
    solution = solve(data, **given, **options, throw=False)
    least = np.where(known, sign * best, np.nan).reshape(shape)
    return Optimum(values, least, edges, (box <= LEAST_BOX).reshape(shape), solution)


def _checked(
    mixture: Mixture,
    over: Sequence[str],
    observable: str,
    learner: int,
    ranges: Mapping[str, tuple[float, ...]],
    sign: int,
    point: Mapping[str, Any],
) -> tuple[tuple[int, ...], dict[str, Array], dict[str, Any]]:
    """The grid's shape, its fixed parameters flat, and the options of the solve."""
    faults = [] if over else ["over: must name at least one parameter"]
    faults += [f"over: must be of {', '.join(BOUNDS)} (got {name!r})" for name in over if name not in BOUNDS]
    faults += [f"{name}: is sought, and cannot be given too" for name in over if name in point]
    if observable not in OBSERVABLES:
        faults.append(f"observable: must be one of {', '.join(OBSERVABLES)} (got {observable!r})")
    elif learner == 0 and observable not in names(0):
        faults.append(f"observable: the teacher has no {observable}")
    if learner not in (0, -1, 1) or sign not in (1, -1):
        faults.append(f"learner must be 0 or -1 and sign 1 or -1 (got {learner} and {sign})")
    for name, (low, high) in ranges.items():
        if name in BOUNDS and not (low < high and RANGES[name].holds(np.array([low, high])).all()):
            faults.append(f"bounds of {name}: must rise within {RANGES[name]} (got {low:g}, {high:g})")
        elif name in BOUNDS and name not in LINEAR and low <= 0:
            faults.append(f"bounds of {name}: must lie above 0 (got {low:g})")
    given = {**mixture.values(), **{name: point[name] for name in RANGES if name in point}}
    try:
        values = checked("optimise", given)
    except ConfigError as error:
        raise ConfigError.of("optimise", [*error.faults, *faults]) from None
    if faults:
        raise ConfigError.of("optimise", faults)
    options = {name: value for name, value in point.items() if name not in RANGES}
    return values["alpha"].shape, {name: array.ravel() for name, array in values.items()}, options


def _observed(solution: Solution, observable: str, learner: int) -> Array:
    return observe(solution, learner, [observable])[observable]


def _real(places: Array, over: Sequence[str], ranges: Mapping[str, tuple[float, ...]]) -> list[Array]:
    """Parameters at places in units of their ranges."""
    found = []
    for name, u in zip(over, places, strict=True):
        low, high = ranges[name]
        found.append(low + (high - low) * u if name in LINEAR else low * (high / low) ** u)
    return found


Evaluate = Callable[..., Array]


def _lattice(evaluate: Evaluate, dimensions: int, size: int) -> tuple[Array, Indices]:
    """The deepest basins of a coarse lattice, (d, S), and the point that each belongs to, (S,)."""
    side = LATTICE[dimensions]
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
            edge[axis] = slice(0, 1) if shift == 1 else slice(-1, None)
            beyond[tuple(edge)] = np.inf
            floor &= box <= beyond
    ranked = np.where(floor.reshape(count, size), values, np.inf)
    ranked[values.argmin(axis=0), np.arange(size)] = -np.inf
    chosen = np.argsort(ranked, axis=0, kind="stable")[:STARTS]
    rank, owners = np.nonzero(np.take_along_axis(ranked, chosen, axis=0) < np.inf)
    return lattice[:, chosen[rank, owners]], owners


def _deepest(
    places: Array, best: Array, box: Array, owners: Indices, size: int
) -> tuple[Array, Array, Array]:
    """Of each point's descents the one that went deepest."""
    order = np.lexsort((best, owners))
    first = order[np.searchsorted(owners[order], np.arange(size))]
    return places[:, first], best[first], box[first]


def _descend(evaluate: Evaluate, places: Array, owners: Indices) -> tuple[Array, Array, Array]:
    """From there by second-order steps in a box; places, values and the boxes' last half-widths."""
    best = evaluate(places, owners)
    dimensions = places.shape[0]
    box = np.where(np.isfinite(best), 1.0 / (LATTICE[dimensions] - 1), 0.0)
    stencil = _stencil(dimensions)
    for _ in range(MOST_ROUNDS):
        points = np.flatnonzero(box > LEAST_BOX)
        if not points.size:
            break
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
    """The step (d, P) of least model value in the box and in 0..1, by exact steps along each axis in turn."""
    low, high = np.maximum(-places, -reach), np.minimum(1.0 - places, reach)
    step = np.zeros_like(gradient)
    for _ in range(60):
        for i in range(gradient.shape[0]):
            slope = gradient[i] + np.einsum("jp,jp->p", curvature[i], step) - curvature[i, i] * step[i]
            bent = curvature[i, i]
            inner = np.clip(-slope / np.where(bent > 0, bent, 1.0), low[i], high[i])
            ends = np.stack([low[i], high[i]])
            outer = ends[(slope * ends + 0.5 * bent * ends**2).argmin(axis=0), np.arange(slope.size)]
            step[i] = np.where(bent > 0, inner, outer)
    return step
