"""The remaining jobs of a run, shared with all other processes that work on the same folder."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Protocol, runtime_checkable

from bequest.runs.jobs.leases import Leases, key_of
from bequest.runs.jobs.schedule import Answer, Schedule
from bequest.runs.survey import READ, TRAIN, Demand, Job, Survey, state_of
from bequest.studies.cell import cell_folder
from bequest.studies.plan import Plan

DEATHS = 3
"""A job is lost after so many deaths of its workers without any progress in between."""

SHORTEST_PAUSE, LONGEST_PAUSE = 0.1, 2.0
"""Seconds between two looks for a job, which grow while there is none."""


class JobQueue:
    """Gives out jobs that can start and that nobody else is doing, and notes how they ended.

    Args:
        plan: The study.
        root: The run folder.
        inventory: What was left to do when this process looked.
        leases: Who does which job.
    """

    def __init__(self, plan: Plan, root: Path, inventory: Survey, leases: Leases) -> None:
        self.plan, self.root, self.inventory, self.leases = plan, root, inventory, leases
        self.schedule = Schedule(inventory.jobs)
        self._demand = Demand(plan)
        self._jobs = {key_of(job.id): job for job in inventory.jobs}
        # The record of a cell with damaged files still calls it done: only a record written later counts.
        self._before = {job.id: self._version(job) for job in inventory.jobs}
        self._elsewhere = deque[Answer]()
        self._others = set[str]()

    @property
    def empty(self) -> bool:
        """Whether every job has ended, and :meth:`elsewhere` has reported all that ended elsewhere."""
        return not self.schedule.left and not self._elsewhere

    @property
    def untaken(self) -> int:
        """How many jobs are left that nobody was doing at the last look."""
        return self.schedule.waiting - sum(not self.schedule.ended(self._jobs[key]) for key in self._others)

    def take(self, fits: Callable[[Job], bool] = lambda _: True) -> Job | None:
        """Take a job to do now, which nobody else then does; None if there is none at present.

        Args:
            fits: Says whether this process can do a job now.
        """
        self._refresh()
        while (job := self.schedule.start(lambda job: self._is_free(job) and fits(job))) is not None:
            lease = self.leases.take(job.id, progress=self._progress(job))
            if lease is None:
                self._others.add(key_of(job.id))
                self.schedule.put_back(job)
                continue
            # Files win over leases: whoever held the job until a moment ago may have finished it.
            answer = self._ended(job)
            if answer is None and lease.deaths >= DEATHS:
                answer = Answer(job, "lost", f"its worker process died {lease.deaths} times; see its log")
                self.leases.note_failure(job.id, answer.status, answer.error)
            if answer is None:
                return job
            self.leases.free(job.id)
            self._note(answer)
        return None

    def end(self, answer: Answer) -> None:
        """Note how a job ended that was taken here, and let others see it."""
        job, failed = answer.job, answer.status != "done"
        if failed:
            # Before the lease is free: whoever takes the job next must see that it failed.
            self.leases.note_failure(job.id, answer.status, answer.error)
        self.leases.free(job.id, failed=failed)
        self.schedule.end(answer)
        self._elsewhere.extend(self.schedule.given_up())

    def give_back(self, job: Job) -> None:
        """Let somebody else do a job that was taken here."""
        self.leases.free(job.id)
        self.schedule.put_back(job)

    def lacking(self, job: Job) -> list[str]:
        """The ids of the readings that a job is to make."""
        state = state_of(self.root, job.cell, verify=False)
        damaged = {path.stem for path in self.inventory.damaged}
        wanted = self._demand.readings(job.cell.id)
        return [each for each in wanted if each not in state.readings or each in damaged]

    def as_ours(self, answer: Answer) -> Answer:
        """The result of a job as this process's own: a process that it started did it."""
        done = answer.status == "done" and answer.job.action == READ
        readings = len(self._demand.readings(answer.job.cell.id)) if done else 0
        return replace(answer, elsewhere=False, readings=readings)

    def elsewhere(self, *, thorough: bool = False) -> Iterator[Answer]:
        """The results of jobs that others did, or that cannot be done; each once.

        Args:
            thorough: Look at every job that could start, not only at those that somebody was seen doing:
                a job that is begun and ended between two looks is never seen under a lease.
        """
        before = self._others
        self._refresh()
        for key in (before - self._others) | (self.leases.failed() & self._jobs.keys()):
            self._look(self._jobs[key])
        left = None
        while thorough and left != self.schedule.left:  # each job that ended may free others that ended too
            left = self.schedule.left
            for job in self.schedule.ready():
                if self._is_free(job):
                    self._look(job)
        while self._elsewhere:
            yield self._elsewhere.popleft()

    def _refresh(self) -> None:
        self.leases.refresh()
        self._others = self.leases.others() & self._jobs.keys()

    def _is_free(self, job: Job) -> bool:
        return key_of(job.id) not in self._others

    def _look(self, job: Job) -> None:
        if not self.schedule.ended(job) and (answer := self._ended(job)) is not None:
            self._note(answer)

    def _note(self, answer: Answer) -> None:
        self.schedule.end(answer)
        self._elsewhere.append(answer)
        self._elsewhere.extend(self.schedule.given_up())

    def _ended(self, job: Job) -> Answer | None:
        """The result of a job that ended elsewhere, from the folder; None if it is left to do."""
        if key_of(job.id) in self.leases.failed() and (failure := self.leases.failure(job.id)):
            return Answer(job, failure.status, failure.error, elsewhere=True)
        if self._version(job) == self._before[job.id]:
            return None
        left = self._demand.jobs(state_of(self.root, job.cell, verify=False))
        is_left = any(other.id == job.id for other in left)
        return None if is_left else Answer(job, "done", elsewhere=True)

    def _version(self, job: Job) -> tuple[int, ...]:
        """Changes whenever the record of a job's cell is written.

        With the inode, since file systems with coarse times may give two records the same one.
        """
        with contextlib.suppress(OSError):
            status = cell_folder(self.root, job.cell.id).record.stat()
            return status.st_mtime_ns, status.st_ino, status.st_size
        return ()

    def _progress(self, job: Job) -> str:
        """Changes whenever the checkpoint of a training does."""
        if job.action == TRAIN:
            with contextlib.suppress(OSError):
                status = cell_folder(self.root, job.cell.id).checkpoint.stat()
                return f"{status.st_size} {status.st_mtime_ns}"
        return ""


@runtime_checkable
class Engine(Protocol):
    """Does the jobs of a run, on this machine or on others."""

    def run(self, queue: JobQueue) -> Iterator[Answer]:
        """Do the jobs of ``queue``; yields how each ended, as they end."""
        ...


def serve(queue: JobQueue, do: Callable[[Job], Answer], *, once: bool = False) -> Iterator[Answer]:
    """Do the jobs of ``queue`` in this process, one after another, until none is left.

    Yields the result of each, also of jobs that others did. Waits while others do the remaining jobs, or the
    jobs that these require.

    Args:
        queue: The jobs.
        do: Does one job.
        once: End after one job, or as soon as others are doing all that is left.
    """
    pause = SHORTEST_PAUSE
    while not queue.empty:
        yield from queue.elsewhere()
        job = queue.take()
        if job is None:
            if once and not queue.untaken:
                return
            if not queue.empty:
                time.sleep(pause)
                pause = min(1.5 * pause, LONGEST_PAUSE)
            continue
        pause = SHORTEST_PAUSE
        try:
            answer = do(job)
        except BaseException:  # Ctrl-C included: another process can go on from the checkpoint
            queue.give_back(job)
            raise
        queue.end(answer)
        yield answer
        if once:
            return
