"""``bequest work``: take jobs of a run folder until none is left, alongside any number of other processes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from bequest.files import file_digest
from bequest.memory import keep_heap
from bequest.models.devices import Device, parse_device, prefer_determinism
from bequest.records import StudyRecord
from bequest.runs.conclusion import Conclusion
from bequest.runs.folder import RunFolder
from bequest.runs.jobs.launched import workbench
from bequest.runs.jobs.leases import Leases, at_work
from bequest.runs.jobs.queue import JobQueue, serve
from bequest.runs.jobs.schedule import Answer
from bequest.runs.jobs.workers import SILENCE
from bequest.runs.ranks import RankedBench, follow, in_step, leading
from bequest.runs.survey import Job, Survey, survey
from bequest.runs.work import Workbench

Progress = Callable[[Answer, int], object]
"""Called with the result of each job that this process did, and the number of jobs left."""


@dataclass
class Worked:
    """The jobs that a worker did, and how many are left.

    Attributes:
        folder: The run folder.
        answers: The results of the jobs that this process did.
        failed: Jobs that failed, here or elsewhere, by id.
        left: How many jobs others are doing, or nobody has done.
        study: The study's record, if this process was the last and concluded the run.
    """

    folder: Path
    answers: list[Answer] = field(default_factory=list)
    failed: dict[str, Answer] = field(default_factory=dict)
    left: int = 0
    study: StudyRecord | None = None


def work(
    folder: Path,
    *,
    device: Device = "auto",
    once: bool = False,
    silence: float = SILENCE,
    progress: Progress | None = None,
) -> Worked:
    """Do jobs of a run folder until none is left; the last of all workers then measures and judges.

    While ``bequest run`` is at work in the folder, or if the run is in rounds, that is left to it. Under
    ``torchrun`` all ranks are one worker: the first takes jobs, and all of them train every cell. If
    ``[resources]`` names processes, each training starts that many itself.

    Args:
        folder: A run folder, as ``bequest run`` prepared it.
        device: ``auto`` (a GPU, where there is one), ``cpu``, ``cuda:N`` or ``mps``.
        once: End after one job, or as soon as others do all that is left.
        silence: Seconds without a sign of life after which another worker counts as dead.
        progress: See :data:`Progress`.

    Raises:
        RunFolderError: If it holds no run.
        ConfigError: If there is no such device here.
        RunError: Under ``torchrun``, if a cell fails: the ranks may then be at different places.
    """
    run, worked, place = RunFolder(folder), Worked(folder), str(parse_device(device))
    run.plan()  # raises before anything is written, if the folder holds no run
    if follow(device):
        return worked
    prefer_determinism(place)
    keep_heap()
    with leading() as ranks, at_work(folder, "work", silence=silence) as leases:
        while True:
            # The digest first: if the study is replaced between the two, the loop only goes round once more.
            version, plan = file_digest(run.configuration), run.plan()
            bench = workbench(plan, folder, place, ranks)
            inventory = survey(plan, folder, verify=False)  # else each of many workers would hash every file
            with _one_thread():
                _take(worked, bench, inventory, leases, once=once, progress=progress)
            if (once and worked.answers) or file_digest(run.configuration) == version:
                break  # else the run has grown meanwhile
        if not worked.left:
            worked.study = _concluded(bench, run, leases, worked, progress)
    return worked


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Use one thread, as the workers of ``bequest run`` do: sums are then in the same order."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _take(
    worked: Worked,
    bench: Workbench,
    inventory: Survey,
    leases: Leases,
    *,
    once: bool = False,
    progress: Progress | None,
) -> None:
    ours = set[str]()
    queue = JobQueue(bench.plan, worked.folder, inventory, leases)

    def do(job: Job) -> Answer:
        ours.add(job.id)
        return bench.do(job)

    worked.failed.clear()
    answers = serve(queue, do, once=once)
    for answer in in_step(answers, bench.ranks) if isinstance(bench, RankedBench) else answers:
        if answer.status != "done":
            worked.failed[answer.job.id] = answer
        if answer.job.id in ours:
            worked.answers.append(answer)
            if progress is not None:
                progress(answer, queue.schedule.left)
    worked.left = queue.schedule.left


def _concluded(
    bench: Workbench, run: RunFolder, leases: Leases, worked: Worked, progress: Progress | None
) -> StudyRecord | None:
    """Measure and judge, unless that is done, or another process does it."""
    plan = bench.plan
    record = run.readable_record()
    if record is not None and record.rounds is not None:
        return None  # only the driver knows which look is due, and at which level
    lost = {answer.job.cell.id for answer in worked.failed.values()}
    # Asked again as the leader: another worker may have concluded while this one waited to lead.
    if run.concluded(plan, lost) or not leases.lead() or run.concluded(plan, lost):
        return None
    failed = dict(worked.failed)
    inventory = survey(plan, run.path)  # verified: measurements rest on undamaged files only
    damaged = tuple(job for job in inventory.jobs if job.id not in failed)
    if damaged:
        with _one_thread():
            _take(worked, bench, replace(inventory, jobs=damaged), leases, progress=progress)
        worked.failed = {**failed, **worked.failed}
    conclusion = Conclusion(plan, run, bench.device, worked.failed)
    return conclusion.judge(conclusion.measure())
