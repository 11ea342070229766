"""``bequest watch``: what is done of a run, what is being done and by whom, and what is left."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Literal

from bequest.runs.folder import RunFolder
from bequest.runs.jobs.leases import Leases, key_of
from bequest.runs.jobs.schedule import Answer, Schedule
from bequest.runs.jobs.workers import Presence, Watch, WorkerRecord
from bequest.runs.survey import TRAIN, CellState, Demand, Job, record_of_cell, state_of
from bequest.studies.cell import Cell, cell_folder
from bequest.studies.plan import Plan

Progress = Literal["done", "at work", "failed", "waiting"]


@dataclass(frozen=True)
class Overview:
    """The progress of a run.

    Attributes:
        name: The study.
        scale: At which it runs.
        status: What its record says; ``prepared`` without one.
        cells: How many cells of each arm are done, at work, failed and waiting.
        readings: How many readings are made, and how many there will be.
        workers: The processes at work.
        doing: The jobs that are being done, by id.
        errors: Why jobs failed, by arm and seed.
        left: Seconds until all jobs are done, by the mean duration of each arm's cells so far; None if an arm
            has none yet, or nobody is at work.
    """

    name: str
    scale: str
    status: str
    cells: Mapping[str, Counter[Progress]]
    readings: tuple[int, int]
    workers: tuple[WorkerRecord, ...]
    doing: Mapping[str, Job]
    errors: Mapping[str, str]
    left: float | None

    @property
    def ended(self) -> bool:
        """Whether the run was concluded, and nobody is at work."""
        return self.status in ("complete", "partial") and not self.workers


class Observer:
    """Observes a run folder repeatedly; cells that are finished are not read again.

    Args:
        root: The run folder.

    Raises:
        RunFolderError: If it holds no run.
    """

    def __init__(self, root: Path) -> None:
        self._folder, self._watch = RunFolder(root), Watch(root)
        # The presence is never entered, so that it writes no file: an observer is no worker.
        self._leases = Leases(root, Presence(root, "watch"), self._watch)
        self._version: int | None = None
        self._take_up_plan()

    def look(self) -> Overview:
        """How far the run is now."""
        self._take_up_plan()
        self._leases.refresh()
        for cell in self._plan.by_id.values():
            if cell.id not in self._finished:
                self._look_at(cell)
        jobs = self._jobs()
        doing = {job.id: job for job in jobs if key_of(job.id) in self._leases.others()}
        failed = self._failed(jobs)
        record = self._folder.readable_record()
        return Overview(
            self._plan.study.name,
            self._plan.scale,
            record.status if record is not None else "prepared",
            self._counts(doing, failed),
            (self._made(), sum(len(self._demand.readings(cell_id)) for cell_id in self._plan.by_id)),
            tuple(self._watch.workers()),
            doing,
            {
                f"{answer.job.cell.arm} seed {answer.job.cell.seed}": answer.error or answer.status
                for answer in failed.values()
                if key_of(answer.job.id) in self._leases.failed()  # not those that only follow from another
            },
            self._left([job for job in jobs if job.id not in failed], len(doing)),
        )

    def _take_up_plan(self) -> None:
        """Read the study, again if the run has grown."""
        path = self._folder.configuration
        version = path.stat().st_mtime_ns if path.is_file() else None
        if version is None or version != self._version:
            self._plan: Plan = self._folder.plan()
            self._demand = Demand(self._plan)
            self._states: dict[str, CellState] = {}
            self._seconds: dict[str, float] = {}
            self._finished = set[str]()
            self._version = version

    def _look_at(self, cell: Cell) -> None:
        state = self._states[cell.id] = state_of(self._folder.path, cell, verify=False)
        if state.trained and cell.id not in self._seconds:
            record = record_of_cell(cell_folder(self._folder.path, cell.id), cell)
            self._seconds[cell.id] = record.durations.get("total", 0.0) if record is not None else 0.0
        if not self._demand.jobs(state):
            self._finished.add(cell.id)

    def _jobs(self) -> list[Job]:
        """The jobs that are left, in the order of the plan."""
        return [
            job
            for cell_id in self._plan.by_id
            if cell_id not in self._finished
            for job in self._demand.jobs(self._states[cell_id])
        ]

    def _failed(self, jobs: Sequence[Job]) -> dict[str, Answer]:
        """The jobs that failed, and those that cannot be done because one that they require failed."""
        schedule, answers = Schedule(jobs), dict[str, Answer]()
        for job in jobs:
            if key_of(job.id) in self._leases.failed() and (failure := self._leases.failure(job.id)):
                answers[job.id] = Answer(job, failure.status, failure.error)
                schedule.end(answers[job.id])
        return answers | {answer.job.id: answer for answer in schedule.given_up()}

    def _counts(self, doing: Collection[str], failed: Collection[str]) -> dict[str, Counter[Progress]]:
        counts: dict[str, Counter[Progress]] = {}
        for cell in self._plan.cells:
            job = Job(TRAIN, cell).id
            progress: Progress = "waiting"
            if self._states[cell.id].trained:
                progress = "done"
            elif job in failed:
                progress = "failed"
            elif job in doing:
                progress = "at work"
            counts.setdefault(cell.arm, Counter())[progress] += 1
        return counts

    def _made(self) -> int:
        """How many readings of the plan are made."""
        return sum(
            len(self._demand.readings(cell_id)) - len(self._demand.lacking(state))
            for cell_id, state in self._states.items()
        )

    def _left(self, jobs: Sequence[Job], hands: int) -> float | None:
        """Seconds of the remaining trainings by their arm's mean so far, divided by the jobs in progress."""
        by_arm: dict[str, list[float]] = {}
        for cell_id, seconds in self._seconds.items():
            by_arm.setdefault(self._plan.by_id[cell_id].arm, []).append(seconds)
        arms = [job.cell.arm for job in jobs if job.action == TRAIN]
        if not hands or any(arm not in by_arm for arm in arms):
            return None
        return sum(fmean(by_arm[arm]) for arm in arms) / hands
