"""The rows, and their views, of each training step: a pure function of (seed, step)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from bequest.data.datasets import UNLABELLED
from bequest.data.designs import PoolFeatures
from bequest.data.queries import ActiveSpec, AnySource, Generated, Source
from bequest.data.streams import ChosenStream, Drawn, GeneratedStream, Part, Rank, Shown, SplitStream, Stream
from bequest.errors import ConfigError, DataError

__all__ = ["UNLABELLED", "AnySource", "Batch", "Batches", "Part", "Source"]


@dataclass(frozen=True, slots=True)
class Batch:
    """The inputs of one step; ``parts`` says where each row comes from, in order.

    Attributes:
        x: Inputs, (N, ...).
        ids: Sample ids, int64 (N,).
        labels: Class indices, int64 (N,) or (N, L), ``UNLABELLED`` where there is none; None without any.
        partner_labels: The labels of the mixing partners.
        label_weight: float (N,), the share of a row's own label.
        parts: Which rows of which source in which view.
        labelled: Number of labels in the whole batch; None if rows have several, or they must be counted.
        step: The step of the batch.
        seen: The student's inputs, (N, ...), if they differ from those that teachers are asked about.
    """

    x: Tensor
    ids: Tensor
    labels: Tensor | None
    partner_labels: Tensor | None
    label_weight: Tensor | None
    parts: tuple[Part, ...]
    labelled: int | None = None
    step: int | None = None
    seen: Tensor | None = None

    def pieces(self, count: int) -> list[Batch]:
        """The batch in ``count`` pieces of every ``count``-th row, so that each has rows of every source."""
        return [self.every(count, start) for start in range(count)]

    def every(self, count: int, start: int) -> Batch:
        """Rows ``start``, ``start + count``, ``start + 2 count`` ..."""
        parts, at = [], 0
        for part in self.parts:
            rows = part.rows[(start - at) % count :: count]
            parts += [replace(part, rows=rows)] if len(rows) else []
            at += len(part.rows)

        def cut(values: Tensor | None) -> Tensor | None:
            return None if values is None else values[start::count]

        return Batch(
            self.x[start::count],
            self.ids[start::count],
            cut(self.labels),
            cut(self.partner_labels),
            cut(self.label_weight),
            tuple(parts),
            self.labelled,
            self.step,
            cut(self.seen),
        )


class Batches:
    """The batch of every step.

    A step's rows depend on (seed, step) alone, so that a run can resume anywhere, and no worker, world size
    or order of calls can change them. Actively chosen queries also depend on earlier choices; see
    :meth:`state`.

    Args:
        sources: Where the rows come from; their shares sum to one.
        batch: Rows per step.
        seed: Seeds orders, views and generators.
        steps: Steps of the whole run; decides when active sources choose.
        steps_per_epoch: Steps per epoch, for the same purpose.
        rank: Ranks a pool for an active source; see :mod:`bequest.distill.ranking`.

    Raises:
        ConfigError: If the shares do not sum to one or leave a source without a row, or an active source
            cannot be chosen from.
    """

    def __init__(
        self,
        sources: Sequence[AnySource],
        *,
        batch: int,
        seed: int,
        steps: int = 1,
        steps_per_epoch: int = 1,
        rank: Rank | None = None,
    ) -> None:
        self.sources = tuple(sources)
        self.seed = seed
        self.counts = _row_counts(self.sources, batch)
        self.batch = sum(self.counts)
        self._steps, self._steps_per_epoch = steps, steps_per_epoch
        self._rank = rank or _cannot_rank
        self._streams = [self._stream(k, source) for k, source in enumerate(self.sources)]
        self._labels = [source.split.y for source in sources if isinstance(source, Source)]
        self._labelled = self._label_count()

    def at(self, step: int, *, every: int = 1, start: int = 0) -> Batch:
        """The batch of ``step``: rows in their views, with their labels.

        Args:
            step: The step.
            every: Take only every ``every``-th row, as one of ``every`` ranks does; no other row is computed.
            start: The first row.
        """
        parts: list[Part] = []
        shown: list[Shown] = []
        at = 0
        for stream in self._streams:
            # ``at`` rows come before this source in the whole batch: the stride runs on across sources.
            first = (start - at) % every
            at += stream.rows
            if first >= stream.rows:
                continue
            drawn, rows = stream.draw(step, every, first)
            parts += drawn
            shown.append(rows)
        if len(self._streams) == 1:
            only = shown[0]
            return Batch(*only[:5], tuple(parts), self._labelled, step, only.seen)
        x, ids, *labels, seen = zip(*shown, strict=True)
        joined, partners, weights = self._joined_labels(ids, *labels)
        looks = None
        if any(each is not None for each in seen):
            looks = torch.cat([a if b is None else b for a, b in zip(x, seen, strict=True)])
        return Batch(
            torch.cat(x), torch.cat(ids), joined, partners, weights, tuple(parts), self._labelled, step, looks
        )

    def state(self) -> dict[str, list[Tensor]]:
        """The queries that active sources have chosen so far, by source name, one tensor per round."""
        return {stream.source.name: list(stream.chosen) for stream in self._active()}

    def restore(self, state: Mapping[str, Sequence[Tensor]]) -> None:
        """Take up the :meth:`state` of another process."""
        for stream in self._active():
            stream.restore(state[stream.source.name])

    def _active(self) -> Iterator[ChosenStream]:
        return (stream for stream in self._streams if isinstance(stream, ChosenStream))

    def _stream(self, index: int, source: AnySource) -> Stream:
        rows = self.counts[index]
        if isinstance(source, Generated):
            return GeneratedStream(index, source, rows, self.seed)
        if source.active is None:
            return SplitStream(index, source, rows, self.seed)
        starts = source.active.starts(steps=self._steps, steps_per_epoch=self._steps_per_epoch)
        return ChosenStream(index, source, rows, self.seed, starts=starts, rank=self._rank)

    def _label_count(self) -> int | None:
        """Labels in every batch; None if they must be counted, since rows have several or may lack one."""
        for y in self._labels:
            if y is not None and (y.ndim > 1 or bool((y == UNLABELLED).any())):
                return None
        return sum(rows for rows, source in zip(self.counts, self.sources, strict=True) if source.labelled)

    def _joined_labels(
        self,
        ids: Sequence[Tensor],
        labels: Sequence[Tensor | None],
        partners: Sequence[Tensor | None],
        weights: Sequence[Tensor | None],
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        """The labels of several sources joined; missing ones are UNLABELLED, unmixed rows have weight 1."""
        first_labels = next((y for y in self._labels if y is not None), None)
        if first_labels is None:
            return None, None, None
        filled = [
            first_labels.new_full((len(rows), *first_labels.shape[1:]), UNLABELLED)
            if label is None
            else label
            for rows, label in zip(ids, labels, strict=True)
        ]
        if all(weight is None for weight in weights):
            return torch.cat(filled), None, None
        mixed = [y if p is None else p for y, p in zip(filled, partners, strict=True)]
        shares = [
            torch.ones(len(rows), device=rows.device) if w is None else w
            for rows, w in zip(ids, weights, strict=True)
        ]
        return torch.cat(filled), torch.cat(mixed), torch.cat(shares)


def _cannot_rank(spec: ActiveSpec, pool: Iterator[Drawn]) -> Tensor | PoolFeatures:
    """The ``rank`` of batches that were given none."""
    del pool
    raise DataError(
        f"nothing is given that can rank a pool by {spec.by}",
        expected="a student and its teachers",
        remedy='use by = "random", or let a Lesson draw the batches',
    )


def _row_counts(sources: Sequence[AnySource], batch: int) -> list[int]:
    """Rows per source by largest remainder, each at least one, so that they sum to ``batch``."""
    names, shares = [source.name for source in sources], [source.share for source in sources]
    faults = []
    if abs(sum(shares) - 1.0) > 1e-6 or min(shares, default=0.0) <= 0.0:
        faults.append(f"shares: expected positive numbers that sum to 1, got {list(shares)}")
    elif batch < len(shares):
        faults.append(f"batch: {batch} rows cannot hold {len(shares)} sources")
    if len(set(names)) < len(names):
        faults.append(f"names: expected a different name for each source, got {names}")
    if faults:
        raise ConfigError.of("queries", faults)
    exact = [share * batch for share in shares]
    counts = [int(value) for value in exact]
    by_remainder = sorted(range(len(shares)), key=lambda k: counts[k] - exact[k])
    for k in by_remainder[: batch - sum(counts)]:
        counts[k] += 1
    # A source with a tiny share still takes part: one row, at the cost of the largest.
    for k in [k for k, count in enumerate(counts) if count == 0]:
        counts[counts.index(max(counts))] -= 1
        counts[k] = 1
    return counts
