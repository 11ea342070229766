"""The data of the theory of queries: a mixture in blocks of coordinates, and groups of queries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bequest.errors import ConfigError
from bequest.theory.learner import TARGET_NAMES
from bequest.theory.parameters import RANGES, Array, Numbers, Range, checked

BlockNumbers = Sequence[Numbers] | NDArray[Any]
"""One number, or array, for each block."""

_POSITIVE = Range(0, np.inf, False, False)
_NOT_NEGATIVE = Range(0, np.inf, True, False)
_UP_TO_INFINITY = Range(0, np.inf, True, True)

QUERY_RANGES: dict[str, Range] = {
    "alpha": _POSITIVE,
    "rho": RANGES["rho"],
    "shares": Range(0, 1, False, True),
    "signal": Range(0, 1, True, True),
    "variances": _NOT_NEGATIVE,
    "groups.alpha": _UP_TO_INFINITY,
    "groups.centre": Range(-np.inf, np.inf, False, False),
    "groups.variances": _NOT_NEGATIVE,
    "groups.mix": RANGES["mix"],
    "groups.teachers": _NOT_NEGATIVE,
    "lambda_teacher": _UP_TO_INFINITY,
    "more_teachers": _UP_TO_INFINITY,
    "lambda_student": _UP_TO_INFINITY,
    "temperature": _POSITIVE,
    "start": _NOT_NEGATIVE,
    "centre": Range(-np.inf, np.inf, False, False),
}
"""The range of each parameter, by name without indices."""

SUM = 1e-9
"""The most by which sums of shares and of signal may differ from 1."""


@dataclass(frozen=True)
class BlockMixture:
    r"""αN training inputs of a two-cluster mixture whose N coordinates are divided into blocks, N → ∞.

    Block k has a share κ_k of the coordinates and a part π_k of the squared distance of the class centres:
    |v_k|² = π_k N. An input of class s = ±1, +1 with probability ρ, is

    .. math:: x = s v/\sqrt{N} + \sum_k \sqrt{Δ_k} z_k, \qquad z \sim N(0, I).

    Args:
        alpha: Training inputs per coordinate, α > 0.
        rho: P(s = +1), in (0, 1).
        shares: κ by block, in (0, 1]; they sum to 1.
        signal: π by block, in [0, 1]; they sum to 1.
        variances: Δ by block, ≥ 0, of the training inputs.

    Each number may be an array; they broadcast.

    Raises:
        ConfigError: Lists every fault.

    >>> BlockMixture(2, 0.5, shares=(0.5, 0.5), signal=(1, 0), variances=(1, 1e-4)).blocks
    2
    """

    alpha: Numbers
    rho: Numbers
    shares: BlockNumbers
    signal: BlockNumbers
    variances: BlockNumbers

    def __post_init__(self) -> None:
        faults = self._faults()
        if faults:
            raise ConfigError.of("BlockMixture", faults)

    @property
    def blocks(self) -> int:
        """How many blocks there are."""
        return len(self.shares)

    def values(self) -> dict[str, Numbers]:
        """Every number by name, as in ``shares[0]``."""
        return {"alpha": self.alpha, "rho": self.rho} | {
            key: value
            for name in ("shares", "signal", "variances")
            for key, value in by_block(name, getattr(self, name)).items()
        }

    def _faults(self) -> list[str]:
        lengths = [_length(getattr(self, name)) for name in ("shares", "signal", "variances")]
        if None in lengths:
            return ["shares, signal, variances: each must be a tuple with an entry for every block"]
        if len(set(lengths)) > 1 or not lengths[0]:
            shown = ", ".join(map(str, lengths))
            return [f"shares, signal, variances: must have one entry for every block (got {shown} entries)"]
        try:
            arrays = checked("BlockMixture", self.values(), QUERY_RANGES)
        except ConfigError as error:
            return [*error.faults]
        faults = []
        for name in ("shares", "signal"):
            total = np.asarray(sum(arrays[f"{name}[{k}]"] for k in range(self.blocks)))
            wrong = np.abs(total - 1.0) > SUM
            if wrong.any():
                faults.append(f"{name}: must sum to 1 over the blocks (got {total[wrong][0]:g})")
        return faults


@dataclass(frozen=True)
class QueryGroup:
    r"""αN inputs that the student learns on, all of one kind: x = s c v/√N + Σ_k √Δ_k z_k.

    On each the student minimises (1 − χ) CE(y, σ(h)) + χ T² CE(σ(h̄/T), σ(h/T)) with h̄ the teachers' mean
    logit, or CE(1[h̄ > 0], σ(h)) in place of the second where the target is hard.

    Args:
        alpha: Inputs per coordinate, ≥ 0. ``inf`` is allowed if the group varies every block and asks for
            logits only: the student then equals its teacher.
        centre: c: 1 as in training, 0 for noise without a class.
        variances: Δ by block, ≥ 0.
        mix: χ in [0, 1]: 1 for the teachers' answers, 0 for labels.
        target: "soft" or "hard".
        teachers: Weights of the teachers in h̄; default: equal ones.
        fresh: False for the teacher's own training inputs; see :meth:`training`.

    Raises:
        ConfigError: Lists every fault.

    >>> QueryGroup(0.5, centre=0, variances=(1, 1)).mix  # noise
    1.0
    """

    alpha: Numbers
    centre: Numbers
    variances: BlockNumbers
    mix: Numbers = 1.0
    target: str = "soft"
    teachers: BlockNumbers | None = None
    fresh: bool = True

    def __post_init__(self) -> None:
        faults = []
        if self.target not in TARGET_NAMES:
            faults.append(f"target: must be 'soft' or 'hard' (got {self.target!r})")
        for name in ("variances", "teachers"):
            value = getattr(self, name)
            if not (name == "teachers" and value is None) and not _length(value):
                faults.append(f"{name}: must be a tuple of numbers (got {value!r:.40})")
        if not faults:
            values = {f"groups.{name}": value for name, value in self.values().items()}
            try:
                checked("QueryGroup", values, QUERY_RANGES)
            except ConfigError as error:
                faults += [fault.replace("groups.", "") for fault in error.faults]
        if faults:
            raise ConfigError.of("QueryGroup", faults)

    @classmethod
    def training(cls, world: BlockMixture, *, mix: Numbers = 1.0, target: str = "soft") -> QueryGroup:
        """The teacher's own training inputs, with their noise, instead of fresh ones of that kind."""
        return cls(world.alpha, 1.0, world.variances, mix, target, fresh=False)

    def values(self) -> dict[str, Numbers]:
        """Every number by name."""
        teachers = by_block("teachers", () if self.teachers is None else self.teachers)
        numbers = {"alpha": self.alpha, "centre": self.centre, "mix": self.mix}
        return numbers | by_block("variances", self.variances) | teachers


