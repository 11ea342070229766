"""How many answers a run asks of its teachers: the budget on which arms are compared."""

from __future__ import annotations

import torch

from bequest.data.batches import Batches, Source
from bequest.data.streams import SplitStream


def queries_asked(batches: Batches, steps: int, *, repeatable: bool) -> int:
    """Answers asked of one teacher in the first ``steps`` of ``batches``, used or not.

    A query is a sample in a view. A teacher with repeatable answers is asked about each query once, however
    often it is shown; any other teacher gives a new answer every time. If a pool is ranked by the teachers'
    answers, the whole pool is asked. The number is a function of (seed, steps), so that a resumed run reports
    the same as an uninterrupted one.

    Args:
        batches: The rows of every step.
        steps: Steps taken.
        repeatable: Whether the same query always has the same answer.
    """
    total = 0
    for index, (source, rows) in enumerate(zip(batches.sources, batches.counts, strict=True)):
        if isinstance(source, Source) and source.active is not None:
            views = 1 if source.plain else source.view_count or 1
            pool = len(source.split) * views
            chosen = sum(len(each) for each in batches.state()[source.name])
            ranked = source.active.asks_teachers
            if repeatable:
                total += pool if ranked else chosen
            else:
                # A ranked pool is answered once a round, on top of the answers that the steps ask for.
                total += steps * rows + (pool * len(batches.state()[source.name]) if ranked else 0)
        # Generated inputs are new at every step, so that even a repeatable teacher is asked each time.
        elif not repeatable or not isinstance(source, Source):
            total += steps * rows
        elif source.plain or source.view_count is not None:
            # Replayed instead of counted while asking: the order of queries follows from the seed.
            total += _distinct(SplitStream(index, source, rows, batches.seed), source, steps)
        else:
            total += steps * rows
    return total


def _distinct(stream: SplitStream, source: Source, steps: int) -> int:
    """Distinct (sample, view) of a source that shows finitely many views."""
    views = 1 if source.plain else source.view_count or 1
    seen = torch.zeros(views, len(source.split), dtype=torch.bool)
    per_pass = max(1, len(source.split) // stream.rows)
    for step in range(steps):
        part = stream.part(step)
        seen[0 if source.plain else part.view, part.rows.cpu()] = True
        # Only once a pass, as the check reads the whole table.
        if (step + 1) % per_pass == 0 and bool(seen.all()):
            break
    return int(seen.sum())
