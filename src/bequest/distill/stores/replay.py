"""Stored answers to batches, read ahead in the background."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from bequest.data.batches import Batch, Batches, Part
from bequest.data.datasets import Dataset
from bequest.distill.label_space import check_class_order, probabilities_for_logits
from bequest.distill.recipe import Recipe
from bequest.distill.signal import Answer, Signal
from bequest.distill.stores.ahead import ReadAhead
from bequest.distill.stores.recording import Recording
from bequest.errors import SignalError
from bequest.records import TeacherRecord


class Replay(Signal):
    """Answers batches as the teachers did when the store was built.

    Args:
        grid: One row per teacher, one recording per source.
        temperature: The temperature at which the objective reads.
        features: Activations to return.
    """

    def __init__(
        self,
        grid: Sequence[Sequence[Recording]],
        *,
        temperature: float = 1.0,
        features: Sequence[str] = (),
    ) -> None:
        self._grid = tuple(tuple(row) for row in grid)
        self._temperature = temperature
        self._features = tuple(features)
        self._ahead: ReadAhead | None = None
        self._sentences: list[str] = []

    def answer(self, batch: Batch) -> Answer:
        """Logits (N, ..., C) and features of every teacher for the rows of ``batch``."""
        if self._ahead is not None and batch.step is not None:
            self._ahead.follow(batch.step)
        device = batch.x.device
        logits = tuple(
            _joined([self._logits(row, part) for part in batch.parts], device) for row in self._grid
        )
        if not self._features:
            return logits, ()
        return logits, tuple(
            {
                name: _joined([self._activations(row, name, p) for p in batch.parts], device)
                for name in self._features
            }
            for row in self._grid
        )

    def check(self, student: nn.Module, data: Dataset, recipe: Recipe) -> None:
        """Refuse answers whose classes are not those of the data.

        Raises:
            SignalError: If the store has another number of classes, or the same in another order.
        """
        del student, recipe
        recording = self._grid[0][0]
        names, first = recording.manifest.data.class_names, torch.zeros(1, dtype=torch.int64)
        self._sentences = check_class_order("the signal store", names, data.classes, SignalError)
        self._sentences += probabilities_for_logits("the signal store", recording.logits(0, first))
        stored, classes = self._grid[0][0].manifest.data.classes, len(data.classes)
        if stored != classes:
            raise SignalError(
                "the signal store has a different label space from the student",
                expected=f"{classes} classes",
                got=f"{stored} classes",
                remedy="build a store of this data's classes",
            )

    def records(self, data: Dataset) -> tuple[TeacherRecord, ...]:
        """The teachers that answered, according to the manifests."""
        del data
        return teacher_records(self._grid)

    def asked(self, batches: Batches, steps: int) -> dict[str, int]:
        """The number of all answers in the store, which were asked when it was built."""
        del batches, steps
        return {
            row[0].manifest.teacher.name: sum(each.manifest.data.samples * each.count for each in row)
            for row in self._grid
        }

    def warnings(self, batches: Batches, steps: int) -> list[str]:
        """Warnings of :meth:`check`, and a sentence on each source whose views are repeated."""
        recordings = self._grid[0]
        passes = [
            steps * rows / recording.manifest.data.samples
            for rows, recording in zip(batches.counts, recordings, strict=True)
        ]
        return self._sentences + [
            f"the store holds {manifest.views.count} views of {manifest.source.name!r} and the run passes "
            f"{times:.0f} times over it: pass e shows view e modulo {manifest.views.count}"
            for manifest, times in zip((each.manifest for each in recordings), passes, strict=True)
            if times > manifest.views.count and manifest.views.spec != {"name": "identity"}
        ]

    @contextmanager
    def reading_ahead(self, batches: Batches) -> Iterator[None]:
        """Bring the answers for the next steps of ``batches`` into memory, in the background."""
        self._ahead = ReadAhead(self._grid, batches, self._features)
        try:
            yield
        finally:
            self._ahead.close()
            self._ahead = None

    def _logits(self, row: Sequence[Recording], part: Part) -> Tensor:
        recording = row[part.source]
        view, rows = part.view % recording.count, part.rows
        # Stored arrays are memory maps, which only the CPU can index.
        rows = rows if rows.device.type == "cpu" else rows.cpu()
        return recording.logits(view, rows, temperature=self._temperature)

    def _activations(self, row: Sequence[Recording], name: str, part: Part) -> Tensor:
        recording = row[part.source]
        return recording.activations(name, part.view % recording.count, part.rows.cpu())


def _joined(pieces: Sequence[Tensor], device: torch.device) -> Tensor:
    whole = pieces[0] if len(pieces) == 1 else torch.cat(list(pieces))
    return whole if whole.device == device else whole.to(device, non_blocking=True)


def teacher_records(grid: Sequence[Sequence[Recording]]) -> tuple[TeacherRecord, ...]:
    """The teachers of a store, one per row of ``grid``, as entries of a run's record."""
    entries = [row[0].manifest.teacher for row in grid]
    return tuple(
        TeacherRecord(
            arm=entry.name, cell="", mode="stored", digest_before=entry.digest, digest_after=entry.digest
        )
        for entry in entries
    )
