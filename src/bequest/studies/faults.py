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
from bequest.distill.stores import parse_codec
from bequest.errors import ConfigError, InputError
from bequest.models.catalogue import MODELS, check_options
from bequest.registry import nearest
from bequest.studies.solvable import theory_faults
from bequest.studies.spec import (
    BudgetSpec,
    EfficiencySpec,
    ModelSpec,
    SourceSpec,
    SplitSpec,
    StudySpec,
    arm_recipe,
    model_of,
)
from bequest.studies.starts import weights_digest_at


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
    yield from _source_faults(study)
    for name, spec in study.datasets.items():
        if located(spec.name)[0] not in DATASETS:
            yield f"datasets.{name}.name: {not_known('dataset', spec.name, DATASETS)}"
    for name, model in study.models.items():
        yield from _trial(f"models.{name}", partial(check_options, model.family, model.options))
        yield from _start_faults(study, name, model)
        if model.data is not None and model.data not in study.datasets:
            yield f"models.{name}.data: {not_known('dataset of the study', model.data, study.datasets)}"
    for name, split in study.splits.items():
        yield from _split_faults(f"splits.{name}", split)
    for name, sources in study.queries.items():
        yield from _query_faults(name, sources)
    yield from _measure_faults(study)
    for name in study.arms:
        yield from _arm_faults(study, name)
    yield from _claim_faults(study)


def _split_faults(path: str, split: SplitSpec) -> Iterator[str]:
    for variant in split.variants:
        yield from _trial(path, partial(parse_transform, variant))
    if split.corruption is None:
        if split.level is not None:
            yield f"{path}.level: there is no corruption"
        return
    if split.variants:
        yield f"{path}: give variants or a corruption, not both"
    if split.corruption not in CORRUPTIONS:
        yield f"{path}.corruption: {not_known('corruption', split.corruption, CORRUPTIONS)}"
        return
    known = CORRUPTIONS[split.corruption]
    if (split.level or known.published or len(known.levels) + 1) > len(known.levels):
        yield f"{path}.level: {split.corruption} needs a level of 1..{len(known.levels)}"


def _source_faults(study: StudySpec) -> Iterator[str]:
    if study.source is not None and located(study.source.name)[0] not in DATASETS:
        yield f"source.name: {not_known('dataset', study.source.name, DATASETS)}"
    for name, arm in study.arms.items():
        if arm.task == "source" and study.source is None:
            yield f"arms.{name}.task: there is no [source] to train on"
        if arm.task == "source" and arm.teachers:
            yield f"arms.{name}: an arm of the source task has no teachers"
        start = model_of(study, arm.student).start
        if arm.task == "source" and start is not None and start.arm:
            yield f"arms.{name}: an arm of the source task starts from no other"


def _start_faults(study: StudySpec, name: str, model: ModelSpec) -> Iterator[str]:
    start = model.start
    if start is None:
        return
    if start.weights is not None:
        yield from _trial(f"models.{name}.start", partial(weights_digest_at, start.weights))
    elif start.arm not in study.arms:
        yield f"models.{name}.start: {not_known('arm', str(start.arm), study.arms)}"
    elif study.arms[start.arm].task != "source":
        yield f"models.{name}.start: the arm {start.arm} is not of the source task"


def _query_faults(name: str, sources: Sequence[SourceSpec]) -> Iterator[str]:
    total = sum(source.share for source in sources)
    if abs(total - 1) > 1e-6:
        yield f"queries.{name}: shares must sum to 1, not {total:g}"
    for source in sources:
        for views in (source.views, source.student_views):
            yield from _trial(f"queries.{name}.views", partial(parse_views, list(views)))


def _arm_faults(study: StudySpec, name: str) -> Iterator[str]:
    arm, path = study.arms[name], f"arms.{name}"
    if arm.student not in study.models and arm.student not in MODELS:
        yield f"{path}.student: {not_known('model', arm.student, [*study.models, *MODELS])}"
    for key, value in (("teachers", arm.teachers), ("control", (arm.control,) if arm.control else ())):
        for other in value:
            if other not in study.arms:
                yield f"{path}.{key}: {not_known('arm', other, study.arms)}"
    for teacher in (study.arms[each] for each in arm.teachers if each in study.arms):
        if model_of(study, teacher.student).data != model_of(study, arm.student).data:
            yield f"{path}.teachers: {teacher.student} and {arm.student} are trained on different data"
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
        if split is not None and split not in study.splits and split not in study.measures.groups:
            yield f"{path}: {not_known('split', split, study.splits)}"


def _measure_faults(study: StudySpec) -> Iterator[str]:
    wanted = study.measures
    for name in wanted.corruptions:
        if name not in CORRUPTIONS:
            yield f"measures.corruptions: {not_known('corruption', name, CORRUPTIONS)}"
    for arm in [*wanted.paths, *wanted.charted, *(arm for pair in wanted.barriers for arm in pair)]:
        if arm not in study.arms:
            yield f"measures: {not_known('arm', arm, study.arms)}"
    yield from _group_faults(study)
    yield from _budget_faults(study)
    yield from _efficiency_faults(study)
    for model in wanted.layers:
        if model not in study.models and model not in MODELS:
            yield f"measures.layers: {not_known('model', model, [*study.models, *MODELS])}"
    for first, second in wanted.barriers:
        students = {study.arms[arm].student for arm in (first, second) if arm in study.arms}
        if len(students) > 1:
            yield f"measures.barriers: {first} and {second} are not of one architecture"
        elif any(model_of(study, student).data is not None for student in students):
            yield f"measures.barriers: {first} is trained on other data than the splits have"


def _group_faults(study: StudySpec) -> Iterator[str]:
    wanted = study.measures
    for name in (*wanted.splits, *(split for group in wanted.groups.values() for split in group)):
        if name not in study.splits:
            yield f"measures: {not_known('split', name, study.splits)}"
    for name, group in wanted.groups.items():
        if name in study.splits or not group:
            yield f"measures.groups.{name}: expected a name that no split has, and a split or more"


def _budget_faults(study: StudySpec) -> Iterator[str]:
    def fault(arm: str) -> str | None:
        sources = study.queries.get(study.arms[arm].queries or "", ())
        return None if any(source.active for source in sources) else "has no active source"

    return _chart_faults(study, "measures.budget", study.measures.budget, fault)


def _efficiency_faults(study: StudySpec) -> Iterator[str]:
    def fault(arm: str) -> str | None:
        sources = study.queries.get(study.arms[arm].queries or "", (None,))
        return None if len(sources) == 1 else "needs queries of one source"

    return _chart_faults(study, "measures.efficiency", study.measures.efficiency, fault)


def _chart_faults(
    study: StudySpec, path: str, chart: BudgetSpec | EfficiencySpec | None, fault: Callable[[str], str | None]
) -> Iterator[str]:
    """What is wrong with a chart of lines of arms; ``fault`` says what an arm lacks to stand on it."""
    if chart is None:
        return
    if chart.split not in study.splits:
        yield f"{path}.split: {not_known('split', chart.split, study.splits)}"
    for line, arms in chart.lines.items():
        for arm in arms:
            if arm not in study.arms:
                yield f"{path}.lines.{line}: {not_known('arm', arm, study.arms)}"
            elif lacking := fault(arm):
                yield f"{path}.lines.{line}: {arm} {lacking}"


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
