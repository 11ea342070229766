"""Stored answers to batches, with what comes next read ahead in the background."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from bequest.data.batches import Batch, Batches, Part
from bequest.distill.stores.ahead import ReadAhead
from bequest.distill.stores.recording import Recording


class Replay:
    """Answers batches as the teachers did when the store was built.

    Args:
        grid: One row a teacher, one recording a source.
        temperature: The temperature that the objective reads at.
        features: Activations to answer with.
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

    def answer(self, batch: Batch) -> tuple[tuple[Tensor, ...], tuple[Mapping[str, Tensor], ...]]:
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

    @contextmanager
    def reading_ahead(self, batches: Batches) -> Iterator[None]:
        """Bring what the next steps of ``batches`` will ask for into memory, in the background."""
        self._ahead = ReadAhead(self._grid, batches, self._features)
        try:
            yield
        finally:
            self._ahead.close()
            self._ahead = None

    def _logits(self, row: Sequence[Recording], part: Part) -> Tensor:
        recording = row[part.source]
        view, rows = part.view % recording.count, part.rows
        rows = rows if rows.device.type == "cpu" else rows.cpu()
        return recording.logits(view, rows, temperature=self._temperature)

    def _activations(self, row: Sequence[Recording], name: str, part: Part) -> Tensor:
        recording = row[part.source]
        return recording.activations(name, part.view % recording.count, part.rows.cpu())


def _joined(pieces: Sequence[Tensor], device: torch.device) -> Tensor:
    whole = pieces[0] if len(pieces) == 1 else torch.cat(list(pieces))
    return whole if whole.device == device else whole.to(device, non_blocking=True)
