"""The best penalty, mix or temperature of a point: bounded minimisation, many points at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bequest.errors import ConfigError
from bequest.theory.mixture import Mixture
from bequest.theory.parameters import RANGES, Array, Indices, Mask, checked
from bequest.theory.prediction import names, observe
from bequest.theory.search import SOLVED, minimise
from bequest.theory.solution import Solution
from bequest.theory.solver import solve

BOUNDS: dict[str, tuple[float, float]] = {
    "lambda_teacher": (1e-3, 1e3),
    "lambda_student": (1e-3, 1e3),
    "mix": (0.0, 1.0),
    "temperature": (0.2, 5.0),
}
"""Default bounds of the search for each parameter."""

LINEAR = ("mix",)
"""Parameters that are searched on a linear scale; the others on a logarithmic one."""

OBSERVABLES = ("error", "nll", "brier", "calibration_error", "alignment", "agreement", "agreement_on_errors")
EDGE = 1e-3
"""An optimum this near to a bound, in units of the range, counts as lying on it."""


@dataclass(frozen=True)
class Optimum:
    """The best parameters of every point; arrays in the grid's shape, NaN where nothing was solved.

    Attributes:
        values: The optimal parameters, by name.
        value: The observable at the optimum.
        at_bound: Whether each parameter lies on a bound, beyond which the optimum may be.
        settled: Where the search converged.
        solution: The model solved at the optimum.
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
    """The parameters in ``over`` that minimise an observable, at every point of a grid.

    The search is local from the deepest ``STARTS`` basins of a lattice. With three or four parameters the
    landscape is flat and has several minima; the best one can be missed by some 1e-5 in the error.

    Args:
        mixture: The data.
        over: Which of "lambda_teacher", "lambda_student", "mix" and "temperature" are optimised.
        observable: "error", "nll", "brier", "calibration_error", "alignment", "agreement" or
            "agreement_on_errors".
        learner: 0 for the teacher's, −1 for the student's.
        bounds: Bounds of each parameter; default :data:`BOUNDS`.
        sign: −1 to maximise the observable.
        point: Arguments of :func:`~bequest.theory.solve` without those in ``over``.

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
        numbers: dict[str, Any] = {name: array[points] for name, array in fixed.items()}
        numbers |= dict(zip(over, _real(places, over, ranges), strict=True))
        data = Mixture(*(numbers.pop(name) for name in ("alpha", "delta", "rho")))
        solution = solve(data, **numbers, **options, accuracy=accuracy, throw=False)
        signed = sign * _observed(solution, observable, learner)
        return np.where(np.isfinite(signed), signed, np.inf)  # what is not solved is no optimum

    places, best, settled = minimise(evaluate, len(over), size)
    sought = dict(zip(over, _real(places, over, ranges), strict=True))
    defined = np.isfinite(best)
    values = {name: np.where(defined, array, np.nan).reshape(shape) for name, array in sought.items()}
    edges = {
        name: ((u < EDGE) | (u > 1.0 - EDGE)).reshape(shape) for name, u in zip(over, places, strict=True)
    }
    point_there: dict[str, Any] = {name: array.reshape(shape) for name, array in {**fixed, **sought}.items()}
    data = Mixture(*(point_there.pop(name) for name in ("alpha", "delta", "rho")))
    solution = solve(data, **point_there, **options, throw=False)
    least = np.where(defined, sign * best, np.nan).reshape(shape)
    return Optimum(values, least, edges, settled.reshape(shape), solution)


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
    faults += [f"{name}: is optimised, and cannot be set too" for name in over if name in point]
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
    numbers = {**mixture.values(), **{name: point[name] for name in RANGES if name in point}}
    try:
        values = checked("optimise", numbers)
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
    values = []
    for name, u in zip(over, places, strict=True):
        low, high = ranges[name]
        values.append(low + (high - low) * u if name in LINEAR else low * (high / low) ** u)
    return values
