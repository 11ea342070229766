"""A study under torchrun: one cell at a time, all ranks at work on it.

The first rank runs the study and writes its folder; the others follow: they train the cells that it names.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bequest.distill.parallel import Ranks, following, joined
from bequest.errors import RunError
from bequest.memory import keep_heap
from bequest.studies.cells import run_cell, train_cell
from bequest.studies.folder import RunFolder
from bequest.studies.plan import Cell, Plan
from bequest.studies.pool import Answer


@dataclass(frozen=True)
class RankPool:
    """Runs the cells of a plan one after another, each with all ranks."""

    plan: Plan
    root: Path
    ranks: Ranks

    def run(self, cells: Sequence[Cell], done: set[str]) -> Iterator[Answer]:
        """Run ``cells`` in their order; yields how each ended.

        Raises:
            RunError: If a cell fails: the ranks may then be at different places.
            WorkerLost: If another rank is gone.
        """
        del done
        keep_heap()
        for cell in cells:
            self.ranks.shared((str(self.root.resolve()), cell.id))
            record = run_cell(self.plan, cell, self.root)
            if record.status != "done":
                raise RunError(
                    f"the cell {cell.arm}, seed {cell.seed}, failed, and with {self.ranks.world} ranks the "
                    "run ends with it",
                    got=record.error,
                    remedy="the same command tries it again",
                )
            yield Answer(cell, record.status)


@contextmanager
def leading() -> Iterator[Ranks]:
    """Join the other ranks, if there are any, as the one that leads; dismiss them at the end."""
    with joined() as ranks:
        yield ranks
        ranks.shared(None)


def follow() -> bool:
    """Do what the first rank asks until it needs no more; False at once in the first rank, or alone.

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
            train_cell(plan, next(cell for cell in plan.cells if cell.id == cell_id), root)
    return True
