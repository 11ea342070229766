"""Running a study: check it, see what its folder lacks, do that, measure, judge."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from bequest.distill.parallel import Ranks
from bequest.interrupts import like_ctrl_c
from bequest.records import CellRecord, Measurement, StudyRecord
from bequest.runs.conclusion import Conclusion
from bequest.runs.folder import MEASUREMENTS, RunFolder
from bequest.runs.jobs.leases import Leases
from bequest.runs.jobs.queue import Engine, JobQueue
from bequest.runs.planning import Study, planned
from bequest.runs.pool import LocalPool
from bequest.runs.ranks import RankPool, follow, leading
from bequest.runs.survey import Job, Survey, survey
from bequest.studies.plan import Plan

Progress = Callable[["Update"], None]
Step = Literal["nothing", "verdicts", "measuring"]


@dataclass(frozen=True)
class Update:
    """How far a run is.

    Attributes:
        survey: What was there when it began, and what was to be done.
        done: Jobs that are done; a job trains a cell or makes the readings that a cell lacks.
        total: All jobs.
        seconds: How long it has taken.
        failed: Jobs that failed.
        job: The job that ended last; None before the first one.
        conclusion: What follows the jobs: ``nothing``, ``verdicts``, or ``measuring`` and then verdicts.
        error: Why that one failed.
    """

    survey: Survey
    done: int
    total: int
    seconds: float
    failed: int = 0
    job: Job | None = None
    error: str | None = None
    conclusion: Step = "measuring"

    @property
    def remaining(self) -> float | None:
        """Seconds that are left, as far as the jobs so far tell."""
        ended = self.done + self.failed
        return None if ended == 0 else self.seconds / ended * (self.total - ended)


@dataclass(frozen=True)
class Result:
    """A finished run.

    Attributes:
        folder: The run folder.
        study: Its record.
        trained: How many cells this call trained.
        read: How many readings this call made.
        conclusion: What this call did besides: ``nothing``, ``verdicts``, or ``measuring`` and then verdicts.
        failed: The cells that failed, with their errors.
    """

    folder: Path
    study: StudyRecord
    trained: int = 0
    read: int = 0
    conclusion: Step = "nothing"
    failed: tuple[CellRecord, ...] = field(default=())

    @property
    def report(self) -> Path:
        """The page."""
        return self.folder / "report.html"


def run(
    study: Study,
    *,
    scale: str = "small",
    seeds: int | None = None,
    seeds_from: int | None = None,
    arms: Sequence[str] | None = None,
    out: str | Path | None = None,
    workers: int | None = None,
    settings: Sequence[str] = (),
    use: Sequence[str | Path] = (),
    fresh: bool = False,
    amend: bool = False,
    progress: Progress | None = None,
) -> Result:
    """Run a study, resume it, or let a finished one grow; finished cells and readings are used again.

    Args:
        study: A bundled name (``bequest ls studies``), the path of a TOML file, or its content.
        scale: ``smoke``, ``small`` or ``paper``.
        seeds: Seeds an arm; default: the study's.
        seeds_from: The first seed; default: the study's.
        arms: Run these only, with what they need.
        out: The run folder; default ``runs/NAME-SCALE``.
        workers: Worker processes; default: one a core.
        settings: ``path=value`` each, laid over the study.
        use: Python files with parts of your own, besides those that the study names.
        fresh: Start over, deleting what the folder holds.
        amend: Go on even if finished cells of the folder are then unused.
        progress: Told what is there and how far the run is.

    Raises:
        InputError: If anything asked for is wrong, before anything runs.

    Returns:
        The result; ``result.failed`` names the cells that failed.
    """
    plan = planned(
        study, scale=scale, seeds=seeds, seeds_from=seeds_from, arms=arms, settings=settings, use=use
    )
    folder = RunFolder(Path(out) if out is not None else Path("runs") / f"{plan.study.name}-{scale}")
    if follow():
        return Result(folder.path, folder.record())
    with like_ctrl_c(), leading() as ranks, folder.locked() as leases:
        folder.prepare(plan, fresh=fresh, amend=amend, leases=leases)
        leases.forget_failures()
        crew = Crew(leases, ranks, workers or usable_cores())
        return _finish(plan, folder, crew, progress or (lambda _: None))


def usable_cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _finish(plan: Plan, folder: RunFolder, crew: Crew, progress: Progress) -> Result:
    inventory = survey(plan, folder.path)
    step = _last_step(plan, folder, inventory)  # before the record of this run takes the place of the last
    progress(Update(inventory, 0, len(inventory.jobs), 0.0, conclusion=step))
    if step == "nothing":
        return Result(folder.path, folder.record())
    conclusion = Conclusion(plan, folder)
    conclusion.write("running")
    try:
        _do(inventory, conclusion, crew, progress)
        reuse = step == "verdicts"
        measurements = folder.records(MEASUREMENTS, Measurement) if reuse else conclusion.measure()
        record = conclusion.judge(measurements)
    except BaseException:  # Ctrl-C, or a measure of a user's that raises: the record must not say "running"
        conclusion.write("interrupted")
        raise
    return Result(
        folder.path,
        record,
        trained=inventory.to_train,
        read=inventory.readings,
        conclusion=step,
        failed=tuple(cell for cell in record.cells if cell.status == "failed"),
    )


@dataclass(frozen=True)
class Crew:
    """Who does the jobs of a run.

    Attributes:
        leases: Who does which job, other processes on the same folder included.
        ranks: The processes that train together.
        workers: Worker processes on this machine.
    """

    leases: Leases
    ranks: Ranks
    workers: int

    def engine(self, queue: JobQueue) -> Engine:
        """What does the jobs of ``queue``."""
        if self.ranks.world > 1:
            return RankPool(queue.plan, queue.root, self.ranks)
        return LocalPool(queue.root, min(self.workers, len(queue.inventory.jobs)))


def _last_step(plan: Plan, folder: RunFolder, inventory: Survey) -> Step:
    """What is to be done after the jobs."""
    if inventory.jobs or not folder.measured(plan):
        return "measuring"
    return "nothing" if folder.complete(plan) else "verdicts"


def _do(inventory: Survey, conclusion: Conclusion, crew: Crew, progress: Progress) -> None:
    """Do the jobs; those that fail are noted in the conclusion."""
    if not inventory.jobs:
        return
    started = time.perf_counter()
    queue = JobQueue(conclusion.plan, conclusion.folder.path, inventory, crew.leases)
    for count, answer in enumerate(crew.engine(queue).run(queue), 1):
        failed = conclusion.failed
        if answer.status != "done":
            failed[answer.job.id] = answer
        progress(
            Update(
                inventory,
                count - len(failed),
                len(inventory.jobs),
                time.perf_counter() - started,
                len(failed),
                answer.job,
                answer.error,
            )
        )
