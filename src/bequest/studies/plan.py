"""From a study's TOML to the list of cells to run; every fault is found before anything runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from bequest.config import content_hash, merged, read_toml, with_settings
from bequest.errors import ConfigError
from bequest.records import ArmRecord
from bequest.registry import unknown
from bequest.studies.faults import faults_of_study, not_known
from bequest.studies.solvable import settings_of, without_arms
from bequest.studies.spec import ArmSpec, StudySpec, arm_recipe, compared_splits, data_of, model_of
from bequest.studies.starts import start_config

Scale = Literal["smoke", "small", "paper"]
SCALES: tuple[Scale, ...] = ("smoke", "small", "paper")
CELL_FORMAT = 1
"""Part of every cell's id: raise it when the same configuration comes to mean another result."""


@dataclass(frozen=True)
class Cell:
    """One arm at one seed.

    Attributes:
        id: Content hash of everything that decides the result.
        arm: The arm's name in the study.
        seed: The seed.
        config: The arm, resolved.
        needs: Arm names of its teachers to their cells' ids.
        plain: The cell of the same student trained alone; it runs first, but decides nothing.
        start: The cell of the source task whose network this one starts from.
    """

    id: str
    arm: str
    seed: int
    config: dict[str, Any]
    needs: dict[str, str]
    plain: str | None = None
    start: str | None = None

    @property
    def requires(self) -> set[str]:
        """The cells without which it cannot run: its teachers', and that of the network it starts from."""
        return {*self.needs.values(), *([self.start] if self.start else [])}


@dataclass(frozen=True)
class Plan:
    """A checked study at one scale, with its cells in an order in which they can run."""

    study: StudySpec
    scale: str
    resolved: dict[str, Any]
    cells: tuple[Cell, ...]

    @property
    def hash(self) -> str:
        """The content hash of the resolved configuration."""
        return content_hash(self.resolved)

    def cell(self, arm: str, seed: int) -> Cell:
        """The cell of ``arm`` at ``seed``."""
        return next(cell for cell in self.cells if (cell.arm, cell.seed) == (arm, seed))


def bundled() -> list[str]:
    """The names of the studies that come with bequest."""
    root = resources.files("bequest.studies")
    return sorted(
        folder.name.replace("_", "-") for folder in root.iterdir() if (folder / "study.toml").is_file()
    )


def read_study(study: str | Path | Mapping[str, Any]) -> dict[str, Any]:
    """The TOML of a bundled study, or of a file; a study that is given as a table is itself.

    Raises:
        UnknownName: If it is neither.
        ConfigError: If the file is not TOML.
    """
    if isinstance(study, Mapping):
        return dict(study)
    path = Path(study)
    if path.suffix == ".toml" or path.is_file():
        return read_toml(path)
    if str(study) not in bundled():
        error = unknown("study", str(study), bundled())
        error.remedy = f"{error.remedy or 'name a bundled study'} (or give the path of a TOML file)"
        raise error
    folder = resources.files("bequest.studies") / str(study).replace("-", "_")
    return read_toml(Path(str(folder / "study.toml")))


def resolve(
    raw: Mapping[str, Any],
    *,
    scale: str = "small",
    seeds: int | None = None,
    arms: Sequence[str] | None = None,
    settings: Iterable[str] = (),
) -> dict[str, Any]:
    """The configuration of one run: scale, then settings, then seeds and arms laid over ``raw``.

    A scale's ``only`` names the arms that it keeps, with what they need.

    Raises:
        ConfigError: If the scale or an arm is not there.
    """
    base = {key: value for key, value in raw.items() if key != "scales"}
    scales = raw.get("scales", {})
    if scale not in SCALES or (scales and scale not in scales):
        known = [name for name in SCALES if name in scales] or list(SCALES)
        raise ConfigError.of(
            "--scale", [f"{scale!r} is not a scale of this study; known: {', '.join(known)}"]
        )
    resolved = with_settings(merged(base, scales.get(scale, {})), settings)
    arms = arms or resolved.get("only")
    resolved.pop("only", None)
    if seeds is not None:
        resolved["seeds"] = seeds
    if arms:
        resolved = _only(resolved, arms)
    return resolved


