"""A checked study as a list of cells, in an order in which they can be trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from bequest.config import content_hash
from bequest.errors import ConfigError
from bequest.measures import BY_NAME
from bequest.parts import digests, part_of
from bequest.studies.arms import Arms
from bequest.studies.cell import Cell, CellConfig, NetworkSpec, SimulationConfig, cell_id
from bequest.studies.datasets import look_again, used_parts
from bequest.studies.faults import faults_of_study
from bequest.studies.parsing import MISSING, parse_study
from bequest.studies.solvable import model_points
from bequest.studies.spec import StudySpec
from bequest.studies.starts import start_digest

MEASURING_FORMAT = 1
"""Part of every measuring key: raise it when a change of the code changes measurements or curves."""

FOR_READERS = ("title", "question", "answer", "claims", "resources")
"""Keys of a study that no measurement depends on."""

MEASURING = (
    "property",
    "likeness",
    "likeness of representations",
    "kind of evidence",
    "measure",
    "corruption",
)
"""Kinds of parts that decide measurements and no training."""


@dataclass(frozen=True)
class Plan:
    """A checked study at one scale, with its cells.

    Attributes:
        study: The specification.
        scale: The scale, such as ``smoke``, ``small`` or ``paper``.
        resolved: The configuration as plain values.
        cells: Each comes after those that it needs.
    """

    study: StudySpec
    scale: str
    resolved: dict[str, Any]
    cells: tuple[Cell, ...]

    @property
    def hash(self) -> str:
        """The content hash of the resolved configuration."""
        return content_hash(self.resolved)

    @property
    def measuring_key(self) -> str:
        """A hash of everything that decides the measurements and curves."""
        measured = {key: value for key, value in self.resolved.items() if key not in FOR_READERS}
        cells = [cell.id for cell in self.cells]
        key = [MEASURING_FORMAT, measured, cells, digests(MEASURING)]
        # Claims decide no measurement, but for measures that are computed only where something names them.
        for_claims = (self.study.named_measures & BY_NAME) - {*self.study.measures.profile}
        return content_hash([*key, sorted(for_claims)] if for_claims else key)

    @cached_property
    def arms(self) -> Arms:
        """The arms in relation to each other."""
        return Arms(self.study)

    @property
    def seeds(self) -> range:
        """The seeds of the arm that has the most."""
        return self.study.seed_range

    def seeds_of(self, arm: str) -> range:
        """The seeds of ``arm``."""
        return self.study.seeds_of(arm)

    def cell(self, arm: str, seed: int) -> Cell:
        """The cell of ``arm`` at ``seed``."""
        return self._by_arm_and_seed[arm, seed]

    @cached_property
    def by_id(self) -> dict[str, Cell]:
        """The cells by id; arms with the same training share a cell, which has the first one's name."""
        cells: dict[str, Cell] = {}
        for cell in self.cells:
            cells.setdefault(cell.id, cell)
        return cells

    @cached_property
    def _by_arm_and_seed(self) -> dict[tuple[str, int], Cell]:
        return {(cell.arm, cell.seed): cell for cell in self.cells}


def make_plan(resolved: Mapping[str, Any], *, scale: str, where: str = "the study") -> Plan:
    """Check a resolved configuration and expand it into cells.

    Raises:
        ConfigError: Lists every fault at once.
    """
    look_again()  # a long-lived process may plan again after files have changed
    study, faults = parse_study(resolved)
    if study is not None:
        semantic = faults_of_study(study)
        # A placeholder's name leads nowhere, but its fault is already that the value is missing.
        faults += [fault for fault in semantic if MISSING not in fault]
    if faults or study is None:
        raise ConfigError.of(where, list(dict.fromkeys(faults)))
    arms = Arms(study)
    study = study.model_copy(update={"claims": tuple(each.worded(arms.labels) for each in study.claims)})
    cells: dict[tuple[str, int], Cell] = {}
    configs: dict[tuple[str, str | None], CellConfig] = {}  # cells of one arm share theirs
    for seed in study.seed_range:
        for arm in (arm for arm in arms.order if seed in study.seeds_of(arm)):
            cells[arm, seed] = _cell(study, arms, arm, seed, cells, configs)
    return Plan(study, scale, dict(resolved), tuple(cells.values()))


