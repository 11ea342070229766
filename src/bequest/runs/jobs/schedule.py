"""Which jobs of a run wait, which of them can start, and how they ended; the same for every engine."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from bequest.runs.survey import READ, Job

Ending = Literal["done", "failed", "lost"]


@dataclass(frozen=True)
class Answer:
    """The result of a job.

    Attributes:
        job: The job.
        status: ``done``, ``failed``, or ``lost`` with its worker.
        error: Why it failed.
        readings: How many readings were made, also by one that failed.
        elsewhere: Whether another process did it, on another machine perhaps.
    """

    job: Job
    status: str
    error: str | None = None
    readings: int = 0
    elsewhere: bool = False


class Schedule:
    """The jobs of a run in the order of a plan, each ready once those that it follows have ended.

    Jobs that others follow and that are not among ``jobs`` have ended already. Starting and ending a job take
    time logarithmic in the number of jobs.

    Args:
        jobs: The jobs to do.
    """

    def __init__(self, jobs: Iterable[Job]) -> None:
        self._jobs = tuple(jobs)
        self._place = {job.id: place for place, job in enumerate(self._jobs)}
        ours = self._place.keys()
        self._pending = {job.id: pending for job in self._jobs if (pending := job.follows & ours)}
        self._followers: dict[str, list[Job]] = {}
        for job in self._jobs:
            for other in self._pending.get(job.id, ()):
                self._followers.setdefault(other, []).append(job)
        self._ready = [place for place, job in enumerate(self._jobs) if job.id not in self._pending]
        self._started = set[str]()
        self._ended = set[str]()
        self._failed = set[str]()
        self._hopeless = deque[Answer]()

    @property
    def left(self) -> int:
        """How many jobs have not ended."""
        return len(self._jobs) - len(self._ended)

    @property
    def waiting(self) -> int:
        """How many jobs have neither been started nor ended."""
        return self.left - len(self._started)

    def ended(self, job: Job) -> bool:
        """Whether a job is done, failed or given up."""
        return job.id in self._ended

    def ready(self) -> list[Job]:
        """The jobs that can start, in the order of the plan."""
        jobs = [self._jobs[place] for place in sorted(self._ready)]
        return [job for job in jobs if job.id not in self._ended]

    def start(self, suits: Callable[[Job], bool] = lambda _: True) -> Job | None:
        """Take the first job that can start and ``suits``; None if there is none."""
        passed, chosen = [], None
        while self._ready and chosen is None:
            place = heapq.heappop(self._ready)
            job = self._jobs[place]
            if job.id in self._ended:  # it ended elsewhere while it waited here
                continue
            if suits(job):
                chosen = job
            else:
                passed.append(place)
        for place in passed:
            heapq.heappush(self._ready, place)
        if chosen is not None:
            self._started.add(chosen.id)
        return chosen

    def put_back(self, job: Job) -> None:
        """Let a started job wait again."""
        if job.id in self._started:
            self._started.remove(job.id)
            heapq.heappush(self._ready, self._place[job.id])

    def end(self, answer: Answer) -> None:
        """Note how a job ended; those that require it then cannot be done if it failed."""
        job = answer.job
        if job.id in self._ended:
            return
        self._started.discard(job.id)
        self._ended.add(job.id)
        if answer.status != "done":
            self._failed.add(job.id)
        for follower in self._followers.get(job.id, ()):
            pending = self._pending[follower.id]
            pending.discard(job.id)
            if follower.id in self._ended:
                continue
            # A plain student is followed and not required: if it failed, its followers start all the same.
            if job.id in self._failed and job.id in follower.requires:
                hopeless = Answer(follower, "failed", _why(follower, self._failed))
                self._hopeless.append(hopeless)
                self.end(hopeless)
            elif not pending:
                heapq.heappush(self._ready, self._place[follower.id])

    def given_up(self) -> Iterator[Answer]:
        """The results of jobs that cannot be done because one that they require failed, each once."""
        while self._hopeless:
            yield self._hopeless.popleft()


def _why(job: Job, failed: set[str]) -> str:
    if job.action == READ:
        return "its training failed"
    teachers = {f"train {cell}" for cell in job.cell.teachers.values()}
    return f"{'a teacher' if failed & teachers else 'the source task'}'s cell failed"