def make_plan(resolved: Mapping[str, Any], *, scale: str, where: str = "the study") -> Plan:
    """Check a resolved configuration and expand it into cells.

    Raises:
        ConfigError: Lists every fault at once.
    """
    study = StudySpec.parse(resolved, where)
    faults = list(faults_of_study(study))
    if faults:
        raise ConfigError.of(where, faults)
    order = _in_order(study)
    cells: dict[tuple[str, int], Cell] = {}
    for seed in range(study.seeds):
        for arm in order:
            cells[arm, seed] = _cell(study, arm, seed, cells)
    return Plan(study, scale, dict(resolved), tuple(cells.values()))


def control_of(study: StudySpec, arm: str) -> str | None:
    """The arm that ``arm`` is read against: its own choice, the self-taught one, or the plain one."""
    spec = study.arms[arm]
    if spec.control is not None or not spec.teachers:
        return spec.control
    return self_taught(study, arm) or plain_of(study, spec.student)


def self_taught(study: StudySpec, arm: str) -> str | None:
    """The arm with the same student and queries whose teachers are plain students of the same kind."""
    spec = study.arms[arm]
    for name, other in study.arms.items():
        alike = (other.student, other.queries, other.objective, other.mode) == (
            spec.student,
            spec.queries,
            spec.objective,
            spec.mode,
        )
        teachers = [study.arms[teacher] for teacher in other.teachers]
        if name != arm and alike and teachers and all(t.student == spec.student for t in teachers):
            return name
    return None


def compared(study: StudySpec) -> list[tuple[str, str]]:
    """Arms beside teachers: their own, and those of the arms they control or are the plain form of."""
    found: dict[tuple[str, str], None] = {}
    for arm in shown_arms(study):
        spec, control = study.arms[arm], control_of(study, arm)
        plain = plain_of(study, spec.student)
        for teacher in spec.teachers:
            found[arm, teacher] = None
            if study.arms[teacher].student != spec.student:
                found |= {(who, teacher): None for who in (control, plain) if who}
    return list(found)


def shown_arms(study: StudySpec) -> list[str]:
    """The arms that every table and chart shows."""
    return [name for name, arm in study.arms.items() if arm.shown]


def plain_of(study: StudySpec, student: str, queries: str | None = None) -> str | None:
    """The arm that trains ``student`` on true labels: of the training inputs, or of ``queries``."""
    for name, arm in study.arms.items():
        found = (arm.student, arm.teachers, arm.queries, arm.task)
        if found == (student, (), queries, "target"):
            return name
    return None


def charted_arms(study: StudySpec) -> list[str]:
    """The arms whose curves are drawn."""
    wanted = study.measures.charted
    return [name for name in shown_arms(study) if not wanted or name in wanted]


def arm_records(study: StudySpec) -> tuple[ArmRecord, ...]:
    """The arms as the report shows them."""
    return tuple(_arm_record(study, name, arm) for name, arm in study.arms.items() if arm.shown)


def _arm_record(study: StudySpec, name: str, arm: ArmSpec) -> ArmRecord:
    others = [study.arms[teacher].student for teacher in arm.teachers]
    teaches_others = any(
        name in other.teachers and other.student != arm.student for other in study.arms.values()
    )
    self_teaching = bool(others) and all(student == arm.student for student in others)
    if arm.teachers:
        role: Literal["teacher", "control", "taught"] = "control" if self_teaching else "taught"
    else:
        role = "teacher" if teaches_others else "control"
    return ArmRecord(
        name=name,
        role=role,
        student=arm.student,
        label=arm.label or name,
        teachers=arm.teachers,
        control=control_of(study, name),
        queries=arm.queries,
        objective=_objective_name(arm),
        charted=name in charted_arms(study),
    )


def _objective_name(arm: ArmSpec) -> str:
    if arm.objective is None:
        return "kd" if arm.teachers else "cross_entropy"
    terms = arm.objective if isinstance(arm.objective, list) else [arm.objective]
    return " + ".join(str(term.get("name")) for term in terms)


