"""Run a study: check it, see what its folder lacks, do that, measure, judge."""

from __future__ import annotations

import html
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, TypeVar

from bequest.config import check_counts
from bequest.distill.parallel import Ranks
from bequest.interrupts import like_ctrl_c
from bequest.models.devices import Device, parse_device, worker_devices
from bequest.record_files import read_records
from bequest.record_table import RecordTable
from bequest.records import CellRecord, Measurement, Record, RoundsRecord, StudyRecord, Verdict
from bequest.runs.conclusion import Conclusion
from bequest.runs.engines.choice import Choice
from bequest.runs.folder import CLAIMS, MEASUREMENTS, RunFolder
from bequest.runs.jobs.leases import Leases
from bequest.runs.jobs.queue import Engine, JobQueue
from bequest.runs.planning import Study, check_files, planned
from bequest.runs.ranks import follow, leading
from bequest.runs.rounds import (
    Durations,
    Round,
    begun_rounds,
    earlier_round,
    round_of,
    time_limit,
)
from bequest.runs.survey import TRAIN, Job, Survey, survey
from bequest.studies.looks import next_look, planned_rounds
from bequest.studies.plan import Plan

Progress = Callable[["Update"], None]
Step = Literal["nothing", "verdicts", "measuring"]
R = TypeVar("R", bound=Record)


@dataclass(frozen=True)
class Update:
    """The progress of a run.

    Attributes:
        survey: What was in the folder when the run began, and what was left to do.
        done: Jobs that are done; a job trains a cell or makes the readings that a cell lacks.
        total: All jobs.
        seconds: How long it has taken.
        failed: Jobs that failed.
        job: The job that ended last; None before the first one.
        conclusion: What follows the jobs: ``nothing``, ``verdicts``, or ``measuring`` and then verdicts.
        error: Why the last job failed.
        at: In a run in rounds, its current look.
    """

    survey: Survey
    done: int
    total: int
    seconds: float
    failed: int = 0
    job: Job | None = None
    error: str | None = None
    conclusion: Step = "measuring"
    at: Round | None = None

    @property
    def remaining(self) -> float | None:
        """Seconds that are left, extrapolated from the jobs so far; None before the first has ended."""
        ended = self.done + self.failed
        return None if ended == 0 else self.seconds / ended * (self.total - ended)


@dataclass(frozen=True, repr=False)
class Result:
    """A finished run.

    Attributes:
        folder: The run folder.
        study: Its record.
        trained: How many cells this call trained.
        read: How many readings this call made.
        conclusion: What this call did besides: ``nothing``, ``verdicts``, or ``measuring`` and then verdicts.
        failed: The cells that failed, with their errors.
        not_begun: Seconds that the next look would take, if the budget ended the run.
    """

    folder: Path
    study: StudyRecord
    trained: int = 0
    read: int = 0
    conclusion: Step = "nothing"
    failed: tuple[CellRecord, ...] = field(default=())
    not_begun: float | None = None

    @property
    def report(self) -> Path:
        """Path of the report page."""
        return self.folder / "report.html"

    @property
    def measurements(self) -> RecordTable[Measurement]:
        """The measurements that are in the folder now; empty before there are any."""
        return self._table(MEASUREMENTS, Measurement)

    @property
    def claims(self) -> RecordTable[Verdict]:
        """The study's claims with the verdicts that are in the folder now."""
        return self._table(CLAIMS, Verdict)

    def _table(self, name: str, kind: type[R]) -> RecordTable[R]:
        path = self.folder / name
        return RecordTable(read_records(path, kind) if path.is_file() else ())

    def __repr__(self) -> str:
        failed = f", {len(self.failed)} failed" if self.failed else ""
        return (
            f"Result({self.study.name} at scale {self.study.scale}, {self.study.status}: "
            f"{len(self.study.cells)} cells{failed}, in {self.folder})"
        )

    def _repr_html_(self) -> str:
        """What a notebook shows: the answer, and each claim with its verdict."""
        rows = "".join(
            f"<tr><td>{html.escape(claim.text)}</td><td>{claim.verdict}</td><td>{_interval(claim)}</td></tr>"
            for claim in self.claims
        )
        answer = html.escape(self.study.answer or self.study.question)
        return f"<p>{html.escape(repr(self))}</p><p><b>{answer}</b></p><table>{rows}</table>"


def _interval(claim: Verdict) -> str:
    if claim.value is None or claim.low is None or claim.high is None:
        return html.escape(claim.reason or "")
    return f"{claim.value:.3g} [{claim.low:.3g}, {claim.high:.3g}]"


