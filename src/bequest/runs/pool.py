"""Worker processes on this machine: jobs go out when what they require is done, answers come back."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bequest.files import open_regular
from bequest.runs.survey import Job

ATTEMPTS = 2
"""How often a job is started before the death of its worker counts as its failure."""


@dataclass(frozen=True)
class Answer:
    """How a job ended: ``done``, ``failed``, or ``lost`` with its worker."""

    job: Job
    status: str
    error: str | None = None


@dataclass
class _Worker:
    process: subprocess.Popen[bytes]
    job: Job | None = None


@dataclass
class LocalPool:
    """Does jobs in ``workers`` processes, one torch thread each.

    Args:
        root: The run folder.
        workers: How many processes.
    """

    root: Path
    workers: int
    _running: list[_Worker] = field(default_factory=list)

    def run(self, jobs: Sequence[Job]) -> Iterator[Answer]:
        """Do ``jobs``, each after those that it follows; yields how each ended, as they end.

        What a job requires and is not among ``jobs`` is done already. A job whose worker dies is started once
        more; a job whose requirement failed is not started.
        """
        schedule = _Schedule(jobs)
        with selectors.DefaultSelector() as selector, self._stopping():
            while schedule.waiting or any(worker.job for worker in self._running):
                yield from schedule.give_up()
                self._hand_out(schedule, selector)
                for answer in self._collect(selector):
                    if answer.status == "lost" and schedule.attempts[answer.job.id] < ATTEMPTS:
                        schedule.waiting.insert(0, answer.job)
                        continue
                    (schedule.done if answer.status == "done" else schedule.failed).add(answer.job.id)
                    yield answer

    def _hand_out(self, schedule: _Schedule, selector: selectors.BaseSelector) -> None:
        for job in schedule.ready():
            worker = self._idle(selector)
            if worker is None:
                return
            schedule.start(job)
            worker.job = job
            with contextlib.suppress(BrokenPipeError):
                assert worker.process.stdin is not None
                worker.process.stdin.write(f"{job.id}\n".encode())
                worker.process.stdin.flush()

    def _idle(self, selector: selectors.BaseSelector) -> _Worker | None:
        for worker in self._running:
            if worker.job is None and worker.process.poll() is None:
                return worker
        if len(self._running) >= self.workers:
            return None
        worker = _Worker(self._start(len(self._running)))
        assert worker.process.stdout is not None
        selector.register(worker.process.stdout, selectors.EVENT_READ, worker)
        self._running.append(worker)
        return worker

    def _start(self, index: int) -> subprocess.Popen[bytes]:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
        with open_regular(self.root / f"worker-{index}.log", append=True) as log:
            return subprocess.Popen(
                [sys.executable, "-m", "bequest.runs.worker", str(self.root)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment,
            )

    def _collect(self, selector: selectors.BaseSelector) -> Iterator[Answer]:
        if not any(worker.job for worker in self._running):
            return
        for key, _ in selector.select():
            worker: _Worker = key.data
            assert worker.process.stdout is not None
            line = worker.process.stdout.readline()
            job, worker.job = worker.job, None
            if line:
                answer = json.loads(line)
                if job is not None:
                    yield Answer(job, answer["status"], answer["error"])
                continue
            selector.unregister(worker.process.stdout)
            self._running.remove(worker)
            code = _ended(worker)
            if job is not None:
                yield Answer(job, "lost", f"its worker process died (exit code {code}); see worker-*.log")

    @contextlib.contextmanager
    def _stopping(self) -> Iterator[None]:
        try:
            yield
        finally:
            for worker in self._running:
                if worker.job is not None:
                    worker.process.kill()
                _ended(worker)
            self._running.clear()


class _Schedule:
    """Which jobs wait, and which of them can start."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self.waiting = list(jobs)
        self.done = set[str]()
        self.failed = set[str]()
        self.attempts: dict[str, int] = {}
        self._ours = {job.id for job in jobs}

    def ready(self) -> list[Job]:
        """The waiting jobs whose predecessors, if they are among ours, have ended."""
        pending = self._ours - self.done - self.failed
        return [job for job in self.waiting if not job.follows & pending]

    def start(self, job: Job) -> None:
        """Take a job out of the waiting ones."""
        self.waiting.remove(job)
        self.attempts[job.id] = self.attempts.get(job.id, 0) + 1

    def give_up(self) -> Iterator[Answer]:
        """Jobs that cannot be done because one that they require failed."""
        while lost := [job for job in self.waiting if job.requires & self.failed]:
            for job in lost:
                self.waiting.remove(job)
                self.failed.add(job.id)
                yield Answer(job, "failed", _why(job, self.failed))


def _why(job: Job, failed: set[str]) -> str:
    if job.action == "read":
        return "its training failed"
    teachers = {f"train {cell}" for cell in job.cell.teachers.values()}
    return f"{'a teacher' if failed & teachers else 'the source task'}'s cell failed"


def _ended(worker: _Worker) -> int:
    """Close a worker's pipes, which ends it, and wait; returns its exit code."""
    for pipe in (worker.process.stdin, worker.process.stdout):
        if pipe is not None:
            with contextlib.suppress(BrokenPipeError):
                pipe.close()
    return worker.process.wait()
