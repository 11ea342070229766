"""What is wrong with a study, all of it at once, before anything runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial

from bequest.data.corruptions import CORRUPTIONS
from bequest.data.datasets import DATASETS, located
from bequest.data.transforms import parse_transform
from bequest.data.views import parse_views
from bequest.distill.combine import parse_combination
from bequest.distill.objectives import parse_objective
from bequest.distill.signals import parse_codec
from bequest.errors import ConfigError, InputError
from bequest.models.catalogue import MODELS, check_options
from bequest.registry import nearest
from bequest.studies.solvable import theory_faults
from bequest.studies.spec import SourceSpec, StudySpec, arm_recipe


def faults_of_study(study: StudySpec) -> Iterator[str]:
    """One line for each thing that is wrong, each beginning with its path."""
    circular = _circle(study)
    if circular:
        yield f"arms: {' and '.join(circular)} teach each other in a circle"
    if study.theory is not None:
        yield from theory_faults(study)
        yield from _claim_faults(study)
        return
    if not study.data.name:
        yield "data: must name a dataset, unless [theory] describes the solvable model"
    elif located(study.data.name)[0] not in DATASETS:
        yield f"data.name: {not_known('dataset', study.data.name, DATASETS)}"
    for name, model in study.models.items():
        yield from _trial(f"models.{name}", partial(check_options, model.family, model.options))
    for name, split in study.splits.items():
        for variant in split.variants:
            yield from _trial(f"splits.{name}", partial(parse_transform, variant))
    for name, sources in study.queries.items():
        yield from _query_faults(name, sources)
    yield from _measure_faults(study)
    for name in study.arms:
        yield from _arm_faults(study, name)
    yield from _claim_faults(study)


def _query_faults(name: str, sources: Sequence[SourceSpec]) -> Iterator[str]:
    total = sum(source.share for source in sources)
    if abs(total - 1) > 1e-6:
        yield f"queries.{name}: shares must sum to 1, not {total:g}"
    for source in sources:
        yield from _trial(f"queries.{name}.views", partial(parse_views, list(source.views)))


def _arm_faults(study: StudySpec, name: str) -> Iterator[str]:
    arm, path = study.arms[name], f"arms.{name}"
    if arm.student not in study.models and arm.student not in MODELS:
        yield f"{path}.student: {not_known('model', arm.student, [*study.models, *MODELS])}"
    for key, value in (("teachers", arm.teachers), ("control", (arm.control,) if arm.control else ())):
        for other in value:
            if other not in study.arms:
                yield f"{path}.{key}: {not_known('arm', other, study.arms)}"
    if arm.queries is not None and arm.queries not in study.queries:
        yield f"{path}.queries: {not_known('queries', arm.queries, study.queries)}"
    if arm.mode == "stored":
        yield from _trial(f"{path}.codec", partial(parse_codec, arm.codec))
        if not arm.teachers:
            yield f"{path}.mode: only the answers of teachers can be stored, and there is none"
    if arm.combine is not None:
        yield from _trial(f"{path}.combine", partial(parse_combination, arm.combine))
    if arm.objective is not None:
        yield from _trial(f"{path}.objective", partial(parse_objective, arm.objective))
    yield from _trial(path, partial(arm_recipe, study, name))


def _claim_faults(study: StudySpec) -> Iterator[str]:
    quoted = [(f"claims.{claim.id}", claim.arm, claim.split) for claim in study.claims]
    quoted += [(f"claims.{c.id}.against", c.against, c.against_split) for c in study.claims if c.against]
    quoted += [(f"claims.{c.id}.teacher", c.teacher, None) for c in study.claims if c.teacher]
    if study.answer is not None:
        quoted += [(f"answer.values.{k}", v.arm, v.split) for k, v in study.answer.values.items()]
    for path, arm, split in quoted:
        if arm not in study.arms:
            yield f"{path}: {not_known('arm', arm, study.arms)}"
        if split is not None and split not in study.splits:
            yield f"{path}: {not_known('split', split, study.splits)}"


def _measure_faults(study: StudySpec) -> Iterator[str]:
    wanted = study.measures
    for name in wanted.corruptions:
        if name not in CORRUPTIONS:
            yield f"measures.corruptions: {not_known('corruption', name, CORRUPTIONS)}"
    for arm in [*wanted.paths, *(arm for pair in wanted.barriers for arm in pair)]:
        if arm not in study.arms:
            yield f"measures: {not_known('arm', arm, study.arms)}"
    yield from _budget_faults(study)
    yield from _efficiency_faults(study)
    for model in wanted.layers:
        if model not in study.models and model not in MODELS:
            yield f"measures.layers: {not_known('model', model, [*study.models, *MODELS])}"
    for first, second in wanted.barriers:
        students = {study.arms[arm].student for arm in (first, second) if arm in study.arms}
        if len(students) > 1:
            yield f"measures.barriers: {first} and {second} are not of one architecture"


def _budget_faults(study: StudySpec) -> Iterator[str]:
    budget = study.measures.budget
    if budget is None:
        return
    if budget.split not in study.splits:
        yield f"measures.budget.split: {not_known('split', budget.split, study.splits)}"
    for line, arms in budget.lines.items():
        for arm in arms:
            if arm not in study.arms:
                yield f"measures.budget.lines.{line}: {not_known('arm', arm, study.arms)}"
            elif not any(source.active for source in study.queries.get(study.arms[arm].queries or "", ())):
                yield f"measures.budget.lines.{line}: {arm} has no active source"


def _efficiency_faults(study: StudySpec) -> Iterator[str]:
    efficiency = study.measures.efficiency
    if efficiency is None:
        return
    if efficiency.split not in study.splits:
        yield f"measures.efficiency.split: {not_known('split', efficiency.split, study.splits)}"
    for line, arms in efficiency.lines.items():
        for arm in arms:
            if arm not in study.arms:
                yield f"measures.efficiency.lines.{line}: {not_known('arm', arm, study.arms)}"
            elif len(study.queries.get(study.arms[arm].queries or "", ())) != 1:
                yield f"measures.efficiency.lines.{line}: {arm} needs queries of one source"


def _circle(study: StudySpec) -> list[str]:
    ordered: set[str] = set()
    waiting = dict(study.arms)
    while True:
        ready = [a for a, s in waiting.items() if {t for t in s.teachers if t in study.arms} <= ordered]
        if not ready:
            return sorted(waiting)
        ordered.update(ready)
        for arm in ready:
            del waiting[arm]


def _trial(path: str, attempt: Callable[[], object]) -> Iterator[str]:
    """The fault that ``attempt`` raises, as lines that begin with ``path``."""
    try:
        attempt()
    except ConfigError as error:
        for fault in error.faults or (str(error),):
            yield f"{path}: {fault}"
    except InputError as error:
        yield f"{path}: {' '.join(str(error).split())}"


def not_known(kind: str, name: str, known: Iterable[str]) -> str:
    """That there is no such name, with the nearest one or all of them."""
    names = sorted(set(known))
    close = nearest(name, names, count=1)
    hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(names) or 'none'}"
    return f"there is no {kind} {name!r}; {hint}"
