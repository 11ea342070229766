"""Which part of a study can be measured although some of its readings failed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from bequest.evidence.kind import Kind
from bequest.evidence.kinds import kinds_of, readings_of
from bequest.runs.jobs.schedule import Answer
from bequest.runs.survey import TRAIN, state_of
from bequest.studies.datasets import tested_on
from bequest.studies.plan import Plan
from bequest.studies.spec import StudySpec


@dataclass(frozen=True)
class Measurable:
    """The part of a study that can be measured.

    Attributes:
        plan: The study without splits that could not be made, and kinds of evidence that could not be read.
        without: Ids of the cells that are left out.
        notes: The splits and kinds of evidence that are left out, one sentence each.
    """

    plan: Plan
    without: frozenset[str]
    notes: tuple[str, ...] = ()


def measurable(plan: Plan, root: Path, failed: Mapping[str, Answer]) -> Measurable:
    """Leave out what failed everywhere, and then the cells in which something else failed.

    Args:
        plan: The study.
        root: The run folder.
        failed: The answers of the jobs that failed, by job id.
    """
    untrained = {answer.job.cell.id for answer in failed.values() if answer.job.action == TRAIN}
    unread = {answer.job.cell.id for answer in failed.values()} - untrained
    if not unread:
        return Measurable(plan, frozenset(untrained))
    broken = _broken_splits(plan.study)
    plan = replace(plan, study=plan.study.without_splits(set(broken)))
    read = {
        cell.id: state_of(root, cell, verify=False).readings
        for cell in plan.by_id.values()
        if cell.id not in untrained
    }
    kinds = [kind.key for kind in kinds_of(plan.study) if not kind.always and _unread(kind, plan, read)]
    plan = replace(plan, study=plan.study.without_kinds(kinds))
    wanted = readings_of(plan)
    lacking = {cell_id for cell_id in unread if not read[cell_id].issuperset(wanted.get(cell_id, ()))}
    notes = [f"the split {name!r} could not be made and is left out: {why}" for name, why in broken.items()]
    notes += [f"the evidence {key!r} could not be read and is left out" for key in kinds]
    return Measurable(plan, frozenset(untrained | lacking), tuple(notes))


def _broken_splits(study: StudySpec) -> dict[str, str]:
    """The splits that cannot be made, with the reason."""
    # Tried again, since a failed job's text does not say whether the split or one network was at fault.
    broken = {}
    sources = [study.data, *(study.data_of(name) for name, model in study.models.items() if model.own_splits)]
    for name, spec in study.splits.items():
        try:
            for data in sources:
                tested_on(data, spec)
        except Exception as error:  # a user's transform or corruption may raise anything
            broken[name] = f"{type(error).__name__}: {' '.join(str(error).split())}"
    return broken


def _unread(kind: Kind, plan: Plan, read: Mapping[str, frozenset[str]]) -> bool:
    """Whether one of a kind's questions was answered by no cell at all."""
    answered: dict[str, bool] = {}
    for cell, reading in kind.readings(plan):
        if cell.id in read:
            question = f"{reading.what} {reading.model_dump_json()}"
            is_read = reading.id_for(cell.id) in read[cell.id]
            answered[question] = answered.get(question, False) or is_read
    return not all(answered.values())
