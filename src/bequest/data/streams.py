"""A source as a stream: the rows of each step are a pure function of (seed, step)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from bequest.data.designs import PoolFeatures, badge, coverage, far, highest, moves, stratified
from bequest.data.queries import SPREADING, ActiveSpec, Generated, Source
from bequest.data.rows import LazyRows
from bequest.errors import ConfigError, DataError
from bequest.seeding import derive, torch_generator

POOL_CHUNK = 500
"""Rows of a pool that are ranked in one forward pass."""

AHEAD = 3
"""Steps whose inputs are read ahead if they are not in memory."""


@dataclass(frozen=True, slots=True)
class Part:
    """Rows of one source in one batch, in one view.

    If the source asks about some rows only, ``among`` holds all rows asked about in that view so far.
    """

    source: int
    rows: Tensor
    view: int
    among: Tensor | None = None


class Shown(NamedTuple):
    """Rows of a step: inputs, ids, labels, the partners' labels, the weights of the rows' own labels.

    ``seen`` holds the student's inputs if they differ from those that teachers are asked about.
    """

    x: Tensor
    ids: Tensor
    labels: Tensor | None = None
    partner_labels: Tensor | None = None
    label_weight: Tensor | None = None
    seen: Tensor | None = None

    def at(self, rows: Tensor) -> Shown:
        """The same source with some of its rows."""
        return Shown(*(None if values is None else values.index_select(0, rows) for values in self))  # type: ignore[arg-type]


Drawn = tuple[list[Part], Shown]
Rank = Callable[[ActiveSpec, Iterator[Drawn]], Tensor | PoolFeatures]
"""Scores a pool, which comes in chunks: one number per query, of which the largest is chosen first; or, for
the designs in ``SPREADING``, features (and residuals) of each."""


class Stream(ABC):
    """The rows of source number ``index``, ``rows`` of them per step."""

    def __init__(self, index: int, rows: int) -> None:
        self.index = index
        self.rows = rows

    @abstractmethod
    def draw(self, step: int, every: int = 1, start: int = 0) -> Drawn:
        """Rows ``start``, ``start + every`` ... of those that ``step`` sees."""


class SplitStream(Stream):
    """The samples of a split, in a new order each pass.

    Rows that do not fill a last batch are left out of that pass.
    """

    def __init__(self, index: int, source: Source, rows: int, seed: int) -> None:
        super().__init__(index, rows)
        self.source = source
        self._seed = seed
        self._view_seed = seed if source.view_seed is None else source.view_seed
        self._order = _Order(len(source.split), rows, seed, source.name, source.split.ids.device)

    def draw(self, step: int, every: int = 1, start: int = 0) -> Drawn:
        """See :meth:`Stream.draw`."""
        part = self.part(step, every, start)
        shown = self.shown(part.rows, part.view)
        self._read_ahead(step, every, start)
        return [part], shown._replace(seen=self.seen(shown.x, shown.ids, part.view))

    def part(self, step: int, every: int = 1, start: int = 0) -> Part:
        """The rows and the view of :meth:`draw`."""
        rows, passes = self._order.at(step)
        view = passes if self.source.view_count is None else passes % self.source.view_count
        return Part(self.index, rows[start::every] if every > 1 else rows, view)

    def shown(self, rows: Tensor, view: int) -> Shown:
        """``rows`` of the split in a view, with their labels."""
        split, source = self.source.split, self.source
        x, ids = split.x.index_select(0, rows), split.ids.index_select(0, rows)
        labels = None if split.y is None else split.y.index_select(0, rows)
        if source.plain:
            return Shown(x, ids, labels)
        pool = (split.x, split.ids)
        x = source.view(x, ids, view, seed=self._view_seed, pool=pool)
        mixing = source.view.mixing(ids, view, seed=self._view_seed, pool=pool)
        if split.y is None or mixing is None:
            return Shown(x, ids, labels)
        partner, weight = mixing
        return Shown(x, ids, labels, split.y[partner], weight)

    def seen(self, x: Tensor, ids: Tensor, look: int) -> Tensor | None:
        """``x`` in the student's own view number ``look``; None without one."""
        extra = self.source.student_view
        return None if extra is None else extra(x, ids, look, seed=derive(self._view_seed, "student view"))

    def _read_ahead(self, step: int, every: int, start: int) -> None:
        """Start reading the inputs of the next steps, if they are not in memory."""
        inputs = self.source.split.x
        if isinstance(inputs, LazyRows):
            for later in range(step + 1, step + 1 + AHEAD):
                inputs.prefetch(self.part(later, every, start).rows)