def run(
    study: Study,
    *,
    scale: str = "small",
    seeds: int | None = None,
    seeds_from: int | None = None,
    arms: Sequence[str] | None = None,
    out: str | Path | None = None,
    workers: int | None = None,
    device: Device = "auto",
    per_device: int | None = None,
    engine: str = "local",
    ray_address: str | None = None,
    settings: Sequence[str] = (),
    use: Sequence[str | Path] = (),
    fresh: bool = False,
    amend: bool = False,
    until_decided: bool = False,
    budget: str | float | None = None,
    most_seeds: int | None = None,
    progress: Progress | None = None,
) -> Result:
    """Run a study, resume it, or let a finished one grow; finished cells and readings are used again.

    Args:
        study: A bundled name (``bequest ls studies``), the path of a TOML file, or its content.
        scale: The scale, such as ``smoke``, ``small`` or ``paper``.
        seeds: Seeds per arm; default: the study's.
        seeds_from: The first seed; default: the study's.
        arms: Run these only, with what they need.
        out: The run folder; default ``runs/NAME-SCALE``.
        workers: Worker processes; default: one per GPU, or on the CPU one per core.
        device: ``auto`` (the GPUs, where there are any), ``cpu``, ``cuda`` (all GPUs), ``cuda:N`` or ``mps``.
            It is not part of a cell's id; the record names it.
        per_device: The most workers of one device; default: one per GPU.
        engine: Who does the jobs: worker processes of this machine (``local``), an array of Slurm jobs or
            actors of a Ray cluster with the study's ``[resources]`` (``slurm``, ``ray``), or ``none``: the
            folder is prepared, and left to any number of ``bequest work``, the last of which concludes.
        ray_address: Of the Ray cluster: ``auto``, ``HOST:PORT`` or ``ray://...``; default: started here.
        settings: ``path=value`` each, laid over the study.
        use: Python files with parts of your own, besides those that the study names.
        fresh: Start over, deleting what the folder holds.
        amend: Go on even if finished cells of the folder are then unused.
        until_decided: Give the arms of undecided claims further seeds, in rounds, until all are decided. The
            looks are planned before the first, and all of them together err as often as one.
        budget: Begin no further round that would end after so much time: seconds, or ``"20m"``, ``"1h30m"``.
        most_seeds: Seeds at the last look; default: four times the study's.
        progress: Called with an :class:`Update` at the beginning and after every job.

    Raises:
        InputError: If anything asked for is wrong, before anything runs.

    Returns:
        The result; ``result.failed`` names the cells that failed.
    """
    check_counts(workers=workers, per_device=per_device, most_seeds=most_seeds)
    plan = planned(
        study, scale=scale, seeds=seeds, seeds_from=seeds_from, arms=arms, settings=settings, use=use
    )
    limit = time_limit(until_decided, budget, most_seeds)
    choice = Choice.of(engine, device, ray_address=ray_address, workers=workers)
    if until_decided:
        planned_rounds(plan, most_seeds)  # raises what is wrong with them before --fresh deletes anything
    folder = RunFolder(Path(out) if out is not None else Path("runs") / f"{plan.study.name}-{scale}")
    if follow(device):  # not the first rank: it has trained what that one named, and wrote nothing
        return Result(folder.path, folder.record())
    with like_ctrl_c(), leading() as ranks, folder.locked() as leases:
        elsewhere = (str(device),) * plan.study.resources.array
        devices = _devices(ranks, device, workers, per_device) if engine == "local" else elsewhere
        crew = Crew(folder, leases, ranks, devices, progress or (lambda _: None), choice)
        if fresh:  # before the looks are read: those of the deleted run do not count
            folder.prepare(plan, fresh=True, leases=leases)
        if until_decided:
            rounds = begun_rounds(plan, folder, most_seeds, amend=amend)
            return _until_decided(plan, rounds, crew, limit, amend=amend)
        at = earlier_round(plan, folder, amend=amend)
        return _prepared(at.plan if at is not None else plan, crew, at, amend=amend)


def _prepared(plan: Plan, crew: Crew, at: Round | None = None, *, amend: bool) -> Result:
    """Do what the folder lacks of a plan, once it fits the folder."""
    largest = at.largest if at is not None else None
    crew.folder.prepare(plan, amend=amend, within=largest, leases=crew.leases)
    crew.leases.forget_failures()
    return _finish(plan, crew, at)


def _until_decided(plan: Plan, rounds: RoundsRecord, crew: Crew, limit: float, *, amend: bool) -> Result:
    """Take looks until every claim is decided, the looks or the time are used up, or cells fail."""
    started, durations = time.perf_counter(), Durations(crew.folder.path)
    result: Result | None = None
    besides = 0.0  # seconds of the last look for reading and measuring
    while True:
        at = round_of(plan, rounds)
        spent, expected = time.perf_counter() - started, durations.expected(at.plan, crew.workers) + besides
        # The first look is the study itself. One under way is finished: half a look decides nothing.
        if rounds.taken and at.pending and spent + expected > limit:
            if result is None:
                last = Round(plan, rounds, rounds.taken - 1)
                result = _prepared(last.plan, crew, last, amend=amend)
            return replace(result, not_begun=expected)
        missing = durations.missing(at.plan)
        latest = _prepared(at.plan, crew, at, amend=amend)
        result = latest if result is None else _together(result, latest)
        assert latest.study.rounds is not None
        took = time.perf_counter() - started - spent
        besides = max(0.0, took - durations.spent(at.plan, missing) / crew.workers)
        rounds, before = latest.study.rounds, rounds.taken
        # a look that failed cells put off, or the last
        if rounds.taken == before or next_look(rounds) is None:
            return result


