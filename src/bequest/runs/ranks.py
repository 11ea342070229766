"""A study under torchrun: one cell at a time, all ranks at work on it.

The first rank runs the study and writes its folder; the others follow: they train the cells that it names.
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
    """Does the jobs of a plan one after another; each cell is trained by all ranks, and read by the first."""

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
    """A workbench of the first rank, with which the others train: it names each cell to them."""

    def __init__(self, plan: Plan, root: Path, device: str, ranks: Ranks) -> None:
        super().__init__(plan, root, device)
        self.ranks = ranks

    def do(self, job: Job, *, readings: Collection[str] | None = None) -> Answer:
        """Train a cell with the other ranks, or read it without them."""
        if job.action == TRAIN:
            self.ranks.ordered((str(self.root.resolve()), job.cell.id))
        return super().do(job, readings=readings)


def in_step(answers: Iterable[Answer], ranks: Ranks) -> Iterator[Answer]:
    """``answers``, as long as none tells of a job that failed here.

    Raises:
        RunError: If one does: the ranks may then be at different places.
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
        ranks.ordered(None)


def follow(device: Device = "cpu") -> bool:
    """Do what the first rank asks until it needs no more; False at once in the first rank, or alone.

    Args:
        device: Where this rank computes; ``auto`` and ``cuda`` are the GPU that has its number.

    Raises:
        BequestError: What ended a cell here; the first rank then loses this one.
    """
    if not following():
        return False
    with joined() as ranks:
        keep_heap()
        nothing: tuple[str, str] | None = None
        while (order := ranks.ordered(nothing)) is not None:
            root, cell_id = Path(order[0]), order[1]
            plan = RunFolder(root).plan()
            train_cell(plan, plan.by_id[cell_id], root, device=device)
    return True