class GeneratedStream(Stream):
    """Inputs generated for each step; their ids count from step · rows."""

    def __init__(self, index: int, source: Generated, rows: int, seed: int) -> None:
        super().__init__(index, rows)
        self.source = source
        self._seed = seed

    def draw(self, step: int, every: int = 1, start: int = 0) -> Drawn:
        """See :meth:`Stream.draw`.

        Raises:
            DataError: If the generator makes anything but ``rows`` inputs.
        """
        # All rows on every rank: one call of the generator gives the same inputs for any number of ranks.
        x = self.source.generate(self.rows, torch_generator(self._seed, "generate", self.source.name, step))
        if not isinstance(x, Tensor) or len(x) != self.rows:
            raise DataError(
                f"the generator {self.source.name!r} did not return what it was asked for",
                expected=f"a tensor of {self.rows} inputs",
                got=f"a tensor {tuple(x.shape)}" if isinstance(x, Tensor) else type(x).__name__,
            )
        rows = torch.arange(self.rows)[start::every]
        return [Part(self.index, rows, step)], Shown(x[start::every], step * self.rows + rows)


class ChosenStream(Stream):
    """A part of a pool, chosen in rounds; the pool's query q is sample q mod N in view q // N.

    The chosen queries are the stream's state; given them, a step's rows are a pure function of the step.
    """

    def __init__(
        self, index: int, source: Source, rows: int, seed: int, *, starts: Sequence[int], rank: Rank
    ) -> None:
        super().__init__(index, rows)
        assert source.active is not None
        self.source, self.spec = source, source.active
        self.chosen: list[Tensor] = []
        self._seed = seed
        self._starts = tuple(starts)
        self._rank = rank
        self._samples = SplitStream(index, source, rows, seed)
        self._now: _Chosen | None = None
        self._check()

    def draw(self, step: int, every: int = 1, start: int = 0) -> Drawn:
        """See :meth:`Stream.draw`. Rounds that are due by ``step`` choose first."""
        current = sum(begin <= step for begin in self._starts)
        for begin in range(len(self.chosen), current):
            self._choose(begin)
        chosen = self._taken(current)
        at, passes = chosen.order.at(step - self._starts[current - 1])
        # Sorted, so that queries of one view are adjacent and form one part.
        at = at.sort().values[start::every]
        queries, shown = chosen.queries.index_select(0, at), chosen.shown.at(at)
        # Few queries are repeated often, so the student gets a new view of them each pass.
        shown = shown._replace(seen=self._samples.seen(shown.x, queries, passes))
        return self._parts(queries, chosen.asked), shown

    def pool(self) -> Iterator[Drawn]:
        """The whole pool in chunks, view by view."""
        for view in range(self._views()):
            every = torch.arange(len(self.source.split), device=self.source.split.ids.device)
            for rows in torch.split(every, POOL_CHUNK):
                yield [Part(self.index, rows, view)], self._samples.shown(rows, view)

    def restore(self, chosen: Sequence[Tensor]) -> None:
        """Resume from the queries that another process has chosen."""
        self.chosen = [queries.to(self.source.split.ids.device) for queries in chosen]
        self._now = None

    def _choose(self, number: int) -> None:
        """Let round ``number`` add the highest-ranked queries that are not chosen yet."""
        count = self.spec.sizes()[number]
        earlier = torch.cat(self.chosen).cpu() if self.chosen else torch.empty(0, dtype=torch.int64)
        rows = self._design(count, earlier)
        self.chosen.append(rows.to(self.source.split.ids.device))

    def _design(self, count: int, earlier: Tensor) -> Tensor:
        """The next ``count`` queries by the source's ranking or design."""
        samples, views, by = len(self.source.split), self._views(), self.spec.by
        if by == "stratified":
            return stratified(samples, views, count, seed=self._seed, chosen=earlier)
        if by == "coverage_inputs":
            inputs = torch.cat([shown.x.flatten(1).float() for _, shown in self.pool()])
            return coverage(inputs, count, chosen=earlier)
        if by == "random":
            generator = torch_generator(self._seed, "active", self.source.name)
            return highest(torch.rand(samples * views, generator=generator), count, chosen=earlier)
        if by == "far":
            clean = self.source.split.x
            pieces = [moves(shown.x, clean[parts[0].rows]) for parts, shown in self.pool()]
            return far(torch.cat(pieces).view(views, samples), count, seed=self._seed, chosen=earlier)
        return self._by_network(self._rank(self.spec, self.pool()), count, earlier)

    def _by_network(self, answers: Tensor | PoolFeatures, count: int, earlier: Tensor) -> Tensor:
        by = self.spec.by
        if by not in SPREADING and isinstance(answers, Tensor):
            return highest(answers, count, chosen=earlier)
        if by in SPREADING and isinstance(answers, PoolFeatures):
            if by == "coverage":
                return coverage(answers.features, count, chosen=earlier)
            if answers.residuals is not None:
                return badge(answers.residuals, answers.features, count, seed=self._seed, chosen=earlier)
        needed = "features that were not computed here" if by in SPREADING else "a score per query"
        raise ConfigError.of(f"queries {self.source.name!r}", [f"active.by: {by!r} needs {needed}"])

    def _taken(self, current: int) -> _Chosen:
        """The queries of the first ``current`` rounds."""
        # Kept until the next round: the inputs are computed once, not at every step.
        if self._now is None or self._now.rounds != current:
            queries = torch.cat(self.chosen[:current]).sort().values
            parts = self._parts(queries, {})
            self._now = _Chosen(
                current,
                queries,
                _joined([self._samples.shown(part.rows, part.view) for part in parts]),
                _Order(len(queries), self.rows, self._seed, f"{self.source.name}/{current}", queries.device),
                {} if self.spec.asks_teachers else {part.view: part.rows for part in parts},
            )
        return self._now

    def _parts(self, queries: Tensor, asked: Mapping[int, Tensor]) -> list[Part]:
        """One part per view; ``queries`` are in rising order."""
        views, samples = queries // len(self.source.split), queries % len(self.source.split)
        kinds, counts = torch.unique_consecutive(views, return_counts=True)
        pieces = torch.split(samples, counts.tolist())
        return [
            Part(self.index, rows, view, asked.get(view))
            for view, rows in zip(kinds.tolist(), pieces, strict=True)
        ]

    def _views(self) -> int:
        return 1 if self.source.plain else self.source.view_count or 1

    def _check(self) -> None:
        source = self.source
        faults = self.spec.faults(plain=source.plain, view_count=source.view_count, samples=len(source.split))
        if faults:
            raise ConfigError.of(f"queries {self.source.name!r}", faults)


