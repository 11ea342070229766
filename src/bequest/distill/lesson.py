"""One student's training: everything that decides it, its run, its record."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass, field
from typing import Any, TypeGuard

import torch
from torch import Tensor, nn

from bequest.config import content_hash
from bequest.data.batches import AnySource, Batches, Source
from bequest.data.datasets import Dataset
from bequest.data.queries import Generated
from bequest.distill.checkpoint import Checkpoint
from bequest.distill.engine import Callback, Outcome, train
from bequest.distill.live import LiveTeachers
from bequest.distill.model_queries import ModelQueries
from bequest.distill.objectives import Objective
from bequest.distill.parallel import Ranks
from bequest.distill.preflight import check_labels, check_queries, check_student
from bequest.distill.ranking import Ranking
from bequest.distill.recipe import Recipe
from bequest.distill.score import Scores, score
from bequest.distill.signal import Answers, Combine, Combined, Foreign, Openable, Signal
from bequest.distill.teachers import AnyTeacher
from bequest.distill.trainer import BATCH_NORM, Trainer
from bequest.models.catalogue import parameter_count
from bequest.models.devices import Device, accelerator_name, device_of, parse_device
from bequest.models.weights import weights_digest
from bequest.provenance import Provenance
from bequest.records import RunRecord, TeacherRecord
from bequest.variants import Variant


@dataclass(frozen=True)
class Trained:
    """The outcome of a lesson.

    Attributes:
        outcome: Of the training loop.
        teachers: The record of each teacher.
        warnings: Sentences that a reader of the result should know.
        chosen: Queries of active sources: their names to row numbers of the pool, one tensor per round.
        asked: Answers asked of each teacher, by its name; see :func:`bequest.distill.asked.queries_asked`.
    """

    outcome: Outcome
    teachers: tuple[TeacherRecord, ...]
    warnings: tuple[str, ...]
    chosen: Mapping[str, Sequence[Tensor]] = field(default_factory=dict)
    asked: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Lesson:
    """Everything that decides how one student is trained, ready to run.

    Attributes:
        student: The network to train, in place.
        data: Its ``train`` and ``validation`` splits are used, no other.
        sources: The inputs that the student trains on, or asks its teachers about.
        objective: Loss of an Exchange.
        recipe: The loop.
        seed: Seeds the order, the views and dropout.
        teachers: Frozen or online networks; empty for plain training.
        signal: A store, or another signal, instead of live teachers; ``sources`` are then those of the store.
        combine: How the logits of several teachers are combined for the objective.
        plain_accuracy: Validation accuracy of the student trained alone, which a teacher should exceed.
        padding: The padding token; positions that hold it are masked.
        device: Where the student trains and its teachers answer; None: wherever their networks are.
    """

    student: nn.Module
    data: Dataset
    sources: tuple[AnySource, ...]
    objective: Objective
    recipe: Recipe
    seed: int
    teachers: tuple[AnyTeacher, ...] = ()
    signal: Openable | Answers | None = None
    combine: Combine | None = None
    plain_accuracy: float | None = None
    padding: int | None = None
    device: Device | None = None

    def run(
        self,
        *,
        callbacks: Sequence[Callback] = (),
        checkpoint: Checkpoint | None = None,
        log: Callable[[Scores], None] | None = None,
    ) -> Trained:
        """Train; the global random state is left as it was.

        In a process group (see :mod:`bequest.distill.parallel`) every rank calls this.

        Raises:
            InputError: If model, data, teachers and objective do not fit together.
            NonFiniteLoss: If the loss stops being finite.
            TeacherChanged: If a teacher moved.
            WorkerLost: If another rank is gone.
        """
        # The trainer seeds the global generators of every device: the caller gets theirs back.
        with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
            if self.device is not None:
                device = parse_device(self.device)
                self.student.to(device)
                for teacher in self.teachers:
                    teacher.to(device)
            # Before any check draws a batch: such a source has no inputs until it knows who writes them.
            for source in self.sources:
                if isinstance(source, Generated) and isinstance(source.generate, ModelQueries):
                    source.generate.follow(self.student, self.teachers)
            check_labels(self.sources, len(self.data.classes))
            signal = self._signal()
            records: tuple[TeacherRecord, ...] = ()
            if signal is not None:
                signal.check(self.student, self.data, self.recipe)
                records = signal.records(self.data)
            sentences = check_student(self.student, self.data, self.recipe)
            check_queries(self.student, self.sources, self.data)
            # Now, as it covers the initial weights, which training changes.
            identity = "" if checkpoint is None else self._identity(records)
            batches, trainer = self._trainer(signal)
            # Closed also after an error, or the hooks stay on the caller's network.
            with closing(trainer), signal.reading_ahead(batches) if signal else nullcontext():
                outcome = train(
                    trainer,
                    steps_per_epoch=self.recipe.steps_per_epoch(len(self.data["train"])),
                    evaluate=lambda model: score(model, self.data["validation"], padding=self.padding),
                    callbacks=callbacks,
                    checkpoint=checkpoint,
                    log=log,
                    ranks=Ranks.here(),
                    identity=identity,
                )
            if signal is not None:
                records = signal.verified(records, self.data)
        sentences += self._warnings(signal, records, batches)
        asked = signal.asked(batches, outcome.steps) if signal else {}
        return Trained(outcome, records, tuple(sentences), batches.state(), asked)

    def _signal(self) -> Signal | None:
        """The signal that answers for the teachers, opened for the sources; None for plain training."""
        if self.signal is None:
            if not self.teachers:
                return None
            features = self.objective.teacher_features
            return LiveTeachers(
                self.teachers, self.sources, features=features, seed=self.seed, padding=self.padding
            )
        if not isinstance(self.signal, Openable):
            return Foreign(self.signal)
        return self.signal.opened(self.sources, self.objective, combined=self.combine is not None)

    def _identity(self, teachers: Sequence[TeacherRecord]) -> str:
        """A hash of everything that decides the student; test splits are not part of it."""
        return content_hash(
            [
                weights_digest(self.student),
                self.recipe.plain(),
                self.objective.digest(),
                self.seed,
                [self.data[name].digest for name in ("train", "validation")],
                [[type(source).__name__, source.name, source.share] for source in self.sources],
                [
                    [s.view.digest(), s.view_count, s.view_seed, len(s.split), s.split.y is None]
                    for s in self.sources
                    if isinstance(s, Source)
                ],
                # Absent, not an empty list, without generated sources: older checkpoints keep their identity.
                *([generated] if (generated := [s.spec for s in self.sources if _described(s)]) else []),
                [[teacher.arm, teacher.mode, teacher.digest_before] for teacher in teachers],
                repr(self.combine) if isinstance(self.combine, Variant) else self.combine is not None,
                self.padding,
            ]
        )

    def _trainer(self, signal: Signal | None) -> tuple[Batches, Trainer]:
        samples = len(self.data["train"])
        steps, ranks = self.recipe.total_steps(samples), Ranks.here()
        batches = Batches(
            self.sources,
            batch=self.recipe.batch,
            seed=self.seed,
            steps=steps,
            steps_per_epoch=self.recipe.steps_per_epoch(samples),
            # The signal uncombined: disagreement compares the teachers with each other.
            rank=Ranking(self.student, signal, ranks, self.padding, self.sources),
        )
        trainer = Trainer(
            self.student,
            batches,
            self.objective,
            self.recipe,
            steps=steps,
            signal=Combined(signal, self.combine) if signal and self.combine else signal,
            padding=self.padding,
            ranks=ranks,
            peers=signal.learners(batches, self.recipe, steps=steps, padding=self.padding, ranks=ranks)
            if signal
            else (),
        )
        return batches, trainer

    def _warnings(
        self, signal: Signal | None, teachers: Sequence[TeacherRecord], batches: Batches
    ) -> list[str]:
        """Warnings: teachers no better than the student alone, views that repeat, effects of the ranks."""
        plain = self.plain_accuracy
        sentences = list(self.data.notes)
        sentences += [
            f"the teacher {teacher.arm!r} is no better on the validation split ({accuracy:.3f}) than the "
            f"student trained alone ({plain:.3f})"
            for teacher in teachers
            if plain is not None and (accuracy := teacher.validation.get("accuracy", math.inf)) <= plain
        ]
        if signal is not None:
            sentences += signal.warnings(batches, self.recipe.total_steps(len(self.data["train"])))
        world = Ranks.here().world
        if world > 1 and any(isinstance(module, BATCH_NORM) for module in self.student.modules()):
            sentences.append(
                f"BatchNorm saw the rows of each rank separately: with {world} ranks the student differs "
                "from one trained in one process"
            )
        return sentences


def _described(source: AnySource) -> TypeGuard[Generated]:
    """Whether a source generates its inputs and has a spec."""
    return isinstance(source, Generated) and source.spec is not None


def record_of(
    lesson: Lesson, trained: Trained, *, arm: str, config: dict[str, Any], **fields: Any
) -> RunRecord:
    """The record of a finished lesson; ``fields`` are further fields of :class:`RunRecord`."""
    outcome, device = trained.outcome, device_of(lesson.student)
    return RunRecord(
        **{"id": content_hash([config, lesson.seed]), **fields},
        arm=arm,
        seed=lesson.seed,
        status="done",
        config=config,
        teachers=trained.teachers,
        asked=dict(trained.asked),
        warnings=trained.warnings,
        provenance=Provenance.here(
            device=str(device), accelerator=accelerator_name(device), threads=torch.get_num_threads()
        ),
        data_digest=lesson.data.digest,
        weights_digest=weights_digest(lesson.student),
        parameters=parameter_count(lesson.student),
        epochs=outcome.epochs,
        steps=outcome.steps,
        last=outcome.last,
        selected=outcome.selected,
    )
