"""Cells whose teachers answer once, into a store, from which their students learn."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from bequest.config import content_hash
from bequest.data.batches import Batches, Source
from bequest.distill.lesson import Lesson
from bequest.distill.stores import build_store
from bequest.distill.stores.codecs import Codec
from bequest.errors import ConfigError
from bequest.runs.folder import STORES


def from_store(lesson: Lesson, root: Path, codec: Codec) -> tuple[Lesson, str]:
    """The lesson with its teachers' answers stored first, and the name of the store.

    The store has the views that the lesson would show, so that the student is the one that live teachers
    would have taught, up to the codec's rounding. Cells that ask the same share one store.

    Args:
        lesson: With live teachers.
        root: The run folder.
        codec: How the answers are encoded.

    Raises:
        ConfigError: If the lesson's inputs are made for each step.
    """
    sources = seeded(lesson)
    # Without the labels: arms with and without them ask the same and share the store.
    asked = [[s.name, s.view.spec(), s.view_count, s.split.unlabelled().digest, s.share] for s in sources]
    names = [[teacher.name, teacher.digest] for teacher in lesson.teachers]
    features = lesson.objective.teacher_features
    identity = content_hash([names, asked, lesson.seed, codec.spec(), list(features)])
    store = build_store(
        lesson.teachers,
        lesson.data,
        queries=sources,
        seed=lesson.seed,
        codec=codec,
        features=features,
        feature_dtype="float32",
        path=root / STORES / identity,
        fresh="damaged",  # what this name holds follows from the lesson: anything else is damage
        wait=True,  # cells that share it may start at the same time
        device=lesson.device,
    )
    return replace(lesson, sources=sources, signal=store, teachers=()), identity


def seeded(lesson: Lesson) -> tuple[Source, ...]:
    """The lesson's sources, with as many views as it will show and the seed of its views.

    Raises:
        ConfigError: If one of them makes its inputs for each step.
    """
    batches = Batches(lesson.sources, batch=lesson.recipe.batch, seed=lesson.seed)
    steps = lesson.recipe.total_steps(len(lesson.data["train"]))
    seeded_sources = []
    for source, rows in zip(batches.sources, batches.counts, strict=True):
        if not isinstance(source, Source):
            raise ConfigError.of("queries", [f"{source.name}: inputs made for each step cannot be stored"])
        passes = -(-steps // max(1, len(source.split) // rows))
        count = 1 if source.plain else source.view_count or max(1, passes)
        seeded_sources.append(replace(source, view_count=count, view_seed=lesson.seed))
    return tuple(seeded_sources)
