"""One student: trained alone, or distilled. The public way into the engine."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from bequest.config import content_hash
from bequest.data.batches import AnySource, Source
from bequest.data.datasets import Dataset, Split, as_dataset, as_pool
from bequest.data.queries import ActiveSpec, Generated
from bequest.data.views import Identity, View
from bequest.distill.checkpoint import checkpointing
from bequest.distill.devices import Device
from bequest.distill.lesson import Lesson, record_of
from bequest.distill.objectives import KD, CrossEntropy, Objective
from bequest.distill.recipe import Recipe
from bequest.distill.score import Scores, predict, score
from bequest.distill.signal import Answers, Combine
from bequest.distill.stores.store import SignalStore
from bequest.distill.teachers import AnyTeacher, Teacher
from bequest.errors import InputError
from bequest.models.catalogue import build_for
from bequest.models.network_checks import explained
from bequest.records import RunRecord
from bequest.seeding import derive


@dataclass
class Fitted:
    """A trained student with the record of its training.

    Attributes:
        model: The network, in eval mode, with the selected epoch's weights.
        record: What was asked and what came of it.
        history: One row a look at the validation split.
        data: What it was trained on.
    """

    model: nn.Module
    record: RunRecord
    history: list[Scores]
    data: Dataset

    def logits(self, x: Any) -> Tensor:
        """Logits (N, C) in eval mode.

        Raises:
            ModelError: If the network does not take ``x``.
        """
        inputs = x if isinstance(x, Tensor) else as_pool(x).x
        with explained(self.model, inputs):
            return predict(self.model, inputs, padding=self.data.padding)

    def score(self, split: str | Split = "test") -> Scores:
        """Accuracy in [0, 1] and NLL in nats on a split of the data, or on another split."""
        chosen = self.data[split] if isinstance(split, str) else split
        return score(self.model, chosen, padding=self.data.padding)


def fit(
    model: str | nn.Module,
    data: Any,
    *,
    seed: int = 0,
    recipe: Recipe | None = None,
    objective: Objective | None = None,
    views: View | None = None,
    checkpoint: str | Path | None = None,
    device: Device | None = None,
    **options: Any,
) -> Fitted:
    """Train a network on true labels.

    Args:
        model: A catalogue name, or a network; a network is copied, never changed.
        data: See :func:`bequest.load_dataset` and :func:`bequest.data.datasets.as_dataset`.
        seed: Seeds initial weights, order, views and dropout.
        recipe: The loop.
        objective: Default: cross-entropy.
        views: How the training images are shown; default: as they are.
        checkpoint: A file to keep the state of the run in; the same call goes on from there.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``; default: where the network is.
        **options: Fields of the recipe, such as ``epochs=10``.

    Raises:
        InputError: If anything does not fit, before the first step.

    >>> import bequest as bq
    >>> fitted = bq.fit("mlp", "digits", epochs=1)
    >>> sorted(fitted.score("test"))
    ['accuracy', 'nll']
    """
    dataset = as_dataset(data)
    lesson = Lesson(
        _student(model, dataset, seed, taught=False),
        dataset,
        (Source("train", dataset["train"], views or Identity()),),
        objective or CrossEntropy(),
        _recipe(recipe, options),
        seed,
        padding=dataset.padding,
        device=device,
    )
    return _fitted(lesson, _name_of(model), checkpoint)


def distill(
    student: str | nn.Module,
    data: Any,
    *,
    teachers: Sequence[Fitted | AnyTeacher | nn.Module] = (),
    signal: SignalStore | Answers | None = None,
    objective: Objective | None = None,
    combine: Combine | None = None,
    views: View | None = None,
    view_count: int | None = None,
    queries: Any = None,
    active: ActiveSpec | None = None,
    seed: int = 0,
    recipe: Recipe | None = None,
    checkpoint: str | Path | None = None,
    device: Device | None = None,
    **options: Any,
) -> Fitted:
    """Train a student on what its teachers answer.

    Args:
        student: A catalogue name, or a network; a network is copied, never changed.
        data: See :func:`fit`. Its training inputs are the queries unless ``queries`` are given.
        teachers: Fitted models, networks or :class:`bequest.distill.teachers.Teacher`, which are only ever
            asked, or :class:`bequest.distill.online.OnlineTeacher`.
        signal: A store of answers instead of teachers; the student trains on its views of the data's inputs,
            or of ``queries``.
        objective: Default: ``KD(temperature=4)``.
        combine: How the logits of several teachers become one; see :mod:`bequest.distill.combine`.
        views: How the queries are shown; default: as they are.
        view_count: How many views there are; default: a new one each pass.
        queries: What to ask about instead of the training inputs: an unlabelled pool (arrays or a dataset),
            a generator ``generate(rows, generator)`` of inputs, or a sequence of
            :class:`bequest.data.queries.Source` and :class:`bequest.data.queries.Generated` for a mixture.
        active: Ask only about the most telling part of the queries, chosen in rounds.
        seed: Seeds initial weights, order, views and dropout.
        recipe: The loop.
        checkpoint: A file to keep the state of the run in; the same call goes on from there.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``; default: where the network is.
        **options: Fields of the recipe.

    Raises:
        InputError: If anything does not fit, before the first step.
        TeacherChanged: If a teacher's parameters or buffers moved.
    """
    objective = objective or KD(temperature=4.0)
    if (teachers and signal is not None) or not (teachers or signal or not objective.needs_teacher):
        raise InputError("distill needs teachers or a signal", expected="exactly one of them")
    dataset = as_dataset(data)
    with ExitStack() as borrowed:
        asked = [_borrowed(teacher, index, borrowed) for index, teacher in enumerate(teachers)]
        labelled = objective.needs_labels or any(teacher.learns for teacher in asked)
        lesson = Lesson(
            _student(student, dataset, seed, taught=True),
            dataset,
            _sources(queries, dataset, views or Identity(), view_count, active, labelled=labelled)
            if not isinstance(signal, SignalStore)
            else _stored_sources(signal, queries, dataset, views, active, labelled=labelled),
            objective,
            _recipe(recipe, options),
            seed,
            teachers=tuple(asked),
            signal=signal,
            combine=combine,
            padding=dataset.padding,
            device=device,
        )
        return _fitted(lesson, _name_of(student), checkpoint)


def as_teacher(teacher: Fitted | AnyTeacher | nn.Module, index: int = 0) -> AnyTeacher:
    """A teacher of whatever can teach."""
    if isinstance(teacher, AnyTeacher):
        return teacher
    if isinstance(teacher, Fitted):
        return Teacher(teacher.model, name=teacher.record.arm, classes=teacher.data.classes)
    return Teacher(teacher, name=f"teacher {index}")


def _borrowed(teacher: Fitted | AnyTeacher | nn.Module, index: int, borrowed: ExitStack) -> AnyTeacher:
    """A teacher whose network gets its modes back when ``borrowed`` closes, unless it came as a Teacher."""
    made = as_teacher(teacher, index)
    if made is not teacher:
        borrowed.callback(made.release)
    return made


def _fitted(lesson: Lesson, name: str, checkpoint: str | Path | None) -> Fitted:
    config = {
        "model": name,
        "recipe": lesson.recipe.plain(),
        "objective": lesson.objective.spec(),
        "sources": [_source_config(source) for source in lesson.sources],
    }
    kept = None
    if checkpoint is not None:
        kept = checkpointing(checkpoint, run=content_hash([config, lesson.seed, lesson.data.digest]))
    trained = lesson.run(checkpoint=kept)
    record = record_of(lesson, trained, arm=name, config=config)
    return Fitted(lesson.student, record, trained.outcome.history, lesson.data)


def _source_config(source: AnySource) -> dict[str, Any]:
    """What the record says of a source."""
    config: dict[str, Any] = {"name": source.name, "share": source.share, "labels": source.labelled}
    if isinstance(source, Source):
        config |= {"views": source.view.spec(), "view_count": source.view_count, "rows": len(source.split)}
        if source.student_view is not None:
            config["student_view"] = source.student_view.spec()
        config["active"] = None if source.active is None else source.active.plain()
    return config


def _student(model: str | nn.Module, data: Dataset, seed: int, *, taught: bool) -> nn.Module:
    """A fresh network. A taught student never starts from its self-teacher's initial weights."""
    if isinstance(model, nn.Module):
        return copy.deepcopy(model)
    start = derive(seed, "student", "taught" if taught else "alone")
    return build_for(model, data, seed=start)


