"""The public API of the engine: one student, trained on labels or distilled."""

from __future__ import annotations

import copy
import operator
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from bequest.config import content_hash
from bequest.data.batches import AnySource, Source
from bequest.data.datasets import Dataset, as_dataset, as_pool
from bequest.data.generators import Generator
from bequest.data.queries import ActiveSpec, Generated
from bequest.data.views import Identity, View
from bequest.distill.checkpoint import checkpointing
from bequest.distill.coercion import as_objective, as_view, build_named, named_network, named_teacher
from bequest.distill.engine import Callback
from bequest.distill.fitted import Fitted
from bequest.distill.lesson import Lesson, record_of
from bequest.distill.objectives import KD, CrossEntropy, Objective
from bequest.distill.progress import epoch_bar, named_callback
from bequest.distill.recipe import Recipe
from bequest.distill.signal import Answers, Combine
from bequest.distill.stores.store import SignalStore
from bequest.distill.teachers import AnyTeacher, Teacher
from bequest.errors import BequestError, InputError
from bequest.models.devices import Device
from bequest.models.network_checks import check_network, checked_module
from bequest.models.network_names import NetworkName
from bequest.parts import load_parts
from bequest.seeding import derive


def fit(
    model: Any,
    data: Any,
    *,
    seed: int = 0,
    recipe: Recipe | Mapping[str, Any] | None = None,
    objective: Any = None,
    views: Any = None,
    checkpoint: str | Path | None = None,
    device: Device | None = None,
    progress: bool | None = None,
    callbacks: Sequence[Callback] = (),
    **options: Any,
) -> Fitted:
    """Train a network on true labels.

    Args:
        model: A name (``mlp``, ``resnet20:WEIGHTS``, ``timm:resnet18``, ``RUN:ARM``), or a network, which is
            copied.
        data: See :func:`bequest.load_dataset` and :func:`bequest.data.datasets.as_dataset`.
        seed: Seeds initial weights, order, views and dropout.
        recipe: The loop, or a table of its fields.
        objective: An objective, its name, or a table; default: cross-entropy.
        views: Augmentation of the training images; default: none.
        checkpoint: A file for the state of the run; the same call resumes from it.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``; default: where the network is.
        progress: Show a bar; default: in a terminal and in a notebook.
        callbacks: ``callback(epoch, student)`` before training and after every epoch.
        **options: Fields of the recipe, such as ``epochs=10``.

    Raises:
        InputError: If anything does not fit, before the first step.

    >>> import bequest as bq
    >>> fitted = bq.fit("mlp", "digits", epochs=1)
    >>> sorted(fitted.score("test"))
    ['accuracy', 'nll']
    """
    load_parts()
    seed = _whole(seed)
    dataset = as_dataset(data)
    network = named_network(model, dataset) if isinstance(model, str) else None
    lesson = Lesson(
        _student(network or model, dataset, seed, taught=False),
        dataset,
        (Source("train", dataset["train"], as_view(views) or Identity()),),
        as_objective(objective, CrossEntropy()),
        _recipe(recipe, options),
        seed,
        padding=dataset.padding,
        device=device,
    )
    return _fitted(lesson, model, network, _Watching(checkpoint, progress, tuple(callbacks)))


