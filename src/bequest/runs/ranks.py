"""A study under torchrun: one cell at a time, all ranks at work on it.

The first rank runs the study and writes its folder; the others follow: they train the cells that it names.
"""

from __future__ import annotations

from collections.abc import Iterator
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
        bench = Workbench(self.plan, self.root, self.device)

        def do(job: Job) -> Answer:
            if job.action == TRAIN:
                self.ranks.shared((str(self.root.resolve()), job.cell.id))
            return bench.do(job)

        for answer in serve(queue, do):
            if answer.status != "done":
                cell = answer.job.cell
                raise RunError(
                    f"the cell {cell.arm}, seed {cell.seed}, failed, and with {self.ranks.world} "
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
        ranks.shared(None)


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
        while (order := ranks.shared(nothing)) is not None:
            root, cell_id = Path(order[0]), order[1]
            plan = RunFolder(root).plan()
            train_cell(plan, plan.by_id[cell_id], root, device=device)
    return True