def by_block(name: str, values: BlockNumbers) -> dict[str, Numbers]:
    """Entries of a tuple by indexed name."""
    return {f"{name}[{k}]": value for k, value in enumerate(values)}


def _length(value: Any) -> int | None:
    """The number of entries; None if it is no sequence."""
    if isinstance(value, np.ndarray):
        return len(value) if value.ndim else None
    return len(value) if isinstance(value, Sequence) and not isinstance(value, str) else None


@dataclass(frozen=True)
class Asked:
    """The arguments of a solve or a simulation of queries, checked all at once."""

    world: BlockMixture
    lambda_teacher: BlockNumbers
    lambda_student: BlockNumbers
    groups: tuple[QueryGroup, ...]
    temperature: Numbers = 1.0
    start: Numbers = 0.0
    more_teachers: tuple[BlockNumbers, ...] = ()

    @property
    def penalties(self) -> tuple[BlockNumbers, ...]:
        """The penalties of every teacher, starting with the first."""
        return (self.lambda_teacher, *self.more_teachers)

    def arrays(self, where: str) -> dict[str, Array]:
        """Every number by name, in one common shape.

        Raises:
            ConfigError: Lists every fault.
        """
        faults = self._faults()
        values: dict[str, Numbers] = dict(self.world.values())
        values |= {"temperature": self.temperature, "start": self.start}
        for name in ("lambda_teacher", "lambda_student"):
            if _length(getattr(self, name)):
                values |= by_block(name, getattr(self, name))
        for a, penalties in enumerate(self.more_teachers):
            values |= by_block(f"more_teachers[{a}]", penalties) if _length(penalties) else {}
        for g, group in enumerate(self.groups):
            values |= {f"groups[{g}].{name}": value for name, value in group.values().items()}
        try:
            arrays = checked(where, values, QUERY_RANGES)
        except ConfigError as error:
            raise ConfigError.of(where, [*faults, *error.faults]) from None
        if not faults:
            faults = self._mismatches(arrays)
        if faults:
            raise ConfigError.of(where, faults)
        return arrays

    def _faults(self) -> list[str]:
        """The faults in the numbers of blocks, groups and teachers."""
        blocks, teachers = self.world.blocks, len(self.penalties)
        faults = [] if self.groups else ["groups: must have at least one group of inputs to learn on"]
        tuples = {"lambda_teacher": self.lambda_teacher, "lambda_student": self.lambda_student}
        tuples |= {f"more_teachers[{a}]": penalties for a, penalties in enumerate(self.more_teachers)}
        tuples |= {f"groups[{g}].variances": group.variances for g, group in enumerate(self.groups)}
        for name, entries in tuples.items():
            if _length(entries) != blocks:
                faults.append(f"{name}: must have an entry for each of {blocks} blocks (got {entries!r:.40})")
        for g, group in enumerate(self.groups):
            if group.teachers is not None and len(group.teachers) != teachers:
                faults.append(
                    f"groups[{g}].teachers: must weigh {teachers} teachers (got {len(group.teachers)})"
                )
            if not group.fresh and teachers > 1:
                faults.append(f"groups[{g}].fresh: the training inputs can be a group of one teacher's only")
        if sum(not group.fresh for group in self.groups) > 1:
            faults.append("groups: the training inputs can be one group only")
        return faults

    def _mismatches(self, arrays: Mapping[str, Array]) -> list[str]:
        """The faults of numbers that do not fit each other."""
        faults = []
        blocks = range(self.world.blocks)
        total = np.asarray(sum(arrays[f"groups[{g}].alpha"] for g in range(len(self.groups))))
        if not (total > 0).all():
            faults.append("groups: must have inputs (alpha is 0 in all of them)")
        for g, group in enumerate(self.groups):
            name = f"groups[{g}]"
            if group.teachers is not None:
                weight = sum(arrays[f"{name}.teachers[{a}]"] for a in range(len(group.teachers)))
                if (np.abs(np.asarray(weight) - 1.0) > SUM).any():
                    faults.append(f"{name}.teachers: weights must sum to 1")
            fits = [arrays[f"{name}.variances[{k}]"] == arrays[f"variances[{k}]"] for k in blocks]
            fits += [arrays[f"{name}.alpha"] == arrays["alpha"], arrays[f"{name}.centre"] == 1.0]
            if not group.fresh and not np.all(fits):
                faults.append(f"{name}: the training inputs have the world's alpha and variances, centre 1")
            # Endless inputs are solved as one case only: the student equals its teachers (`copies`).
            endless = np.isinf(arrays[f"{name}.alpha"])
            everywhere = np.all([arrays[f"{name}.variances[{k}]"] > 0 for k in blocks], axis=0)
            movable = np.all([np.isfinite(arrays[f"lambda_student[{k}]"]) for k in blocks], axis=0)
            whole = everywhere & movable & (arrays[f"{name}.mix"] == 1.0)
            if (endless & ~whole).any() or (endless.any() and (group.target == "hard" or not group.fresh)):
                faults.append(
                    f"{name}.alpha: may be inf only for fresh inputs that vary every block and ask for logits"
                )
        return faults