def _together(earlier: Result, later: Result) -> Result:
    """Two rounds of one run; the record and the failures are those of the later."""
    return replace(later, trained=earlier.trained + later.trained, read=earlier.read + later.read)


def usable_cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _devices(ranks: Ranks, device: Device, workers: int | None, per_device: int | None) -> tuple[str, ...]:
    """The device of each worker; with ranks that of this process, which is the first of them."""
    if ranks.world > 1:
        return (str(parse_device(device)),)
    return worker_devices(device, cores=usable_cores(), workers=workers, per_device=per_device)


def _finish(plan: Plan, crew: Crew, at: Round | None = None) -> Result:
    folder = crew.folder
    inventory = survey(plan, folder.path)
    if crew.choice.name == "local":
        check_files(plan, inventory.jobs)
    step = _last_step(plan, folder, inventory, at)  # before this run's record takes the place of the last one
    crew.progress(Update(inventory, 0, len(inventory.jobs), 0.0, conclusion=step, at=at))
    if step == "nothing":
        return Result(folder.path, folder.record())
    if crew.choice.name == "none":
        return Result(folder.path, Conclusion(plan, folder, at=at).write("prepared"))
    conclusion = Conclusion(plan, folder, device=crew.device, at=at)
    conclusion.write("running")
    try:
        trained, read = _do_all(inventory, conclusion, crew)
        reuse = step == "verdicts"
        measurements = folder.records(MEASUREMENTS, Measurement) if reuse else conclusion.measure()
        record = conclusion.judge(measurements)
    except BaseException:  # Ctrl-C, or a measure of a user's that raises: the record must not say "running"
        conclusion.write("interrupted")
        raise
    return Result(
        folder.path,
        record,
        trained=trained,
        read=read,
        conclusion=step,
        failed=tuple(cell for cell in record.cells if cell.status == "failed"),
    )


@dataclass(frozen=True)
class Crew:
    """The processes that do the jobs of a run.

    Attributes:
        folder: The run folder.
        leases: Which process does which job, including other processes on the same folder.
        ranks: The processes that train together.
        devices: The device of each worker process on this machine; with another engine the requested one.
        progress: Called with every :class:`Update`.
        choice: Which engine does the jobs.
    """

    folder: RunFolder
    leases: Leases
    ranks: Ranks
    devices: tuple[str, ...]
    progress: Progress
    choice: Choice

    @property
    def device(self) -> str:
        """Where this process itself computes."""
        return self.devices[0] if self.choice.name == "local" else str(parse_device())

    @property
    def workers(self) -> int:
        """How many processes work at once."""
        return len(self.devices)

    def engine(self, queue: JobQueue) -> Engine:
        """What does the jobs of ``queue``."""
        return self.choice.engine(queue, self.ranks, self.devices)


def _last_step(plan: Plan, folder: RunFolder, inventory: Survey, at: Round | None) -> Step:
    """What is to be done after the jobs; a pending look always judges, since it has its own level."""
    if inventory.jobs or not folder.measured(plan):
        return "measuring"
    pending = at is not None and at.pending
    return "nothing" if folder.complete(plan) and not pending else "verdicts"


def _do_all(inventory: Survey, conclusion: Conclusion, crew: Crew) -> tuple[int, int]:
    """Do the jobs and those that follow from them: a teacher with other weights needs new students.

    Returns:
        How many cells were trained here, and how many readings made.
    """
    trained = read = 0
    for _ in range(1 + len(conclusion.plan.study.arms)):  # no chain of teachers is longer than the arms
        if not inventory.jobs:
            break
        trained_now, read_now = _do(inventory, conclusion, crew)
        trained, read = trained + trained_now, read + read_now
        # this run wrote the files itself
        inventory = survey(conclusion.plan, conclusion.folder.path, verify=False)
        left = tuple(job for job in inventory.jobs if job.id not in conclusion.failed)
        inventory = replace(inventory, jobs=left)
    return trained, read


def _do(inventory: Survey, conclusion: Conclusion, crew: Crew) -> tuple[int, int]:
    """Do the jobs; failures are noted in the conclusion.

    Returns:
        How many cells were trained here, and how many readings made.
    """
    trained = read = 0
    started = time.perf_counter()
    queue = JobQueue(conclusion.plan, conclusion.folder.path, inventory, crew.leases)
    for count, answer in enumerate(crew.engine(queue).run(queue), 1):
        failed = conclusion.failed
        if answer.status != "done":
            failed[answer.job.id] = answer
        elif answer.job.action == TRAIN and not answer.elsewhere:
            trained += 1
        read += answer.readings
        crew.progress(
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
    return trained, read