def _sources(
    queries: Any,
    data: Dataset,
    view: View,
    view_count: int | None,
    active: ActiveSpec | None,
    *,
    labelled: bool,
) -> tuple[AnySource, ...]:
    if callable(queries):
        queries = Generated("queries", queries)
    mixture = isinstance(queries, (list, tuple)) and any(isinstance(q, AnySource) for q in queries)
    if mixture or isinstance(queries, AnySource):
        if active is not None or not isinstance(view, Identity):
            raise InputError(
                "these queries cannot be shown in views, or chosen from",
                expected="a generator that makes what it wants to show; sources with a view of their own",
                got="views or active beside a generator or sources",
                remedy="give view= and active= to Source(...)",
            )
        return tuple(queries) if mixture else (queries,)
    if queries is None:
        split = data["train"] if labelled else data["train"].unlabelled()
        return (Source("train", split, view, view_count=view_count, active=active),)
    return (Source("queries", as_pool(queries), view, view_count=view_count, active=active),)


def _stored_sources(
    store: SignalStore,
    queries: Any,
    data: Dataset,
    view: View | None,
    active: ActiveSpec | None,
    *,
    labelled: bool,
) -> tuple[AnySource, ...]:
    """What the store was asked about; queries and views that are given must be those."""
    if view is not None:
        store.check_views(view)
    if isinstance(queries, (list, tuple)) and any(isinstance(q, AnySource) for q in queries):
        return tuple(queries)
    given = data if queries is None else as_pool(queries)
    return tuple(replace(source, active=active) for source in store.sources(given, labelled=labelled))


def _recipe(recipe: Recipe | None, options: Mapping[str, Any]) -> Recipe:
    base = (recipe or Recipe()).model_dump(exclude_unset=True)
    return Recipe.parse({**base, **options}, "the training recipe")


def _name_of(model: str | nn.Module) -> str:
    return model if isinstance(model, str) else type(model).__name__.lower()