def _cell(study: StudySpec, arm: str, seed: int, done: Mapping[tuple[str, int], Cell]) -> Cell:
    spec = study.arms[arm]
    if study.theory is not None:
        return _simulated_cell(study, arm, seed)
    needs = {teacher: done[teacher, seed].id for teacher in spec.teachers}
    sources = study.queries[spec.queries] if spec.queries else ()
    config: dict[str, Any] = {
        "student": model_of(study, spec.student).model_dump(mode="json", include={"family", "options"}),
        "objective": spec.objective or {},
        "mode": spec.mode,
        "combine": spec.combine or {},
        "sources": [source.plain() for source in sources],
        "recipe": arm_recipe(study, arm).plain(),
        "data": data_of(study, spec.student).plain(),
        "splits": {name: split.plain() for name, split in study.splits.items()},
        "corruptions": list(study.measures.corruptions),
        "snapshots": arm in study.measures.paths,
    }
    if model_of(study, spec.student).data is not None:
        config["tests"] = study.data.plain()
    if study.measures.corrupted_samples:
        config["corrupted_samples"] = study.measures.corrupted_samples
    if spec.mode == "stored":
        config["codec"] = spec.codec
    start = model_of(study, spec.student).start
    begun = done[start.arm, seed].id if start is not None and start.arm else None
    config |= start_config(study, arm, begun)
    if spec.restart:
        config["restart"] = spec.restart
    if study.measures.splits:
        config["compared"] = compared_splits(study)
    key = {"format": CELL_FORMAT, **config, "teachers": list(needs.values()), "seed": seed}
    plain = plain_of(study, spec.student) or plain_of(study, spec.student, spec.queries)
    alone = done[plain, seed].id if plain and set(spec.teachers) - {plain} else None
    return Cell(content_hash(key), arm, seed, config, needs, alone, begun)


def _simulated_cell(study: StudySpec, arm: str, seed: int) -> Cell:
    """A cell of the solvable model: it draws its own data and teachers, and needs no other."""
    assert study.theory is not None
    config = {
        "settings": [setting.plain() for setting in settings_of(study, arm)],
        "inputs": study.theory.inputs,
        "samples": study.theory.samples,
    }
    return Cell(content_hash({"format": CELL_FORMAT, **config, "seed": seed}), arm, seed, config, {})


def _in_order(study: StudySpec) -> list[str]:
    """Arms such that each comes after its teachers; the checks have excluded circles."""
    ordered: list[str] = []
    waiting = list(study.arms)
    while waiting:
        ready = [arm for arm in waiting if predecessors(study, arm) <= set(ordered)]
        ready.sort(key=lambda arm: bool(study.arms[arm].teachers))  # plain students run first
        ordered += ready
        waiting = [arm for arm in waiting if arm not in ready]
    return ordered


def predecessors(study: StudySpec, arm: str) -> set[str]:
    """The arms whose cells must be there first: teachers, and where the student's network starts from."""
    start = model_of(study, study.arms[arm].student).start
    return {*study.arms[arm].teachers, *([start.arm] if start is not None and start.arm else [])}


def _only(resolved: dict[str, Any], wanted: Sequence[str]) -> dict[str, Any]:
    """The configuration with the arms ``wanted``, what they need, and no claim about others."""
    arms: dict[str, Any] = resolved.get("arms", {})
    missing = [arm for arm in wanted if arm not in arms]
    if missing:
        raise ConfigError.of("--arms", [not_known("arm", arm, arms) for arm in missing])
    kept: list[str] = []
    todo = list(wanted)
    while todo:
        arm = todo.pop()
        if arm not in kept and arm in arms:
            kept.append(arm)
            start = resolved.get("models", {}).get(arms[arm].get("student"), {}).get("start", {})
            others = [arms[arm].get("control"), start.get("arm")]
            todo += [*arms[arm].get("teachers", []), *filter(None, others)]
    claims = [c for c in resolved.get("claims", []) if {c.get("arm"), c.get("against")} <= {*kept, None}]
    answer = resolved.get("answer", {})
    quoted = {value.get("arm") for value in answer.get("values", {}).values()}
    measures = dict(resolved.get("measures", {}))
    measures["paths"] = [arm for arm in measures.get("paths", []) if arm in kept]
    budget = measures.get("budget")
    if budget and not {arm for line in budget.get("lines", {}).values() for arm in line} <= set(kept):
        del measures["budget"]
    measures["charted"] = [arm for arm in measures.get("charted", []) if arm in kept]
    if efficiency := measures.get("efficiency"):
        lines = {name: [arm for arm in line if arm in kept] for name, line in efficiency["lines"].items()}
        measures["efficiency"] = {**efficiency, "lines": {name: line for name, line in lines.items() if line}}
    measures["barriers"] = [pair for pair in measures.get("barriers", []) if set(pair) <= set(kept)]
    arms = {arm: spec for arm, spec in arms.items() if arm in kept}
    if "theory" in resolved:
        resolved = without_arms(resolved, set(kept))
    result = {**resolved, "arms": arms, "claims": claims, "measures": measures}
    if not quoted <= set(kept):
        result.pop("answer", None)
    return result
