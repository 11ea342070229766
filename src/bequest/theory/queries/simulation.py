"""The theory of queries at finite N: data drawn, minimisers found exactly, order parameters measured."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from bequest.errors import ConfigError
from bequest.streams import numpy_generator
from bequest.theory.fitting import Objective, fit
from bequest.theory.losses import LOSSES, Lesson
from bequest.theory.parameters import Array, Indices, Numbers
from bequest.theory.queries.setting import BlockSetting, student_setting, teacher_settings
from bequest.theory.queries.solution import BlockOrderParameters, Learned
from bequest.theory.queries.world import Asked, BlockMixture, BlockNumbers, QueryGroup
from bequest.theory.simulation import THREADED

SURE = 1e4
"""A logit that counts as a decision: its probability is 0 or 1 in float64."""


@dataclass(frozen=True)
class QuerySimulation(Learned):
    """Exact minimisers of drawn data: arrays have an axis of draws in place of a solution's grid.

    Errors and agreements are those of the fitted weights in expectation over inputs, not on a sample of them;
    responses are NaN.
    """

    inputs: int
    seeds: tuple[int, ...]


class Blocks(NamedTuple):
    """Coordinates of one draw: the ``block`` of each (N,), the class centre v and the start w⁰ (N,)."""

    block: Indices
    centre: Array
    start: Array


class Inputs(NamedTuple):
    """Inputs x/√N (M, 1 + N) with ones in front, and classes s (M,)."""

    x: Array
    signs: Array


def simulate_queries(
    world: BlockMixture,
    *,
    lambda_teacher: BlockNumbers,
    lambda_student: BlockNumbers,
    groups: Sequence[QueryGroup],
    temperature: Numbers = 1.0,
    start: Numbers = 0.0,
    more_teachers: Sequence[BlockNumbers] = (),
    inputs: int = 1000,
    seeds: int | Sequence[int] = 20,
    workers: int = 2,
) -> QuerySimulation:
    """Teachers and a student on drawn data: the check on :func:`solve_queries`, at one point.

    Args:
        world: Blocks and training inputs; this and the arguments up to ``more_teachers`` as in
            :func:`solve_queries`, but every parameter is one number.
        lambda_teacher: λᵗ by block.
        lambda_student: λˢ by block.
        groups: The inputs that the student learns on.
        temperature: T.
        start: r.
        more_teachers: Penalties of further teachers.
        inputs: N, the number of coordinates.
        seeds: The number of draws, or their seeds.
        workers: Draws that run at once, one thread each, from 500 coordinates on; results do not depend on
            it.

    Raises:
        ConfigError: Lists every argument that is out of range, or is not one number.
        NotConverged: If a minimiser diverges.

    >>> world = BlockMixture(2, 0.5, shares=(0.5, 0.5), signal=(1, 0), variances=(1, 1e-4))
    >>> run = simulate_queries(world, lambda_teacher=(0.3, 1e4), lambda_student=(0.01, 0.01),
    ...     groups=[QueryGroup(2, 1, (1, 1))], inputs=60, seeds=3)
    >>> run.error("student", centre=1, variances=(1, 1)).shape
    (3,)
    """
    asked = Asked(
        world, lambda_teacher, lambda_student, tuple(groups), temperature, start, tuple(more_teachers)
    )
    arrays = asked.arrays("simulate_queries")
    numbers = tuple(range(seeds)) if isinstance(seeds, int) else tuple(seeds)
    counts = {"inputs": inputs, "seeds": len(numbers), "workers": workers}
    faults = [f"{name}: must be at least 1 (got {count})" for name, count in counts.items() if count < 1]
    if arrays["rho"].size != 1:
        faults.append(f"every parameter must be one number (got a grid of {arrays['rho'].size} points)")
    if any(np.isinf(arrays[f"groups[{g}].alpha"]).any() for g in range(len(groups))):
        faults.append("groups: a draw needs a finite alpha")
    if faults:
        raise ConfigError.of("simulate_queries", faults)
    point = _Point(teacher_settings(asked, arrays), student_setting(asked, arrays), inputs)

    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # comes with scikit-learn

    # One BLAS thread per draw: sums then have the same order for any number of workers.
    with threadpool_limits(1), ThreadPoolExecutor(workers if inputs >= THREADED else 1) as pool:
        draws = list(pool.map(point.run, numbers))
    orders = [_stacked([draw[a] for draw in draws]) for a in range(len(draws[0]))]
    products = np.full((len(orders) - 1, *orders[0].overlaps.shape), np.nan)
    for a, order in enumerate(orders[:-1]):
        products[a] = order.overlaps
    return QuerySimulation(asked, tuple(orders[:-1]), orders[-1], products, inputs, numbers)


class _Point:
    """One point, drawn and fitted for each seed."""

    def __init__(self, teachers: list[BlockSetting], student: BlockSetting, inputs: int) -> None:
        self.teachers, self.student, self.inputs = teachers, student, inputs

    def run(self, seed: int) -> list[BlockOrderParameters]:
        """Teachers and student of one draw, without a grid."""
        generator = numpy_generator(seed, "theory", "queries", self.inputs)
        blocks = self._blocks(generator)
        world = self.teachers[0]
        training = self._draw(world, 0, blocks, generator)
        none = np.zeros_like(training.signs)
        weights = [
            self._fit(setting, blocks, [training], [none], np.zeros_like(blocks.start))
            for setting in self.teachers
        ]
        groups = self.student.groups
        drawn = [
            self._draw(self.student, g, blocks, generator) if groups.fresh[g] else training
            for g in range(groups.count)
        ]
        logits = [x.x @ (np.stack(weights, axis=1) @ groups.teachers[g, :, 0]) for g, x in enumerate(drawn)]
        weights.append(self._fit(self.student, blocks, drawn, logits, blocks.start))
        return [self._order(one, weights[:-1], blocks) for one in weights]

    def _blocks(self, generator: np.random.Generator) -> Blocks:
        """Blocks whose rounded sizes sum to N; centre and start have exactly the lengths of the model."""
        shares, signal = self.student.shares[:, 0], self.student.signal[:, 0]
        edges = np.round(np.cumsum(shares) * self.inputs).astype(int)
        # Clipped: shares that sum to a little less than 1 leave the last coordinate beyond the last edge.
        block = np.searchsorted(edges, np.arange(self.inputs), side="right").clip(max=shares.size - 1)
        centre, start = generator.standard_normal((2, self.inputs))
        for k in range(shares.size):
            here = block == k
            for vector, square in ((centre, signal[k]), (start, self.student.start[0] * shares[k])):
                size = np.linalg.norm(vector[here])
                vector[here] *= np.sqrt(square * self.inputs) / size if size else 0.0
        return Blocks(block, centre, start)

    def _draw(self, setting: BlockSetting, g: int, blocks: Blocks, generator: np.random.Generator) -> Inputs:
        """Inputs of a group; exactly round(ρM) of their classes are +1, so that draws differ less."""
        groups = setting.groups
        count = round(float(groups.alpha[g, 0]) * self.inputs)
        ones = round(float(setting.rho[0]) * count)
        signs = generator.permutation(np.where(np.arange(count) < ones, 1.0, -1.0))
        x = np.empty((count, 1 + self.inputs))
        x[:, 0] = 1.0
        x[:, 1:] = generator.standard_normal((count, self.inputs))
        x[:, 1:] *= np.sqrt(groups.variances[g, blocks.block, 0] / self.inputs)
        x[:, 1:] += groups.centre[g, 0] * signs[:, None] * (blocks.centre / self.inputs)
        return Inputs(x, signs)

    def _fit(
        self, setting: BlockSetting, blocks: Blocks, drawn: list[Inputs], logits: list[Array], start: Array
    ) -> Array:
        """The minimiser (1 + N,) over all groups; infinitely penalised weights stay at the start."""
        groups = setting.groups
        x = np.concatenate([one.x for one in drawn])
        signs = np.concatenate([one.signs for one in drawn])
        penalty = setting.penalty[blocks.block, 0]
        free = np.isfinite(penalty)
        columns = np.concatenate([[True], free])
        objective = Objective(
            LOSSES["logistic"],
            penalty[free],
            self._lesson(setting, [one.signs.size for one in drawn]),
            signs
            * np.concatenate([_handed(one, hard) for one, hard in zip(logits, groups.hard, strict=True)]),
            anchor=start[free],
            offset=x[:, ~columns] @ start[~free],
        )
        weights = np.concatenate([[0.0], start])
        weights[columns] = fit(x[:, columns], signs, objective).weights
        return weights

    def _lesson(self, setting: BlockSetting, counts: list[int]) -> Lesson:
        """The lesson of each row; a decision is a very large logit, without temperature."""
        groups = setting.groups
        mix = np.repeat(groups.mix[:, 0], counts)
        tempered = np.repeat([not hard for hard in groups.hard], counts) & (mix > 0)
        return Lesson(mix, np.where(tempered, setting.temperature[0], 1.0), False)

    def _order(self, weights: Array, teachers: list[Array], blocks: Blocks) -> BlockOrderParameters:
        count = self.student.shares.shape[0]

        def by_block(values: Array) -> Array:
            return np.bincount(blocks.block, values, minlength=count) / self.inputs

        w = weights[1:]
        overlaps = np.stack([by_block(w * teacher[1:]) for teacher in teachers])
        return BlockOrderParameters(
            m=by_block(w * blocks.centre),
            q=by_block(w**2),
            v=np.full(count, np.nan),
            b=np.asarray(weights[0]),
            overlap=overlaps[0],
            overlaps=overlaps,
        )


def _handed(logits: Array, hard: bool) -> Array:
    """The logits, or for decisions ±SURE."""
    return np.where(logits > 0, SURE, -SURE) if hard else logits


def _stacked(draws: list[BlockOrderParameters]) -> BlockOrderParameters:
    """The draws on the last axis."""
    names = ("m", "q", "v", "b", "overlap", "overlaps")
    return BlockOrderParameters(
        **{name: np.stack([getattr(one, name) for one in draws], axis=-1) for name in names}
    )
