"""One student's training, complete: what decides it, its run, its record."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from bequest.config import content_hash
from bequest.data.batches import AnySource, Batches
from bequest.data.datasets import Dataset
from bequest.distill.checkpoint import Checkpoint
from bequest.distill.engine import Callback, Outcome, train
from bequest.distill.objectives import Objective
from bequest.distill.online import OnlineTeacher
from bequest.distill.parallel import Ranks
from bequest.distill.preflight import check_teachers
from bequest.distill.ranking import Ranking
from bequest.distill.recipe import Recipe
from bequest.distill.score import Scores, score
from bequest.distill.stores.replay import Replay
from bequest.distill.stores.store import SignalStore
from bequest.distill.teachers import Combine, Combined, LiveTeachers, Signal, Teacher
from bequest.distill.trainer import BATCH_NORM, Trainer
from bequest.models.catalogue import parameter_count
from bequest.models.weights import weights_digest
from bequest.records import Provenance, RunRecord, TeacherRecord


@dataclass(frozen=True)
class Trained:
    """What a lesson came to.

    Attributes:
        outcome: The run.
        teachers: What the record says of each teacher.
        warnings: Sentences that a reader of the result should know.
        chosen: What active sources asked about: their names to the pool's queries, one tensor a round.
    """

    outcome: Outcome
    teachers: tuple[TeacherRecord, ...]
    warnings: tuple[str, ...]
    chosen: Mapping[str, Sequence[Tensor]] = field(default_factory=dict)


@dataclass(frozen=True)
class Lesson:
    """Everything that decides how one student is trained, ready to run.

    Attributes:
        student: The network to train, in place.
        data: Its ``train`` and ``validation`` splits are used, no other.
        sources: What the student trains on, or asks its teachers about.
        objective: Loss of an Exchange.
        recipe: The loop.
        seed: Seeds the order, the views and dropout.
        teachers: Frozen or online networks; empty for plain training.
        signal: Stored answers instead of live teachers; ``sources`` are then those of the store.
        combine: How several teachers' logits become what the objective sees.
        plain_accuracy: Validation accuracy of the student trained alone, which a teacher should exceed.
        padding: The token that fills sequences up; positions that hold it are masked.
    """

    student: nn.Module
    data: Dataset
    sources: tuple[AnySource, ...]
    objective: Objective
    recipe: Recipe
    seed: int
    teachers: tuple[Teacher, ...] = ()
    signal: Signal | SignalStore | None = None
    combine: Combine | None = None
    plain_accuracy: float | None = None
    padding: int | None = None

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
        with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
            check_teachers(self.teachers, self.student, self.data)
            before = [self._teacher_record(teacher) for teacher in self.teachers]
            signal = self._signal()
            batches, trainer = self._trainer(signal)
            reading = signal.reading_ahead(batches) if isinstance(signal, Replay) else nullcontext()
            with closing(trainer), reading:
                outcome = train(
                    trainer,
                    steps_per_epoch=self.recipe.steps_per_epoch(len(self.data["train"])),
                    evaluate=lambda model: score(model, self.data["validation"]),
                    callbacks=callbacks,
                    checkpoint=checkpoint,
                    log=log,
                    ranks=Ranks.here(),
                )
            after = [self._after(r, t) for r, t in zip(before, self.teachers, strict=True)]
            after += self.signal.teachers if isinstance(self.signal, SignalStore) else ()
        return Trained(outcome, tuple(after), tuple(self._warnings(after, batches)), batches.state())

    def _trainer(self, signal: Signal | None) -> tuple[Batches, Trainer]:
        samples = len(self.data["train"])
        steps, ranks = self.recipe.total_steps(samples), Ranks.here()
        batches = Batches(
            self.sources,
            batch=self.recipe.batch,
            seed=self.seed,
            steps=steps,
            steps_per_epoch=self.recipe.steps_per_epoch(samples),
            rank=Ranking(self.student, signal, ranks, self.padding),
        )
        online = [teacher for teacher in self.teachers if isinstance(teacher, OnlineTeacher)]
        trainer = Trainer(
            self.student,
            batches,
            self.objective,
            self.recipe,
            steps=steps,
            signal=Combined(signal, self.combine) if signal and self.combine else signal,
            padding=self.padding,
            ranks=ranks,
            peers=[
                teacher.peer(batches, self.recipe, steps=steps, padding=self.padding, ranks=ranks)
                for teacher in online
            ],
        )
        return batches, trainer

    def _signal(self) -> Signal | None:
        """Whoever answers for the teachers."""
        if isinstance(self.signal, SignalStore):
            self.signal.check_classes(len(self.data.classes))
            return self.signal.replay(self.sources, self.objective, combined=self.combine is not None)
        return self.signal or self._live()

    def _live(self) -> Signal | None:
        if not self.teachers:
            return None
        features = self.objective.teacher_features
        return LiveTeachers(self.teachers, self.sources, features=features, seed=self.seed)

    def _teacher_record(self, teacher: Teacher) -> TeacherRecord:
        return TeacherRecord(
            arm=teacher.name,
            cell="",
            mode=teacher.mode,
            digest_before=teacher.digest,
            validation=score(teacher.calm, self.data["validation"]),
        )

    def _after(self, record: TeacherRecord, teacher: Teacher) -> TeacherRecord:
        """The record with the digest after; of an online teacher also with what it became."""
        changes: dict[str, Any] = {"digest_after": teacher.verify()}
        if teacher.mode == "online":
            changes["validation"] = score(teacher.calm, self.data["validation"])
        return record.model_copy(update=changes)

    def _warnings(self, teachers: Sequence[TeacherRecord], batches: Batches) -> list[str]:
        """A teacher no better than the student alone; stored views that repeat; what depends on the ranks."""
        plain = self.plain_accuracy
        found = list(self.data.notes)
        found += [
            f"the teacher {teacher.arm!r} is no better on the validation split ({accuracy:.3f}) than the "
            f"student trained alone ({plain:.3f})"
            for teacher in teachers
            if plain is not None and (accuracy := teacher.validation.get("accuracy", math.inf)) <= plain
        ]
        if isinstance(self.signal, SignalStore):
            found += self.signal.warnings(batches, self.recipe.total_steps(len(self.data["train"])))
        world = Ranks.here().world
        if world > 1 and any(isinstance(module, BATCH_NORM) for module in self.student.modules()):
            found.append(
                f"BatchNorm saw each rank's rows apart: with {world} ranks the student differs from one "
                "trained in one process"
            )
        return found


def record_of(
    lesson: Lesson, trained: Trained, *, arm: str, config: dict[str, Any], **fields: Any
) -> RunRecord:
    """The record of a finished lesson; ``fields`` are further fields of :class:`RunRecord`."""
    outcome = trained.outcome
    return RunRecord(
        **{"id": content_hash([config, lesson.seed]), **fields},
        arm=arm,
        seed=lesson.seed,
        status="done",
        config=config,
        teachers=trained.teachers,
        warnings=trained.warnings,
        provenance=Provenance.here(threads=torch.get_num_threads()),
        data_digest=lesson.data.digest,
        weights_digest=weights_digest(lesson.student),
        parameters=parameter_count(lesson.student),
        epochs=outcome.epochs,
        steps=outcome.steps,
        last=outcome.last,
        selected=outcome.selected,
    )
