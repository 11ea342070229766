"""Worker processes on this machine: jobs go out to them, answers come back."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bequest.files import open_regular
from bequest.runs.engines.memory_budget import MemoryBudget
from bequest.runs.jobs.queue import JobQueue
from bequest.runs.jobs.schedule import Answer
from bequest.runs.survey import Job

ATTEMPTS = 2
"""How many workers may die on a job before it counts as lost; the first death may be chance."""

SAVING = 5.0
"""Seconds that a training has to save a checkpoint when its run is interrupted."""

PAUSE = 0.5
"""Seconds between two looks at the jobs of other processes."""


@dataclass
class _Worker:
    process: subprocess.Popen[bytes]
    device: str
    job: Job | None = None


@dataclass
class LocalPool:
    """Does jobs in processes, one torch thread each.

    Args:
        root: The run folder.
        devices: The device of each process.
        budget: Gives the memory budget of concurrent jobs; called once, while the processes start.
    """

    root: Path
    devices: Sequence[str]
    budget: Callable[[], MemoryBudget] = MemoryBudget
    _running: list[_Worker] = field(default_factory=list)

    def run(self, queue: JobQueue) -> Iterator[Answer]:
        """Do the jobs of ``queue``; yields the result of each as it ends, also of jobs that others did.

        A job whose worker dies is started once more.
        """
        deaths = Counter[str]()
        with selectors.DefaultSelector() as selector, self._stopping():
            for _ in range(min(len(self.devices), queue.schedule.left)):
                self._hire(selector)
            # After the processes are started: the estimate builds networks while they import PyTorch.
            budget = self.budget()
            while not queue.empty:
                yield from queue.elsewhere()
                self._hand_out(queue, selector, budget)
                for answer in self._collect(selector):
                    job = answer.job
                    deaths[job.id] += answer.status == "lost"
                    if answer.status == "lost" and deaths[job.id] < ATTEMPTS:
                        queue.give_back(job)
                        continue
                    queue.end(answer)
                    yield answer

    def _hand_out(self, queue: JobQueue, selector: selectors.BaseSelector, budget: MemoryBudget) -> None:
        # Room before job: a job that is taken is leased, and would wait here while others could do it.
        while (
            self._has_room() and (job := queue.take(lambda job: budget.fits(job, self._jobs()))) is not None
        ):
            worker = self._idle(selector)
            worker.job = job
            with contextlib.suppress(BrokenPipeError):  # a dead worker; `_collect` sees its pipe end
                assert worker.process.stdin is not None
                worker.process.stdin.write(f"{job.id}\n".encode())
                worker.process.stdin.flush()

    def _has_room(self) -> bool:
        return len(self._jobs()) < len(self.devices)

    def _jobs(self) -> list[Job]:
        """The jobs that are being done."""
        return [worker.job for worker in self._running if worker.job is not None]

    def _idle(self, selector: selectors.BaseSelector) -> _Worker:
        for worker in self._running:
            if worker.job is None and worker.process.poll() is None:
                return worker
        return self._hire(selector)

    def _hire(self, selector: selectors.BaseSelector) -> _Worker:
        # The device of a worker that died is free again.
        alive = Counter(each.device for each in self._running if each.process.poll() is None)
        (device, *_) = (Counter(self.devices) - alive).elements()
        worker = _Worker(self._start(len(self._running), device), device)
        assert worker.process.stdout is not None
        selector.register(worker.process.stdout, selectors.EVENT_READ, worker)
        self._running.append(worker)
        return worker

    def _start(self, index: int, device: str) -> subprocess.Popen[bytes]:
        # One thread, so that every process adds up in the same order. Unbuffered logs survive a kill.
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
        with open_regular(self.root / f"worker-{index}.log", append=True) as log:
            return subprocess.Popen(
                [sys.executable, "-m", "bequest.runs.worker", str(self.root), device],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment,
            )

    def _collect(self, selector: selectors.BaseSelector) -> Iterator[Answer]:
        if not any(worker.job for worker in self._running):
            time.sleep(PAUSE)  # others do what is left
            return
        for key, _ in selector.select(PAUSE):
            worker: _Worker = key.data
            assert worker.process.stdout is not None
            line = worker.process.stdout.readline()
            job, worker.job = worker.job, None
            ending = _ending(line)
            if ending is not None:
                if job is not None:
                    yield Answer(job, *ending)
                continue
            worker.process.kill()  # it is dead, or wrote something that is not an answer
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
            # Idle workers need no signal: they end when their standard input is closed.
            busy = [worker.process for worker in self._running if worker.job is not None]
            for process in busy:
                process.terminate()  # a training saves first, a reading ends at once
            _wait(busy, SAVING)
            for worker in self._running:
                if worker.job is not None:
                    worker.process.kill()
                _ended(worker)
            self._running.clear()


def _wait(processes: Sequence[subprocess.Popen[bytes]], seconds: float) -> None:
    """Wait until all have ended, at most ``seconds``."""
    deadline = time.monotonic() + seconds
    while any(process.poll() is None for process in processes) and time.monotonic() < deadline:
        time.sleep(0.02)


def _ending(line: bytes) -> tuple[str, str | None, int] | None:
    """Status, error and count of readings from a worker's line; None if it is cut or empty."""
    try:
        status, error, readings = json.loads(line)
        return str(status), error, int(readings)
    except (ValueError, TypeError):
        return None


def _ended(worker: _Worker) -> int:
    """Close a worker's pipes, which ends it, and wait; returns its exit code."""
    for pipe in (worker.process.stdin, worker.process.stdout):
        if pipe is not None:
            with contextlib.suppress(BrokenPipeError):
                pipe.close()
    return worker.process.wait()
