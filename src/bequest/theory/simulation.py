"""The solvable model at finite N: data drawn, minimisers found exactly, observables measured."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.special import expit

from bequest.errors import ConfigError
from bequest.streams import numpy_generator
from bequest.theory.fitting import Objective, fit
from bequest.theory.learner import Learner, check_chain
from bequest.theory.losses import LOSSES, Lesson, softplus
from bequest.theory.mixture import Mixture
from bequest.theory.observables import Law, calibration_error
from bequest.theory.parameters import Array, Numbers, checked
from bequest.theory.prediction import names

CHUNK = 2048
"""Fresh samples that are drawn at once."""

THREADED = 500
"""Below so many inputs draws run in one thread: several would mostly wait for each other."""


@dataclass(frozen=True)
class Simulation:
    """Measurements at one point: ``measured[learner][observable]`` is an array with one entry per seed."""

    mixture: Mixture
    learners: tuple[Learner, ...]
    inputs: int
    seeds: tuple[int, ...]
    measured: tuple[dict[str, Array], ...]


class Draw(NamedTuple):
    """One draw: ``inputs`` x/√N (M, 1 + N) with ones in front, ``signs`` τ (M,), ``centre`` v (N,)."""

    inputs: Array
    signs: Array
    centre: Array


def simulate(
    mixture: Mixture,
    *,
    lambda_teacher: Numbers,
    lambda_student: Numbers,
    eta: Numbers = 1.0,
    mix: Numbers = 1.0,
    temperature: Numbers = 1.0,
    teacher_loss: str = "logistic",
    student_loss: str = "logistic",
    target: str = "soft",
    inputs: int = 1000,
    seeds: int | Sequence[int] = 20,
    samples: int = 10_000,
    workers: int = 2,
) -> Simulation:
    """Teacher and student on drawn data: the check on :func:`bequest.theory.solve`, at one point.

    Args:
        mixture: The data; its parameters are numbers here.
        lambda_teacher: λ_t; this and the next arguments up to ``target`` as in :func:`~bequest.theory.solve`.
        lambda_student: λ_s.
        eta: Fraction of inputs that the student sees.
        mix: χ.
        temperature: T.
        teacher_loss: "logistic" or "square", see :class:`~bequest.theory.Learner`.
        student_loss: "logistic" or "square".
        target: "soft" or "hard".
        inputs: N.
        seeds: The number of draws, or their seeds.
        samples: Fresh samples of each draw on which test observables are measured.
        workers: Draws that run at once, one thread each, from 500 inputs on; results do not depend on it.

    Raises:
        ConfigError: Lists every argument that is out of range, or is not one number.
        NotConverged: If a minimiser diverges.

    >>> point = {"lambda_teacher": 1, "lambda_student": 1}
    >>> run = simulate(Mixture(2, 1, 0.5), **point, inputs=100, seeds=2, samples=500)
    >>> run.measured[1]["error"].shape
    (2,)
    """
    chain = (
        Learner(lambda_teacher, loss=teacher_loss),
        Learner(lambda_student, eta, mix, temperature, student_loss, target),
    )
    return simulate_chain(
        mixture, chain, inputs=inputs, seeds=seeds, samples=samples, workers=workers, where="simulate"
    )


def simulate_chain(
    mixture: Mixture,
    learners: Sequence[Learner],
    *,
    inputs: int = 1000,
    seeds: int | Sequence[int] = 20,
    samples: int = 10_000,
    workers: int = 2,
    where: str = "simulate_chain",
) -> Simulation:
    """As :func:`simulate`, for any chain of learners; see :func:`bequest.theory.solve_chain`."""
    chain = tuple(learners)
    numbers = tuple(range(seeds)) if isinstance(seeds, int) else tuple(seeds)
    _check(
        mixture,
        chain,
        where,
        {"inputs": inputs, "seeds": len(numbers), "samples": samples, "workers": workers},
    )

    def run(seed: int) -> list[dict[str, float]]:
        return _run(mixture, chain, inputs, seed, samples)

    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # comes with scikit-learn

    # One BLAS thread per draw: sums then have the same order for any number of workers.
    with threadpool_limits(1), ThreadPoolExecutor(workers if inputs >= THREADED else 1) as pool:
        rows = list(pool.map(run, numbers))
    measured = tuple(
        {name: np.array([row[a][name] for row in rows]) for name in names(a)} for a in range(len(chain))
    )
    return Simulation(mixture, chain, inputs, numbers, measured)


def draw(mixture: Mixture, inputs: int, seed: int) -> Draw:
    """The training samples of one seed: M = round(αN) of them, at least two.

    Exactly round(ρM) of their labels are ones, at least one and not all, instead of about ρM at random: the
    limit N → ∞ is the same, and draws differ less, which makes the test of theory sharper.
    """
    generator = numpy_generator(seed, "theory", "training", inputs)
    count = max(2, round(float(np.asarray(mixture.alpha)) * inputs))
    centre = generator.standard_normal(inputs)
    ones = min(max(1, round(float(np.asarray(mixture.rho)) * count)), count - 1)
    signs = generator.permutation(np.where(np.arange(count) < ones, 1.0, -1.0))
    return Draw(_inputs(mixture, centre, signs, generator), signs, centre)


def _other_samples(mixture: Mixture, data: Draw, generator: np.random.Generator) -> Draw:
    """As many samples with as many ones around the same class centre, for the last learner only."""
    signs = generator.permutation(data.signs)
    return Draw(_inputs(mixture, data.centre, signs, generator), signs, data.centre)


def _fresh(
    mixture: Mixture, centre: Array, count: int, generator: np.random.Generator
) -> tuple[Array, Array]:
    """Samples whose labels are drawn one by one."""
    signs = np.where(generator.random(count) < float(np.asarray(mixture.rho)), 1.0, -1.0)
    return _inputs(mixture, centre, signs, generator), signs


def _inputs(mixture: Mixture, centre: Array, signs: Array, generator: np.random.Generator) -> Array:
    """x/√N of samples with these labels, (M, 1 + N), with ones in front."""
    count, size = signs.size, centre.size
    x = np.empty((count, 1 + size))
    x[:, 0] = 1.0
    x[:, 1:] = generator.standard_normal((count, size))
    # x = τv/√N + √Δ z, and both terms over √N.
    x[:, 1:] *= np.sqrt(float(np.asarray(mixture.delta)) / size)
    x[:, 1:] += signs[:, None] * (centre / size)
    return x


def _run(
    mixture: Mixture, chain: tuple[Learner, ...], inputs: int, seed: int, samples: int
) -> list[dict[str, float]]:
    """One draw: fit the chain, measure every learner."""
    data = draw(mixture, inputs, seed)
    weights = np.zeros((len(chain), 1 + inputs))
    margins: list[Array] = []
    rows: list[dict[str, float]] = []
    for a, learner in enumerate(chain):
        seen = 1 + max(1, round(float(np.asarray(learner.eta)) * inputs))
        taught_by = learner.taught_by(a)
        if learner.fresh:
            # A stream of its own: all other draws are those of the chain without this learner.
            data = _other_samples(mixture, data, numpy_generator(seed, "theory", "other samples", inputs))
            margins = [data.signs * (data.inputs @ weights[d]) for d in range(a)]
        teacher = sum((margins[d] for d in taught_by), np.zeros_like(data.signs)) / max(1, len(taught_by))
        lesson, loss = lesson_of(learner), LOSSES[learner.loss]
        penalty = float(np.asarray(learner.penalty))
        objective = Objective(loss, penalty, lesson, teacher)
        # The weights of inputs that the learner does not see stay 0.
        weights[a, :seen] = fit(data.inputs[:, :seen], data.signs, objective).weights
        margins.append(data.signs * (data.inputs @ weights[a]))
        rows.append(
            {
                "training_error": float((margins[a] < 0).mean()),
                "training_loss": float(loss.value(margins[a], lesson, teacher).mean()),
            }
        )
    _measure_order(mixture, data.centre, weights, rows)
    _measure_fresh(
        mixture, data.centre, weights, rows, samples, numpy_generator(seed, "theory", "test", inputs)
    )
    return rows


def lesson_of(learner: Learner) -> Lesson:
    """The teachers' part of a learner's loss, as numbers."""
    hard = learner.target == "hard"
    mix = np.asarray(learner.mix, dtype=np.float64)
    temperature = np.asarray(learner.temperature, dtype=np.float64)
    return Lesson(mix, np.where((mix > 0) & (not hard), temperature, 1.0), hard)


def _measure_order(mixture: Mixture, centre: Array, weights: Array, rows: list[dict[str, float]]) -> None:
    """Order parameters, and the calibration error given them, which would need many fresh samples."""
    size = centre.size
    overlaps = weights[:, 1:] @ weights[:, 1:].T / size
    for a, row in enumerate(rows):
        law = Law(mixture.delta, mixture.rho, weights[a, 1:] @ centre / size, overlaps[a, a], weights[a, 0])
        row |= {"m": float(law.m), "q": float(law.q), "b": float(law.b)}  # type: ignore[arg-type]
        row["alignment"] = row["m"] / np.sqrt(row["q"])
        row["calibration_error"] = float(calibration_error(law))
        if a:
            row["overlap"] = float(overlaps[a, a - 1])
            row["cosine"] = row["overlap"] / np.sqrt(row["q"] * overlaps[a - 1, a - 1])


def _measure_fresh(
    mixture: Mixture,
    centre: Array,
    weights: Array,
    rows: list[dict[str, float]],
    samples: int,
    generator: np.random.Generator,
) -> None:
    """Error, likelihood, Brier score and agreement on fresh samples."""
    margins = []
    for first in range(0, samples, CHUNK):
        x, signs = _fresh(mixture, centre, min(CHUNK, samples - first), generator)
        margins.append(signs * (x @ weights.T).T)
    margin = np.concatenate(margins, axis=1)
    wrong = margin < 0
    for a, row in enumerate(rows):
        row["error"] = float(wrong[a].mean())
        row["nll"] = float(softplus(-margin[a]).mean())
        row["brier"] = float((2.0 * expit(-margin[a]) ** 2).mean())
        if a:
            row["agreement"] = float((wrong[a] == wrong[a - 1]).mean())
            # With two classes, two wrong answers are the same answer.
            both, errors = int((wrong[a] & wrong[a - 1]).sum()), int(wrong[a - 1].sum())
            row["agreement_on_errors"] = both / errors if errors else np.nan


def _check(mixture: Mixture, chain: tuple[Learner, ...], where: str, counts: dict[str, int]) -> None:
    """Refuse numbers out of range, and arrays: one simulation is one point."""
    numbers: dict[str, Numbers] = dict(mixture.values())
    for a, learner in enumerate(chain):
        for name in ("penalty", "eta", "mix", "temperature"):
            numbers[f"{name}[{a}]"] = getattr(learner, name)
    faults = check_chain(chain)
    faults += [f"{name}: must be at least 1 (got {value})" for name, value in counts.items() if value < 1]
    faults += [
        f"{name}: must be one number (got {np.size(v)} of them)"
        for name, v in numbers.items()
        if np.size(v) != 1
    ]
    try:
        checked(where, numbers)
    except ConfigError as error:
        faults = [*error.faults, *faults]
    if faults:
        raise ConfigError.of(where, faults)
