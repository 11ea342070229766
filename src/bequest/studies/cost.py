"""The cost of a study before it runs: steps, parameters, memory and time of every arm."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import nn

from bequest.data.outline import Outline, outline_of
from bequest.data.views import Identity
from bequest.models.catalogue import build_model, token_options
from bequest.models.workload import Workload, workload_of
from bequest.studies.cell import Cell, CellConfig, NetworkSpec
from bequest.studies.plan import Plan

ROWS = 2
NUMBER = 4
"""Bytes of a float32."""

HELD = 4
"""Numbers in memory per parameter: itself, its gradient, and Adam's two moments."""

PASSES = 3
"""Cost of a training step in forward passes: the backward pass counts as two."""

GPU_FLOPS = 8e12
GPU_KERNEL = 6e-6
GPU_STEP = 5e-4
"""Seconds of every step besides its kernels: batch, loss, optimizer."""

ASSUMED = (
    f"GPU hours assume {GPU_FLOPS / 1e12:g} TFLOP/s in float32, {GPU_KERNEL * 1e6:g} µs per kernel and "
    f"{GPU_STEP * 1e3:g} ms a step besides, one cell at a time; training only, without evaluation"
)


@dataclass(frozen=True)
class ArmCost:
    """The cost of an arm's cells; numbers are those of one cell.

    Attributes:
        arm: The arm.
        cells: How many cells it has: one per seed.
        steps: Optimizer steps.
        parameters: Trainable parameters of the student.
        state: The same with the running statistics of normalisation.
        flops: Floating point operations of the student and its teachers, over all steps.
        memory: Bytes of weights, gradients, moments, saved activations, and the teachers.
        gpu_hours: Hours on a GPU, under the assumptions of :data:`ASSUMED`.
    """

    arm: str
    cells: int
    steps: int
    parameters: int
    state: int
    flops: float
    memory: int
    gpu_hours: float


def study_cost(plan: Plan) -> list[ArmCost]:
    """The cost of every arm of ``plan``, in the order in which they run; nothing is trained.

    Raises:
        DataError: If the dataset must be loaded to know its size, and is absent.
        ModelError: If a network cannot be built.
    """
    if plan.study.theory is not None:
        return []  # a simulation has no network to count
    first = {cell.arm: cell for cell in plan.cells if cell.seed == plan.seeds[0]}
    sizes: dict[str, _Sizes] = {}
    for cell in first.values():
        data = cell.training.data
        if repr(data) not in sizes:
            sizes[repr(data)] = _Sizes(outline_of(data.name, data.options))
    by_arm = {arm: sizes[repr(cell.training.data)] for arm, cell in first.items()}
    return [_arm_cost(cell, first, by_arm[arm], len(plan.seeds_of(arm))) for arm, cell in first.items()]


class _Sizes:
    """Workloads by network; each is counted once."""

    def __init__(self, outline: Outline) -> None:
        self.outline = outline
        self._workloads: dict[str, Workload] = {}

    @cached_property
    def inputs(self) -> torch.Tensor:
        """A few inputs of the shape and type of the dataset."""
        shape = (ROWS, *self.outline.input_shape)
        return torch.ones(shape, dtype=getattr(torch, self.outline.kind))

    def of(self, student: NetworkSpec) -> Workload:
        """The workload of a network of that architecture."""
        key, data, family = repr(student), self.outline, student.family
        if key not in self._workloads:
            options = {**token_options(family, data, data.vocabulary), **student.options}
            model: nn.Module = build_model(family, data.input_shape, data.classes, seed=0, **options)
            self._workloads[key] = workload_of(model, self.inputs)
        return self._workloads[key]


def _arm_cost(cell: Cell, first: Mapping[str, Cell], sizes: _Sizes, seeds: int) -> ArmCost:
    config, recipe = cell.training, cell.training.recipe
    student = sizes.of(config.student)
    teachers = [sizes.of(first[arm].training.student) for arm in cell.teachers]
    samples = sizes.outline.samples
    steps = recipe.total_steps(samples)
    rows = steps * recipe.batch
    # An online teacher is trained in every step, others only answer.
    learns = PASSES if config.mode == "online" else 1
    asked = float(rows) if config.mode in ("online", "noisy") else _asked(config, rows, samples)
    flops = PASSES * student.flops * rows + sum(learns * teacher.flops * asked for teacher in teachers)
    kernels: float = steps * PASSES * recipe.accumulate * student.kernels
    kernels += sum(learns * teacher.kernels for teacher in teachers) * asked / recipe.batch
    # With accumulation only one piece of the batch keeps its activations at a time.
    memory = NUMBER * HELD * student.parameters + student.saved * (recipe.batch // recipe.accumulate)
    memory += sum(NUMBER * (HELD if learns > 1 else 1) * teacher.state for teacher in teachers)
    memory += sum(teacher.saved * recipe.batch for teacher in teachers if learns > 1)
    hours = (flops / GPU_FLOPS + kernels * GPU_KERNEL + steps * GPU_STEP) / 3600
    return ArmCost(
        cell.arm, seeds, steps, student.parameters, student.state, float(flops), int(memory), hours
    )


def _asked(config: CellConfig, rows: int, samples: int) -> float:
    """Rows that a teacher answers: each of finitely many views once, otherwise every row."""
    total = 0.0
    for source in config.sources:
        shown = rows * source.share
        views = source.view_count or (1 if isinstance(source.views, Identity) else None)
        pool = samples if source.count is None else source.count
        total += shown if views is None or source.endless else min(shown, pool * views)
    return total