def distill(
    student: Any,
    data: Any,
    *,
    teachers: Any = (),
    signal: SignalStore | Answers | None = None,
    objective: Any = None,
    combine: Combine | None = None,
    views: Any = None,
    view_count: int | None = None,
    queries: Any = None,
    active: ActiveSpec | None = None,
    seed: int = 0,
    recipe: Recipe | Mapping[str, Any] | None = None,
    checkpoint: str | Path | None = None,
    device: Device | None = None,
    progress: bool | None = None,
    callbacks: Sequence[Callback] = (),
    **options: Any,
) -> Fitted:
    """Train a student on its teachers' answers.

    Args:
        student: A name, or a network, which is copied.
        data: See :func:`fit`. Its training inputs are the queries unless ``queries`` are given.
        teachers: Names of trained networks (``resnet20:FILE``, ``RUN:ARM``), fitted models, networks, or
            teachers: :class:`bequest.distill.teachers.Teacher`,
            :class:`bequest.distill.online.OnlineTeacher`.
        signal: A store of answers instead of teachers; the student trains on its views of the data's inputs,
            or of ``queries``.
        objective: An objective, its name, a table, or a function ``loss(student_logits, teacher_logits)``;
            default: ``KD(temperature=4)``.
        combine: How the logits of several teachers are combined; see :mod:`bequest.distill.combine`.
        views: Augmentation of the queries; default: none.
        view_count: Number of different views; default: a new one each pass.
        queries: Inputs to ask about instead of the training inputs: an unlabelled pool (arrays or a dataset),
            a generator ``generate(rows, generator)`` of inputs or one of :mod:`bequest.data.generators`, or a
            sequence of :class:`bequest.data.queries.Source` and :class:`bequest.data.queries.Generated` for a
            mixture.
        active: Ask only about the most informative queries, chosen in rounds.
        seed: Seeds initial weights, order, views and dropout.
        recipe: The loop, or a table of its fields.
        checkpoint: A file for the state of the run; the same call resumes from it.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``; default: where the network is.
        progress: Show a bar; default: in a terminal and in a notebook.
        callbacks: ``callback(epoch, student)`` before training and after every epoch.
        **options: Fields of the recipe.

    Raises:
        InputError: If anything does not fit, before the first step.
        TeacherChanged: If a teacher's parameters or buffers moved.
    """
    load_parts()
    seed = _whole(seed)
    objective = as_objective(objective, KD(temperature=4.0))
    view = as_view(views)
    _check_source_of_answers(teachers, signal, objective)
    dataset = as_dataset(data)
    network = named_network(student, dataset) if isinstance(student, str) else None
    if isinstance(teachers, str | Fitted | AnyTeacher | nn.Module):
        teachers = [teachers]
    with ExitStack() as borrowed:
        asked = [
            _borrowed(named_teacher(t, dataset) if isinstance(t, str) else t, index, borrowed)
            for index, t in enumerate(teachers)
        ]
        labelled = objective.needs_labels or any(teacher.learns for teacher in asked)
        lesson = Lesson(
            _student(network or student, dataset, seed, taught=True),
            dataset,
            _sources(queries, dataset, view or Identity(), view_count, active, labelled=labelled)
            if not isinstance(signal, SignalStore)
            else _stored_sources(signal, queries, dataset, view, active, labelled=labelled),
            objective,
            _recipe(recipe, options),
            seed,
            teachers=tuple(asked),
            signal=signal,
            combine=combine,
            padding=dataset.padding,
            device=device,
        )
        watching = _Watching(checkpoint, progress, tuple(callbacks))
        return _fitted(lesson, student, network, watching)


def as_teacher(teacher: Fitted | AnyTeacher | nn.Module, index: int = 0) -> AnyTeacher:
    """The teacher from a teacher, a fitted student or a network.

    Raises:
        ModelError: If it is no network.
    """
    if isinstance(teacher, AnyTeacher):
        return teacher
    if isinstance(teacher, Fitted):
        return Teacher(teacher.model, name=teacher.record.arm, classes=teacher.classes or None)
    return Teacher(checked_module(teacher, f"teacher {index}"), name=f"teacher {index}")


def _check_source_of_answers(teachers: Any, signal: Any, objective: Objective) -> None:
    if (teachers and signal is not None) or not (teachers or signal or not objective.needs_teacher):
        both = bool(teachers) and signal is not None
        raise InputError(
            "distill got both teachers and a signal" if both else "distill got no teacher",
            expected="teachers=[...], or signal=STORE: their stored answers",
            remedy="leave one of them out" if both else "give one, such as teachers=[bq.fit('cnn', data)]",
        )
    if signal is not None and not (isinstance(signal, SignalStore) or hasattr(signal, "answer")):
        raise InputError(
            "the signal is not a store",
            expected="a SignalStore, or an object with a method answer(batch)",
            got=repr(signal),
            remedy="open the store first: signal=bq.open_store(FOLDER)",
        )


def _borrowed(teacher: Fitted | AnyTeacher | nn.Module, index: int, borrowed: ExitStack) -> AnyTeacher:
    """A teacher; a network that was not given as one gets its modes back when ``borrowed`` closes."""
    wrapped = as_teacher(teacher, index)
    if wrapped is not teacher:
        borrowed.callback(wrapped.release)
    return wrapped


@dataclass(frozen=True)
class _Watching:
    """Side effects of a training: the file for its state, the progress bar, the callbacks."""

    checkpoint: str | Path | None
    progress: bool | None
    callbacks: tuple[Callback, ...]