def with_seeds(plan: Plan, seeds: Mapping[str, int]) -> Plan:
    """The same study with another number of seeds for some arms.

    Args:
        plan: The study.
        seeds: The number of seeds of some arms; the others stay as they are.

    Raises:
        ConfigError: If an arm has more seeds than one that it needs.
    """
    arms = {name: dict(table) for name, table in plan.resolved["arms"].items()}
    for arm, count in seeds.items():
        # The study's own number is not written out, so that an unchanged arm leaves the plan's hash as it is.
        arms[arm].pop("seeds", None)
        arms[arm] |= {"seeds": count} if count != plan.study.seeds else {}
    return make_plan({**plan.resolved, "arms": arms}, scale=plan.scale, where=plan.study.name)


def _cell(
    study: StudySpec,
    arms: Arms,
    arm: str,
    seed: int,
    earlier: Mapping[tuple[str, int], Cell],
    configs: dict[tuple[str, str | None], CellConfig],
) -> Cell:
    if study.theory is not None:
        return _simulated_cell(study, arm, seed)
    spec = study.arms[arm]
    teachers = {teacher: earlier[teacher, seed].id for teacher in spec.teachers}
    start = study.model(spec.student).start
    started_from = earlier[start.arm, seed].id if start is not None and start.arm else None
    if (arm, started_from) not in configs:
        configs[arm, started_from] = _training_config(study, arms, arm, started_from)
    config = configs[arm, started_from]
    plain = arms.plain_cell_arm(arm)
    return Cell(
        cell_id(config, teachers, seed),
        arm,
        seed,
        config,
        teachers,
        earlier[plain, seed].id if plain and seed in study.seeds_of(plain) else None,
        started_from,
        earlier[spec.teachers[0], seed] if spec.initial else None,
    )


def _training_config(study: StudySpec, arms: Arms, arm: str, started_from: str | None) -> CellConfig:
    spec = study.arms[arm]
    model = study.model(spec.student)
    of_source_task = spec.task == "source" and study.source is not None
    start = None if of_source_task else model.start
    config = CellConfig(
        student=NetworkSpec(family=model.family, options=model.options),
        data=study.source if of_source_task and study.source else study.data_of(spec.student),
        recipe=study.recipe_of(arm),
        objective=arms.objective(arm),
        sources=study.sources_of(arm),
        mode=spec.mode,
        combine=spec.combine,
        codec=spec.codec if spec.mode == "stored" else None,
        task=spec.task,
        start=start,
        start_digest=started_from or (start_digest(start) if start else None),
        restart=spec.restart,
        initial=spec.initial,
    )
    return config.model_copy(update={"parts": _parts_of(config)})


def _parts_of(config: CellConfig) -> dict[str, str]:
    """The digests of the user's parts that decide how a cell is trained."""
    named = [("model", config.student.family), ("optimizer", config.recipe.optimizer)]
    for kind, value in (
        ("objective", config.objective),
        ("combination", config.combine),
        ("codec", config.codec),
        ("schedule", config.recipe.schedule),
        *(("view", source.views) for source in config.sources),
        *(("view", source.student_views) for source in config.sources),
        *(("generator", source.generate) for source in config.sources),
    ):
        named += [(kind, name) for name in _names_in(value.spec() if value is not None else None)]
    parts = {part for kind, name in named if (part := part_of(kind, name)) is not None}
    digests = {f"{part.kind} {part.name}": part.digest for part in parts} | used_parts(config.data)
    return dict(sorted(digests.items()))


def _names_in(spec: Any) -> list[str]:
    """Every ``name`` in a variant's specification, including those of its parts."""
    if isinstance(spec, Mapping):
        names = [str(spec["name"])] if "name" in spec else []
        return names + [name for value in spec.values() for name in _names_in(value)]
    return [name for item in spec for name in _names_in(item)] if isinstance(spec, list) else []


def _simulated_cell(study: StudySpec, arm: str, seed: int) -> Cell:
    """A cell of the solvable model: it draws its own data and teachers, and needs no other."""
    assert study.theory is not None
    config = SimulationConfig(
        points=tuple(point.plain() for point in model_points(study, arm)),
        inputs=study.theory.inputs,
        samples=study.theory.samples,
    )
    return Cell(cell_id(config, {}, seed), arm, seed, config)
