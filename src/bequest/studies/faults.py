"""Faults of a study beyond its form: names that do not exist, and parts that do not fit together."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial

from bequest.data.corruptions import CORRUPTIONS
from bequest.data.datasets import DATASETS, located
from bequest.data.outline import OUTLINES, splits_of
from bequest.data.queries import TEACHERS_NEEDED
from bequest.data.views import Identity
from bequest.errors import ConfigError, InputError, UnknownName, at, in_one_line
from bequest.measures import measure_named
from bequest.models.catalogue import MODELS, check_options
from bequest.registry import nearest
from bequest.studies.arms import Arms
from bequest.studies.claim_spec import LABEL
from bequest.studies.solvable import theory_faults
from bequest.studies.source import SourceSpec
from bequest.studies.spec import DataSpec, ModelSpec, SplitSpec, StudySpec
from bequest.studies.starts import weights_digest_at

UNSAFE = re.compile(r"[/\\\x00-\x1f\x7f]")
"""Characters that a name must not contain if it becomes part of a path."""


def faults_of_study(study: StudySpec) -> list[str]:
    """One line per fault, beginning with the path of the value."""
    return list(_faults(study))


def _faults(study: StudySpec) -> Iterator[str]:
    if not study.name.strip(". ") or UNSAFE.search(study.name):
        yield f"name: {study.name!r} cannot name a folder"
    arms = Arms(study)
    if arms.circle:
        yield f"arms: {' and '.join(arms.circle)} teach each other in a circle"
    if study.theory is not None:
        yield from theory_faults(study)
    else:
        yield from _network_faults(study)
        yield from _seed_faults(study, arms)
    yield from _claim_faults(study)


def _seed_faults(study: StudySpec, arms: Arms) -> Iterator[str]:
    for name in study.arms:
        for other in sorted(arms.needed(name) & set(study.arms)):
            seeds, fewer = len(study.seeds_of(name)), len(study.seeds_of(other))
            if fewer < seeds:
                yield f"arms.{other}.seeds: {name} has {seeds} seeds and needs it at each; it has {fewer}"


def _network_faults(study: StudySpec) -> Iterator[str]:
    yield from _data_faults(study)
    for name, model in study.models.items():
        yield from _trial(f"models.{name}", partial(check_options, model.family, model.options))
        yield from _start_faults(study, name, model)
        if model.data is not None and model.data not in study.datasets:
            yield f"models.{name}.data: {not_known('dataset of the study', model.data, study.datasets)}"
        elif model.own_splits:
            yield from _own_splits_faults(study, name, model)
    for name, split in study.splits.items():
        yield from _of_faults(f"splits.{name}", split.of, study.data)
        yield from _split_faults(f"splits.{name}", split)
    # With further datasets the number of samples depends on the arm's student.
    training = None if study.datasets else _training_samples(study.data)
    for name, sources in study.queries.items():
        yield from _query_faults(name, sources, training)
    yield from _measure_faults(study)
    for name in study.arms:
        yield from _arm_faults(study, name)


def _data_faults(study: StudySpec) -> Iterator[str]:
    if not study.data.name:
        yield "data: must name a dataset, unless [theory] describes the solvable model"
    named = {"data": study.data} if study.data.name else {}
    named |= {f"datasets.{name}": spec for name, spec in study.datasets.items()}
    named |= {} if study.source is None else {"source": study.source}
    for path, spec in named.items():
        if located(spec.name)[0] not in DATASETS:
            yield f"{path}.name: {not_known('dataset', spec.name, DATASETS)}"
    for name, arm in study.arms.items():
        if arm.task != "source":
            continue
        if study.source is None:
            yield f"arms.{name}.task: there is no [source] to train on"
        if arm.teachers:
            yield f"arms.{name}: an arm of the source task has no teachers"
        start = study.model(arm.student).start
        if start is not None and start.arm:
            yield f"arms.{name}: an arm of the source task cannot start from another arm"


def _own_splits_faults(study: StudySpec, name: str, model: ModelSpec) -> Iterator[str]:
    """Faults of a model whose splits are made of its own data."""
    if model.data is None:
        yield f"models.{name}.own_splits: the model has no data of its own"
        return
    for split, spec in study.splits.items():
        yield from _of_faults(f"splits.{split}", spec.of, study.datasets[model.data])
    for key, kind in study.measures.kinds.items():
        if kind.on_study_data:
            yield f"models.{name}.own_splits: measures.{key} is read on [data] alone"


def _of_faults(path: str, split: str, data: DataSpec) -> Iterator[str]:
    """The fault that ``data`` has no such split, if that is known without its files."""
    names = splits_of(data.name, data.options)
    if names is not None and split not in names:
        yield f"{path}.of: {not_known('split', split, names)}"


def _split_faults(path: str, split: SplitSpec) -> Iterator[str]:
    if split.corruption is None:
        if split.level is not None:
            yield f"{path}.level: there is no corruption"
        return
    if split.variants:
        yield f"{path}: give variants or a corruption, not both"
    if split.corruption not in CORRUPTIONS:
        yield f"{path}.corruption: {not_known('corruption', split.corruption, CORRUPTIONS)}"
        return
    corruption = CORRUPTIONS[split.corruption]
    highest = len(corruption.levels)
    # Without a level the published one is taken; a corruption that has none either is a fault, hence the + 1.
    if (split.level or corruption.published or highest + 1) > highest:
        yield f"{path}.level: {split.corruption} needs a level of 1..{highest}"


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


def _query_faults(name: str, sources: Sequence[SourceSpec], training: int | None) -> Iterator[str]:
    total = sum(source.share for source in sources)
    if abs(total - 1) > 1e-6:
        yield f"queries.{name}: shares must sum to 1, not {total:g}"
    for place, source in enumerate(sources):
        if source.active is not None:
            plain = isinstance(source.views, Identity)
            samples = source.count or (training if source.of == "train" and _whole(source) else None)
            faults = source.active.faults(plain=plain, view_count=source.view_count, samples=samples)
            yield from (f"queries.{name}.{place}.{fault}" for fault in faults)


def _whole(source: SourceSpec) -> bool:
    """Whether a source uses its whole split."""
    return source.fraction == 1 and source.per_class is None


def _training_samples(data: DataSpec) -> int | None:
    """The number of training samples; None if it is not known without the files."""
    if data.name not in OUTLINES:
        return None
    try:
        return OUTLINES[data.name](**data.options).samples
    except (TypeError, InputError):  # wrong options are reported as faults of the data
        return None


def _arm_faults(study: StudySpec, name: str) -> Iterator[str]:
    arm, path = study.arms[name], f"arms.{name}"
    if arm.student not in study.models and arm.student not in MODELS:
        yield f"{path}.student: {not_known('model', arm.student, [*study.models, *MODELS])}"
    for key, value in (("teachers", arm.teachers), ("control", (arm.control,) if arm.control else ())):
        for other in value:
            if other not in study.arms:
                yield f"{path}.{key}: {not_known('arm', other, study.arms)}"
    for teacher in (study.arms[each] for each in arm.teachers if each in study.arms):
        if study.model(teacher.student).data != study.model(arm.student).data:
            yield f"{path}.teachers: {teacher.student} and {arm.student} are trained on different data"
    yield from _initial_faults(study, name)
    yield from _queried_faults(study, name)
    if arm.queries is not None and arm.queries not in study.queries:
        yield f"{path}.queries: {not_known('table of queries', arm.queries, study.queries)}"
    if arm.mode == "stored" and not arm.teachers:
        yield f"{path}.mode: only the answers of teachers can be stored, and there is none"
    yield from _asking_faults(study, name)
    yield from _trial(path, partial(study.recipe_of, name))


def _initial_faults(study: StudySpec, name: str) -> Iterator[str]:
    """Faults of an arm that is to start with weights of its first teacher."""
    arm, path = study.arms[name], f"arms.{name}.initial"
    if arm.initial is None:
        return
    if not arm.teachers:
        yield f"{path}: there is no teacher whose weights it could take"
        return
    if study.model(arm.student).start is not None:
        yield f"{path}: {arm.student} starts from pretrained weights, so it cannot have its teacher's"
    teacher = study.arms.get(arm.teachers[0])
    if teacher is None:
        return  # reported as an unknown arm
    mine, other = study.model(arm.student), study.model(teacher.student)
    if arm.initial == "teacher's initial weights" and (mine.family, mine.options) != (
        other.family,
        other.options,
    ):
        yield f"{path}: {arm.student} and {teacher.student} are different networks; their weights do not fit"


def _asking_faults(study: StudySpec, name: str) -> Iterator[str]:
    """Faults of queries that the teachers of an arm cannot answer, or that their answers cannot rank."""
    arm = study.arms[name]
    for source in study.queries.get(arm.queries or "", ()):
        needed = TEACHERS_NEEDED.get(source.active.by, 0) if source.active is not None else 0
        if source.active is not None and len(arm.teachers) < needed:
            by, plural = source.active.by, "s" * (needed > 1)
            yield (
                f"arms.{name}.queries: {arm.queries} are chosen by {by}, which needs {needed} "
                f"teacher{plural}, not {len(arm.teachers)}"
            )
        if source.endless and arm.mode == "stored":
            yield f"arms.{name}.mode: inputs that are made for each step cannot be stored; give them a count"


def _queried_faults(study: StudySpec, name: str) -> Iterator[str]:
    """Faults of an arm whose data lack a split that it trains on or asks about."""
    arm = study.arms[name]
    data = study.source if arm.task == "source" else study.datasets.get(study.model(arm.student).data or "")
    for place, source in enumerate(study.queries.get(arm.queries or "", ())):
        yield from _of_faults(f"queries.{arm.queries}.{place}", source.of, data or study.data)


def _claim_faults(study: StudySpec) -> Iterator[str]:
    ids = [claim.id for claim in study.claims]
    for repeated in sorted({name for name in ids if ids.count(name) > 1}):
        yield f"claims.{repeated}: two claims have this id"
    quoted = [(f"claims.{claim.id}", claim.arm, claim.split) for claim in study.claims]
    quoted += [(f"claims.{c.id}.against", c.against, c.against_split) for c in study.claims if c.against]
    quoted += [(f"claims.{c.id}.teacher", c.teacher, None) for c in study.claims if c.teacher]
    measures = {f"claims.{claim.id}.measure": claim.measure for claim in study.claims}
    others = {f"claims.{claim.id}.against_measure": claim.against_measure for claim in study.claims}
    measures |= {path: measure for path, measure in others.items() if measure}
    if study.answer is not None:
        values = study.answer.values.items()
        quoted += [(f"answer.values.{name}", value.arm, value.split) for name, value in values]
        measures |= {f"answer.values.{name}.measure": value.measure for name, value in values}
        yield from _trial("answer.text", partial(_filled_in, study.answer.text, study.answer.values))
    for claim in study.claims:
        for key in sorted(set(LABEL.findall(claim.text)) - {*claim.named_arms}):
            labels = ", ".join(f"{each}.label" for each in claim.named_arms)
            yield f"claims.{claim.id}.text: {{{key}.label}} is not an arm of this claim; known: {labels}"
    for path, arm, split in quoted:
        if arm not in study.arms:
            yield f"{path}: {not_known('arm', arm, study.arms)}"
        if split is not None and split not in study.splits and split not in study.measures.groups:
            yield f"{path}: {not_known('split', split, study.splits)}"
    for path, measure in measures.items():
        yield from measure_faults(path, measure)


def measure_faults(path: str, measure: str) -> Iterator[str]:
    """The fault that a measure does not exist, with the nearest name."""
    try:
        measure_named(measure)
    except UnknownName as error:
        yield f"{path}: {error.message}; {error.remedy or '`bequest ls measures` lists them'}"


def _filled_in(text: str, values: Mapping[str, object]) -> None:
    """Refuse a sentence with an unknown placeholder."""
    try:
        text.format(n=0, **dict.fromkeys(values, ""))
    except (KeyError, IndexError, ValueError) as error:
        raise ConfigError.of(
            "answer.text", [f"{{{error.args[0]}}} is not in [answer.values]; known: n, {', '.join(values)}"]
        ) from None


def _measure_faults(study: StudySpec) -> Iterator[str]:
    wanted = study.measures
    for name in wanted.profile:
        yield from measure_faults("measures.profile", name)
    for name in wanted.charted:
        if name not in study.arms:
            yield f"measures.charted: {not_known('arm', name, study.arms)}"
    yield from _group_faults(study)
    for kind in wanted.kinds.values():
        yield from kind.faults(study)


def _group_faults(study: StudySpec) -> Iterator[str]:
    wanted = study.measures
    for name in (*wanted.splits, *(split for group in wanted.groups.values() for split in group)):
        if name not in study.splits:
            yield f"measures: {not_known('split', name, study.splits)}"
    for name, group in wanted.groups.items():
        if name in study.splits or not group:
            yield f"measures.groups.{name}: expected a name that no split has, and at least one split"


def _trial(path: str, attempt: Callable[[], object]) -> Iterator[str]:
    """The fault that ``attempt`` raises, as lines that begin with ``path``."""
    try:
        attempt()
    except ConfigError as error:
        for fault in error.faults or (str(error),):
            yield at(path, fault)
    except InputError as error:
        yield f"{path}: {in_one_line(error)}"


def not_known(kind: str, name: str, names: Iterable[str]) -> str:
    """The text that a name does not exist, with the nearest name or all of them."""
    names = sorted(set(names))
    close = nearest(name, names, count=1)
    hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(names) or 'none'}"
    return f"there is no {kind} {name!r}; {hint}"
