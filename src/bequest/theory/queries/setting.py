"""Numbers of the theory of queries with the points of a grid on the last axis, length P."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np

from bequest.theory.parameters import Array, Indices
from bequest.theory.queries.world import Asked


@dataclass
class Groups:
    """The inputs that one learner learns on, in G groups.

    ``alpha``, ``centre``, ``mix`` (G, P); ``variances`` (G, K, P); ``teachers`` (G, A, P), the weights of the
    teachers in a group's mean logit. ``hard`` and ``fresh`` say for each group whether decisions are handed
    over, and whether the inputs are different from those that the teacher learnt on.
    """

    alpha: Array
    centre: Array
    variances: Array
    mix: Array
    teachers: Array
    hard: tuple[bool, ...]
    fresh: tuple[bool, ...]

    @property
    def count(self) -> int:
        """The number G of groups of queries."""
        return len(self.hard)

    def taught(self, g: int) -> bool:
        """Whether the teacher's field matters in group ``g`` at any point."""
        return bool((self.mix[g] > 0).any()) or not self.fresh[g]

    def take(self, index: Indices) -> Groups:
        """The points in ``index``."""
        arrays = {name: getattr(self, name)[..., index] for name in ("alpha", "centre", "variances", "mix")}
        return Groups(**arrays, teachers=self.teachers[..., index], hard=self.hard, fresh=self.fresh)


@dataclass
class BlockSetting:
    """One learner's problem: ``shares``, ``signal``, ``penalty`` (K, P), the others (P,)."""

    shares: Array
    signal: Array
    rho: Array
    penalty: Array
    start: Array
    temperature: Array
    groups: Groups

    @property
    def size(self) -> int:
        """The number P of points."""
        return int(self.rho.size)

    def take(self, index: Indices) -> BlockSetting:
        """The points in ``index``."""
        arrays = {f.name: getattr(self, f.name)[..., index] for f in fields(self) if f.name != "groups"}
        return BlockSetting(**arrays, groups=self.groups.take(index))


def teacher_settings(asked: Asked, arrays: Mapping[str, Array]) -> list[BlockSetting]:
    """The setting of each teacher: labels on the training inputs, start at zero."""
    flat = {name: array.ravel() for name, array in arrays.items()}
    rows = _Rows(flat, asked.world.blocks)
    nothing = np.zeros_like(flat["rho"])
    training = Groups(
        alpha=flat["alpha"][None],
        centre=np.ones_like(nothing)[None],
        variances=rows("variances")[None],
        mix=nothing[None],
        teachers=np.zeros((1, 0, nothing.size)),
        hard=(False,),
        # Only of a learner with a teacher can the inputs be that teacher's own.
        fresh=(True,),
    )
    names = ["lambda_teacher", *(f"more_teachers[{a}]" for a in range(len(asked.more_teachers)))]
    return [
        BlockSetting(
            shares=rows("shares"),
            signal=rows("signal"),
            rho=flat["rho"],
            penalty=rows(name),
            start=nothing,
            temperature=np.ones_like(nothing),
            groups=training,
        )
        for name in names
    ]


def student_setting(asked: Asked, arrays: Mapping[str, Array]) -> BlockSetting:
    """The setting of the student with its groups."""
    flat = {name: array.ravel() for name, array in arrays.items()}
    rows, count = _Rows(flat, asked.world.blocks), len(asked.groups)
    size = flat["rho"].size

    def column(name: str) -> Array:
        return np.stack([flat[f"groups[{g}].{name}"] for g in range(count)])

    teachers = len(asked.penalties)
    weights = np.full((count, teachers, size), 1.0 / teachers)
    for g, group in enumerate(asked.groups):
        for a in range(0 if group.teachers is None else len(group.teachers)):
            weights[g, a] = flat[f"groups[{g}].teachers[{a}]"]
    groups = Groups(
        alpha=column("alpha"),
        centre=column("centre"),
        variances=np.stack([rows(f"groups[{g}].variances") for g in range(count)]),
        mix=column("mix"),
        teachers=weights,
        hard=tuple(group.target == "hard" for group in asked.groups),
        fresh=tuple(group.fresh for group in asked.groups),
    )
    return BlockSetting(
        shares=rows("shares"),
        signal=rows("signal"),
        rho=flat["rho"],
        penalty=rows("lambda_student"),
        start=flat["start"],
        temperature=flat["temperature"],
        groups=groups,
    )


class _Rows:
    """Stacks the entries of a tuple by block: (K, P)."""

    def __init__(self, flat: Mapping[str, Array], blocks: int) -> None:
        self.flat, self.blocks = flat, blocks

    def __call__(self, name: str) -> Array:
        return np.stack([self.flat[f"{name}[{k}]"] for k in range(self.blocks)])
