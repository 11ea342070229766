"""Teachers whose answers do not depend on the query: the control for what a teacher adds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from bequest import seeding
from bequest.data.batches import AnySource, Batch, Source
from bequest.data.streams import Part, SplitStream
from bequest.distill.teachers import AnyTeacher
from bequest.seeding import torch_generator

Answers = Literal["noise", "another"]


class RandomTeacher(AnyTeacher):
    """A teacher that answers each query with noise, or with its answer to another sample.

    Both are the same each time that a query is repeated, and have the scale of the teacher's own logits.
    Whatever a student gains from them is not the teacher's knowledge of the query.

    Args:
        teacher: The teacher whose answers are replaced.
        answers: ``noise``: for each query logits m + s · z, with the mean m and the deviation s of the
            teacher's own answer over classes, and z standard normal. ``another``: its answer to the next
            sample in a random cycle through the source, in the same view; for inputs generated at each
            step, to the next row.
        seed: Seeds both.
    """

    def __init__(self, teacher: AnyTeacher, *, answers: Answers = "noise", seed: int = 0) -> None:
        self.name, self.mode, self.digest, self.classes = (
            teacher.name,
            teacher.mode,
            teacher.digest,
            teacher.classes,
        )
        self._model, self._adapter = teacher._model, teacher._adapter
        self._teacher, self._kind, self._seed = teacher, answers, seed
        self._streams: dict[int, SplitStream] = {}
        self._partners: dict[int, Tensor] = {}

    @property
    def notes(self) -> list[str]:
        """A sentence that says that it is a control."""
        kind = {"noise": "noise", "another": "its answers to other samples"}[self._kind]
        return [f"the teacher {self.name!r} answered with {kind}: a control"]

    def prepare(self, sources: Sequence[AnySource], seed: int, padding: int | None = None) -> None:
        """Pair the samples of each source."""
        self._teacher.prepare(sources, seed, padding)
        for index, source in enumerate(sources):
            if isinstance(source, Source):
                order = torch.randperm(
                    len(source.split), generator=torch_generator(self._seed, "another", source.name)
                )
                partners = torch.empty_like(order)
                partners[order] = order.roll(1)  # one cycle, so that no sample is paired with itself
                self._partners[index] = partners.to(source.split.ids.device)
                self._streams[index] = SplitStream(index, source, 1, seed)

    def __call__(self, x: Tensor) -> Tensor:
        """The teacher's own logits: without ids nothing can be drawn for a query."""
        return self._teacher(x)

    def evaluated(self, x: Tensor) -> Tensor:
        """The teacher's own logits in eval mode, by which it is scored."""
        return self._teacher.evaluated(x)

    @torch.no_grad()
    def answer(self, batch: Batch) -> Tensor:
        """Noise, or the answers to other samples, for the rows of ``batch``."""
        return self._another(batch) if self._kind == "another" else self._noise(batch)

    def activation_names(self) -> list[str]:
        """Empty: it hands over logits only."""
        return []

    def verify_mode(self) -> None:
        """Check that the wrapped teacher is in the mode that it was given in."""
        self._teacher.verify_mode()

    def verify(self) -> str:
        """Check that no byte of the wrapped teacher has changed."""
        return self._teacher.verify()

    def release(self) -> None:
        """Release the wrapped teacher."""
        self._teacher.release()

    def _noise(self, batch: Batch) -> Tensor:
        logits = self._teacher(batch.x)
        drawn = []
        rows, row_shape = 0, logits.shape[1:]
        for part in batch.parts:
            ids = batch.ids[rows : rows + len(part.rows)]
            rows += len(part.rows)
            name = f"noise {part.source}"
            drawn.append(seeding.normal(self._seed, name, ids, part.view, row_shape.numel()))
        noise = torch.cat(drawn).view(-1, *row_shape).to(logits.device)
        deviation = logits.std(-1, correction=0, keepdim=True)
        return logits.mean(-1, keepdim=True) + deviation * noise

    def _another(self, batch: Batch) -> Tensor:
        pieces, start = [], 0
        for part in batch.parts:
            pieces.append(self._inputs_of_others(part, batch.x[start : start + len(part.rows)]))
            start += len(part.rows)
        return self._teacher(torch.cat(pieces))

    def _inputs_of_others(self, part: Part, x: Tensor) -> Tensor:
        if part.source not in self._streams:
            return x.roll(1, 0)  # rows of one step were made together, so the next one is another input
        others = self._partners[part.source].index_select(0, part.rows)
        return self._streams[part.source].shown(others, part.view).x.to(x.device)