def _fitted(lesson: Lesson, model: Any, network: NetworkName | None, watching: _Watching) -> Fitted:
    name = _name_of(model)
    config = {
        "model": name,
        "recipe": lesson.recipe.plain(),
        "objective": lesson.objective.spec(),
        "sources": [_source_config(source) for source in lesson.sources],
    }
    checkpoint = None
    if watching.checkpoint is not None:
        # Data and seed too: a checkpoint of another training must not be continued.
        run = content_hash([config, lesson.seed, lesson.data.digest])
        checkpoint = checkpointing(watching.checkpoint, run=run)
    samples = len(lesson.data["train"])
    # Rounded up: a run may end in the middle of an epoch.
    epochs = -(-lesson.recipe.total_steps(samples) // lesson.recipe.steps_per_epoch(samples))
    with epoch_bar(name, epochs, show=watching.progress) as bar:
        watchers = [_explained(callback) for callback in watching.callbacks]
        trained = lesson.run(checkpoint=checkpoint, callbacks=[*bar, *watchers])
    return Fitted(
        lesson.student,
        record_of(lesson, trained, arm=name, config=config),
        trained.outcome.history,
        lesson.data,
        family=network.family if network else None,
        options=network.options if network else {},
        classes=lesson.data.classes,
        padding=lesson.data.padding,
        input_shape=lesson.data.input_shape,
        tokenizer=lesson.data.tokenizer,
        task=lesson.data.task,
    )


def _explained(callback: Callback) -> Callback:
    """``callback``, whose exceptions become one message that names it."""

    def call(epoch: int, student: nn.Module) -> None:
        try:
            callback(epoch, student)
        except BequestError:
            raise
        except Exception as error:
            raise InputError(
                f"the callback {named_callback(callback)} failed after epoch {epoch}",
                got=f"{type(error).__name__}: {error}",
                remedy="fix it, or leave it out",
            ) from error

    return call


def _source_config(source: AnySource) -> dict[str, Any]:
    """A source as the record describes it."""
    config: dict[str, Any] = {"name": source.name, "share": source.share, "labels": source.labelled}
    if isinstance(source, Source):
        config |= {"views": source.view.spec(), "view_count": source.view_count, "rows": len(source.split)}
        if source.student_view is not None:
            config["student_view"] = source.student_view.spec()
        config["active"] = None if source.active is None else source.active.plain()
    elif source.spec is not None:
        config["generate"] = source.spec
    return config


def _student(model: Any, data: Dataset, seed: int, *, taught: bool) -> nn.Module:
    """A fresh network. A taught student never starts from its self-teacher's initial weights."""
    if not isinstance(model, NetworkName):
        check_network(model, data["train"].x[:0])
        copied: nn.Module = copy.deepcopy(model)
        return copied
    # Different weights: from the same ones, a self-taught student would start in its teacher's basin.
    start = derive(seed, "student", "taught" if taught else "alone")
    return build_named(model, data, seed=start)


def _sources(
    queries: Any,
    data: Dataset,
    view: View,
    view_count: int | None,
    active: ActiveSpec | None,
    *,
    labelled: bool,
) -> tuple[AnySource, ...]:
    if isinstance(queries, Generator):
        queries = Generated("queries", queries.bind(data["train"]), spec=queries.spec())
    elif callable(queries):
        queries = Generated("queries", queries)
    mixture = isinstance(queries, (list, tuple)) and any(isinstance(q, AnySource) for q in queries)
    if mixture or isinstance(queries, AnySource):
        if active is not None or not isinstance(view, Identity):
            raise InputError(
                "these queries cannot be combined with views or active",
                expected="a generator that applies its own views, or sources with their own view and active",
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
    """The sources that the store was built on; ``queries`` and ``view``, if given, must be the same."""
    if view is not None:
        store.check_views(view)
    if isinstance(queries, (list, tuple)) and any(isinstance(q, AnySource) for q in queries):
        return tuple(queries)
    inputs = data if queries is None else as_pool(queries)
    return tuple(replace(source, active=active) for source in store.sources(inputs, labelled=labelled))


def _whole(seed: object) -> int:
    try:
        return operator.index(seed)  # type: ignore[arg-type]
    except TypeError:
        raise InputError("the seed is not an integer", expected="an int", got=repr(seed)[:80]) from None


def _recipe(recipe: Recipe | Mapping[str, Any] | None, options: Mapping[str, Any]) -> Recipe:
    if isinstance(recipe, Mapping):
        recipe = Recipe.parse(recipe, "the training recipe")
    # Only fields that were set, so that the recipe built from both is validated as if written in one go.
    base = (recipe or Recipe()).model_dump(exclude_unset=True)
    return Recipe.parse({**base, **options}, "the training recipe")


def _name_of(model: Any) -> str:
    return model if isinstance(model, str) else type(model).__name__.lower()
