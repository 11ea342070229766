"""Do one job of a run, in any process."""

from __future__ import annotations

from collections.abc import Collection
from functools import cached_property
from pathlib import Path

from bequest.errors import BequestError
from bequest.runs.cell import run_cell
from bequest.runs.jobs.schedule import Answer
from bequest.runs.reading import read_cell
from bequest.runs.survey import READ, TRAIN, Demand, Job
from bequest.studies.plan import Plan


class Workbench:
    """What a process needs to do jobs of one run.

    Args:
        plan: The study.
        root: The run folder.
        device: Where networks are trained and read.
    """

    def __init__(self, plan: Plan, root: Path, device: str = "cpu") -> None:
        self.plan = plan
        self.root = root
        self.device = device

    def do(self, job: Job, *, readings: Collection[str] | None = None) -> Answer:
        """Train a cell or make its readings; returns how that ended.

        Args:
            job: What to do.
            readings: The ids of the readings to make; default: all that the cell lacks here.
        """
        if job.action == READ:
            wanted = self._demand.readings(job.cell.id)
            if readings is not None:
                wanted = {key: reading for key, reading in wanted.items() if key in readings}
            try:
                made = read_cell(job.cell, self.root, wanted, device=self.device)
            except BequestError as error:
                return Answer(job, "failed", str(error))
            except Exception as error:  # memory, or a disk that fails
                return Answer(job, "failed", f"{type(error).__name__}: {error}")
            return Answer(job, "failed" if made.failures else "done", made.sentence(), made.count)
        snapshots = self._demand.path(job.cell.id)
        try:
            record = run_cell(self.plan, job.cell, self.root, snapshots=snapshots, device=self.device)
        except BequestError as error:  # its record cannot be written
            return Answer(job, "failed", str(error))
        return Answer(job, record.status, record.error)

    def job(self, job_id: str) -> Job:
        """The job with this id: ``train CELL`` or ``read CELL``.

        Raises:
            KeyError: If the plan has no such cell.
        """
        action, cell_id = job_id.split()
        return Job(READ if action == READ else TRAIN, self.plan.by_id[cell_id])

    @cached_property
    def _demand(self) -> Demand:
        return Demand(self.plan)