def _joined(pieces: Sequence[Shown]) -> Shown:
    columns = [None if rows[0] is None else torch.cat(rows) for rows in zip(*pieces, strict=True)]
    return Shown(*columns)  # type: ignore[arg-type]


class _Order:
    """Rows 0..size-1 assigned to steps, in a new order each pass."""

    def __init__(self, size: int, rows: int, seed: int, name: str, device: torch.device) -> None:
        self._size, self._rows = size, rows
        self._seed, self._name = seed, name
        self._device = device
        self._orders: dict[int, Tensor] = {}

    def at(self, step: int) -> tuple[Tensor, int]:
        """The rows of ``step`` and the number of its pass; if all fit into a step, all of them, repeated."""
        if self._size <= self._rows:
            return torch.arange(self._rows, device=self._device) % self._size, step
        passes, place = divmod(step, self._size // self._rows)
        if passes not in self._orders:
            # Neighbouring passes are kept: reading ahead enters the next pass before this one has ended.
            self._orders = {each: order for each, order in self._orders.items() if abs(each - passes) == 1}
            generator = torch_generator(self._seed, "order", self._name, passes)
            self._orders[passes] = torch.randperm(self._size, generator=generator).to(self._device)
        return self._orders[passes][place * self._rows : (place + 1) * self._rows], passes


class _Chosen(NamedTuple):
    """The queries of the first ``rounds`` rounds, their inputs and their order.

    ``asked`` holds, by view, the rows that teachers are asked about; empty if they answer the whole pool.
    """

    rounds: int
    queries: Tensor
    shown: Shown
    order: _Order
    asked: Mapping[int, Tensor]
