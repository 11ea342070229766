"""Theory compared with simulation, in standard errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.special import stdtrit

from bequest.theory.learner import Learner
from bequest.theory.mixture import Mixture
from bequest.theory.parameters import Array
from bequest.theory.prediction import observe
from bequest.theory.simulation import Simulation, simulate_chain
from bequest.theory.solver import solve_chain

LEVEL = 0.95
ROUNDING = 1e-12
"""A relative difference of this size is rounding."""

SEEN = 25.0
"""Five standard errors squared: a bias that explains less is not told from chance."""
EXPONENTS = np.linspace(-3.0, 0.0, 301)


class Estimate(NamedTuple):
    """A mean over n seeds with its standard error and its interval by Student's t."""

    mean: float
    standard_error: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Comparison:
    """One observable of one learner: ``deviation`` is (theory − mean)/standard error.

    It is NaN if all draws agree up to rounding and theory does not, as for a count on few samples.
    """

    learner: int
    observable: str
    theory: float
    simulation: Estimate
    deviation: float


def estimate(values: Array, level: float = LEVEL) -> Estimate:
    """The mean of independent ``values`` with its interval; undefined ones are left out.

    >>> estimate(np.array([1.0, 2.0, 3.0]))._replace(low=0, high=0)
    Estimate(mean=2.0, standard_error=0.577..., low=0, high=0, n=3)
    """
    held = values[np.isfinite(values)]
    n = held.size
    if n < 2:
        nan = float("nan")
        return Estimate(float(held.mean()) if n else nan, nan, nan, nan, n)
    mean, spread = float(held.mean()), float(held.std(ddof=1) / np.sqrt(n))
    reach = float(stdtrit(n - 1, 0.5 + level / 2.0)) * spread
    return Estimate(mean, spread, mean - reach, mean + reach, n)


def compare(simulation: Simulation) -> list[Comparison]:
    """Every observable of every learner of a simulation, with theory at the same point.

    Raises:
        NotConverged: If theory has no solution there.

    >>> from bequest.theory import Mixture, simulate
    >>> point = {"lambda_teacher": 1, "lambda_student": 1}
    >>> run = simulate(Mixture(2, 1, 0.5), **point, inputs=100, seeds=8, samples=500)
    >>> [(c.learner, c.observable) for c in compare(run)][:2]
    [(0, 'm'), (0, 'q')]
    """
    solution = solve_chain(simulation.mixture, simulation.learners)
    rows = []
    for a, measured in enumerate(simulation.measured):
        for name, values in observe(solution, a).items():
            rows.append(_compared(a, name, float(values.reshape(())), estimate(measured[name])))
    return rows


def _compared(learner: int, name: str, theory: float, simulated: Estimate) -> Comparison:
    gap = theory - simulated.mean
    sure = simulated.standard_error
    if abs(gap) <= ROUNDING * max(1.0, abs(theory)):
        deviation = 0.0  # all draws agree with theory, as for a learner that predicts one class only
    else:
        deviation = gap / sure if sure > ROUNDING * max(1.0, abs(theory)) else float("nan")
    return Comparison(learner, name, theory, simulated, deviation)


@dataclass(frozen=True)
class Scaling:
    """How an observable's simulation approaches theory: arrays over the sizes N.

    ``bias`` = mean − theory with its ``standard_error``; ``spread`` is the standard deviation between draws.
    ``slope`` is the exponent of the spread, fitted on logarithms: −½ for Gaussian fluctuations. The spread of
    an observable on fresh samples includes the scatter of those samples, which does not fall with N.
    ``bias_slope`` is the exponent p of bias = c N^p, fitted to all sizes with their standard errors; NaN
    unless the fit explains at least ``SEEN`` standard errors squared: most biases are too small.
    """

    learner: int
    observable: str
    inputs: Array
    theory: float
    bias: Array
    standard_error: Array
    spread: Array
    slope: float
    bias_slope: float


def finite_size(
    mixture: Mixture,
    learners: Sequence[Learner],
    *,
    sizes: Sequence[int] = (50, 100, 200, 400),
    seeds: int = 200,
    samples: int = 2000,
    workers: int = 2,
) -> list[Scaling]:
    """Simulate the same point at several N and compare each with the limit N → ∞.

    Args:
        mixture: The data; its parameters are numbers here.
        learners: The chain.
        sizes: The N.
        seeds: Draws at each size.
        samples: Fresh samples of each draw.
        workers: Draws that run at the same time.

    Raises:
        ConfigError: If an argument is out of range.
        NotConverged: If theory or a fit has no solution.
    """
    theory = solve_chain(mixture, learners)
    runs = [
        simulate_chain(mixture, learners, inputs=size, seeds=seeds, samples=samples, workers=workers)
        for size in sizes
    ]
    inputs = np.array(sizes, dtype=np.float64)
    rows = []
    for a in range(len(runs[0].learners)):
        for name, value in observe(theory, a).items():
            limit = float(value.reshape(()))
            values = [run.measured[a][name] for run in runs]
            rows.append(_scaled(a, name, inputs, limit, values))
    return rows


def _scaled(learner: int, name: str, inputs: Array, theory: float, values: list[Array]) -> Scaling:
    spread = np.array([np.nanstd(one, ddof=1) for one in values])
    bias = np.array([np.nanmean(one) for one in values]) - theory
    error = spread / np.sqrt([np.isfinite(one).sum() for one in values])
    return Scaling(
        learner,
        name,
        inputs,
        theory,
        bias,
        error,
        spread,
        _slope(inputs, spread),
        _bias_slope(inputs, bias, error),
    )


def _bias_slope(inputs: Array, bias: Array, error: Array) -> float:
    """The exponent by weighted least squares over all sizes: selecting significant ones would bias it."""
    if not (error > 0).all():
        return float("nan")
    # Given p, the best c follows in closed form: only exponents are searched, on a grid.
    shape = (inputs / inputs[0]) ** EXPONENTS[:, None] / error
    held = bias / error
    explained = (shape @ held) ** 2 / (shape**2).sum(axis=1)
    best = int(explained.argmax())
    return float(EXPONENTS[best]) if explained[best] >= SEEN else float("nan")


def _slope(x: Array, y: Array) -> float:
    usable = y > 0
    if usable.sum() < 2:
        return float("nan")
    return float(np.polyfit(np.log(x[usable]), np.log(y[usable]), 1)[0])
