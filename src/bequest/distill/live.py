"""Live teachers: asked at every step, or once if the same query is shown again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from bequest.data.batches import AnySource, Batch, Batches, Source
from bequest.data.datasets import Dataset
from bequest.data.streams import Part, SplitStream
from bequest.distill.asked import queries_asked
from bequest.distill.parallel import Ranks
from bequest.distill.preflight import check_teachers
from bequest.distill.recipe import Recipe
from bequest.distill.score import score
from bequest.distill.signal import Answer, Signal
from bequest.distill.teachers import AnyTeacher
from bequest.records import TeacherRecord
from bequest.registry import unknown

if TYPE_CHECKING:
    from bequest.distill.trainer import Trainer

LOOKUP_BYTES = 512 * 2**20
"""Answers of at most this size are computed once and looked up; larger ones are recomputed."""

CHUNK = 500


class LiveTeachers(Signal):
    """Teachers asked at every step, about the very pixels that the student sees.

    If a source has finitely many views (one, if it has no augmentation), a teacher in eval mode gives the
    same answers in each pass over a view. Its logits are then computed once, a whole view at a time, and
    looked up, unless they are too large. If a source asks about some rows only, just those are answered, and
    all of them again each time that rows are added, so that answers do not depend on when a run resumed.

    Args:
        teachers: One or several.
        sources: The sources of the batches that will be answered.
        features: Named activations to return with the logits, of the teachers that have them; they are
            never looked up.
        seed: The seed of the views, as in ``Batches``; None: only sources without augmentation are looked up.
        padding: The padding token.

    Raises:
        UnknownName: If no teacher has an activation of such a name.
    """

    def __init__(
        self,
        teachers: Sequence[AnyTeacher],
        sources: Sequence[AnySource],
        *,
        features: Sequence[str] = (),
        seed: int | None = None,
        padding: int | None = None,
    ) -> None:
        self.teachers = tuple(teachers)
        self._sources = tuple(sources)
        self._features = [[n for n in features if n in t.activation_names()] for t in self.teachers]
        self._seed = seed
        for teacher in self.teachers:
            teacher.prepare(self._sources, seed or 0, padding)
        self._sentences: list[str] = []
        self._tables: dict[tuple[int, int, int], tuple[int, Tensor | None]] = {}
        for name in features:
            if not any(name in names for names in self._features):
                names = {name for teacher in self.teachers for name in teacher.activation_names()}
                raise unknown("activation of a teacher", name, names)

    def answer(self, batch: Batch) -> Answer:
        """See :class:`~bequest.distill.signal.Answers`."""
        if any(self._features):
            answers = [
                teacher.features(batch.x, names) if names else (teacher.answer(batch), {})
                for teacher, names in zip(self.teachers, self._features, strict=True)
            ]
            return tuple(logits for logits, _ in answers), tuple(features for _, features in answers)
        return tuple(self._logits(k, batch) for k in range(len(self.teachers))), ()

    def check(self, student: nn.Module, data: Dataset, recipe: Recipe) -> None:
        """See :meth:`~bequest.distill.signal.Signal.check`; each teacher is asked about two samples.

        Raises:
            TeacherChanged: If one is in training mode.
            ModelError: If one has other classes than the data, or shares a tensor with the student.
        """
        self._sentences = check_teachers(self.teachers, student, data, rows=recipe.batch // recipe.accumulate)

    def warnings(self, batches: Batches, steps: int) -> list[str]:
        """Warnings of :meth:`check` about the teachers' classes and logits, and the teachers' notes."""
        del batches, steps
        return self._sentences + [note for teacher in self.teachers for note in teacher.notes]

    def asked(self, batches: Batches, steps: int) -> dict[str, int]:
        """See :func:`~bequest.distill.asked.queries_asked`."""
        return {t.name: queries_asked(batches, steps, repeatable=t.repeatable) for t in self.teachers}

    def records(self, data: Dataset) -> tuple[TeacherRecord, ...]:
        """Digest before training, and scores on the validation split."""
        return tuple(
            TeacherRecord(
                arm=teacher.name,
                cell="",
                mode=teacher.mode,
                digest_before=teacher.digest,
                validation=score(teacher.evaluated, data["validation"]),
            )
            for teacher in self.teachers
        )

    def verified(self, records: Sequence[TeacherRecord], data: Dataset) -> tuple[TeacherRecord, ...]:
        """The records with the digests after; scored again where a teacher learned."""
        return tuple(
            record.model_copy(
                update={"digest_after": teacher.verify()}
                | ({"validation": score(teacher.evaluated, data["validation"])} if teacher.learns else {})
            )
            for record, teacher in zip(records, self.teachers, strict=True)
        )

    def learners(
        self, batches: Batches, recipe: Recipe, *, steps: int, padding: int | None, ranks: Ranks
    ) -> tuple[Trainer, ...]:
        """One trainer for each teacher that learns."""
        trainers = (
            teacher.learner(batches, recipe, steps=steps, padding=padding, ranks=ranks)
            for teacher in self.teachers
        )
        return tuple(trainer for trainer in trainers if trainer is not None)

    def _logits(self, index: int, batch: Batch) -> Tensor:
        teacher = self.teachers[index]
        if not teacher.repeatable or not any(self._finite(part.source) for part in batch.parts):
            return teacher.answer(batch)
        pieces, start = [], 0
        for part in batch.parts:
            stop = start + len(part.rows)
            table = self._table(index, part)
            pieces.append(
                teacher(batch.x[start:stop])
                if table is None
                else table.index_select(0, part.rows.to(table.device))
            )
            start = stop
        return pieces[0] if len(pieces) == 1 else torch.cat(pieces)

    def _finite(self, source: int) -> bool:
        """Whether the source has finitely many views, so that answers can be looked up."""
        shown = self._sources[source]
        if not isinstance(shown, Source):
            return False
        return shown.plain or (self._seed is not None and shown.view_count is not None)

    def _table(self, index: int, part: Part) -> Tensor | None:
        key = (index, part.source, 0 if self._sources[part.source].plain else part.view)
        # Each round of active queries adds some, whose answers an earlier table lacks.
        queries = -1 if part.among is None else len(part.among)
        if key not in self._tables or self._tables[key][0] != queries:
            source, teacher = self._sources[part.source], self.teachers[index]
            table = None
            if isinstance(source, Source) and self._finite(part.source):
                table = _answers(teacher, source, key[2], self._seed or 0, part.among)
            self._tables[key] = (queries, table)
        return self._tables[key][1]


def _answers(
    teacher: AnyTeacher, source: Source, view: int, seed: int, among: Tensor | None = None
) -> Tensor | None:
    """The answers to a whole view of a source, NaN in rows that are not ``among``; None if too large."""
    stream, size = SplitStream(0, source, 1, seed), len(source.split)
    rows = torch.arange(size, device=source.split.ids.device) if among is None else among
    first, *rest = (stream.shown(chunk, view).x for chunk in torch.split(rows, CHUNK))
    answers = [teacher(first)]
    # The size of an answer is known only after the first chunk.
    if answers[0][0].nbytes * size * (source.view_count or 1) > LOOKUP_BYTES:
        return None
    whole = torch.cat([*answers, *(teacher(chunk) for chunk in rest)])
    if among is None:
        return whole
    # NaN, so that a row that was not asked about can never pass for an answer.
    return whole.new_full((size, *whole.shape[1:]), torch.nan).index_copy_(0, among.to(whole.device), whole)
