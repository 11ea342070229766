"""A study under torchrun: all ranks train one cell at a time.

The first rank runs the study and writes its folder; the others train the cells that it names.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bequest.distill.parallel import Ranks, following, joined
from bequest.errors import RunError
from bequest.memory import keep_heap
from bequest.models.devices import Device
from bequest.runs.cell import train_cell
from bequest.runs.folder import RunFolder
from bequest.runs.jobs.queue import JobQueue, serve
from bequest.runs.jobs.schedule import Answer
from bequest.runs.survey import TRAIN, Job
from bequest.runs.work import Workbench
from bequest.studies.plan import Plan


@dataclass(frozen=True)
class RankPool:
    """Does the jobs of a plan one after another: all ranks train each cell, and the first one reads it."""

    plan: Plan
    root: Path
    ranks: Ranks
    device: str = "cpu"

    def run(self, queue: JobQueue) -> Iterator[Answer]:
        """Do the jobs of ``queue`` in their order; yields how each ended.

        Raises:
            RunError: If a cell fails: the ranks may then be at different places.
            WorkerLost: If another rank is gone.
        """
        keep_heap()
        bench = RankedBench(self.plan, self.root, self.device, self.ranks)
        yield from in_step(serve(queue, bench.do), self.ranks)


class RankedBench(Workbench):
    """The workbench of the first rank: it names each cell to the others, which train it with this one."""

    def __init__(self, plan: Plan, root: Path, device: str, ranks: Ranks) -> None:
        super().__init__(plan, root, device)
        self.ranks = ranks

    def do(self, job: Job, *, readings: Collection[str] | None = None) -> Answer:
        """Train a cell with the other ranks, or read it without them."""
        if job.action == TRAIN:
            self.ranks.ordered((str(self.root.resolve()), job.cell.id))
        return super().do(job, readings=readings)


def in_step(answers: Iterable[Answer], ranks: Ranks) -> Iterator[Answer]:
    """``answers``, as long as no job failed here.

    A failure elsewhere costs these ranks nothing; after one here they may wait for each other at different
    places.

    Raises:
        RunError: If a job failed here.
    """
    for answer in answers:
        if answer.status != "done" and not answer.elsewhere:
            cell = answer.job.cell
            raise RunError(
                f"the cell {cell.arm}, seed {cell.seed}, failed, and with {ranks.world} "
                "ranks the run ends with it",
                got=answer.error,
                remedy="the same command tries it again",
            )
        yield answer


@contextmanager
def leading() -> Iterator[Ranks]:
    """Join the other ranks, if there are any, as the one that leads; dismiss them at the end."""
    with joined() as ranks:
        yield ranks
        # Not after an error: the others may be inside a training, and wait for gradients, not for an order.
        ranks.ordered(None)


def follow(device: Device = "cpu") -> bool:
    """Train what the first rank names until it has no more; False at once in the first rank, or alone.

    Args:
        device: Where this rank computes; ``auto`` and ``cuda`` are the GPU that has its number.

    Raises:
        BequestError: If a training fails here; the first rank then loses this one.
    """
    if not following():
        return False
    with joined() as ranks:
        keep_heap()
        nothing: tuple[str, str] | None = None
        while (order := ranks.ordered(nothing)) is not None:
            root, cell_id = Path(order[0]), order[1]
            plan = RunFolder(root).plan()  # with every order: the next look has more cells
            train_cell(plan, plan.by_id[cell_id], root, device=device)
    return True
