"""Worker processes on this machine: cells go out when what they need is there, answers come back."""

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

from bequest.studies.plan import Cell

ATTEMPTS = 2
"""How often a cell is started before the death of its worker counts as its failure."""


@dataclass(frozen=True)
class Answer:
    """How a cell ended."""

    cell: Cell
    status: str
    error: str | None = None


@dataclass
class _Worker:
    process: subprocess.Popen[bytes]
    cell: Cell | None = None


@dataclass
class LocalPool:
    """Runs cells in ``workers`` processes, one torch thread each.

    Args:
        root: The run folder.
        workers: How many processes.
    """

    root: Path
    workers: int
    _running: list[_Worker] = field(default_factory=list)

    def run(self, cells: Sequence[Cell], done: set[str]) -> Iterator[Answer]:
        """Run ``cells``, each after those it needs; yields how each ended, as they end.

        A cell whose worker dies is started once more; a cell whose teacher failed is not started.
        """
        waiting, finished, failed = list(cells), set(done), set[str]()
        attempts: dict[str, int] = {}
        with selectors.DefaultSelector() as selector, self._stopping():
            while waiting or any(worker.cell for worker in self._running):
                for cell in [c for c in waiting if failed & c.requires]:
                    waiting.remove(cell)
                    failed.add(cell.id)
                    lost = failed & set(cell.needs.values())
                    yield Answer(
                        cell, "failed", f"{'a teacher' if lost else 'the source task'}'s cell failed"
                    )
                self._hand_out(waiting, finished | failed, {c.id for c in cells}, attempts, selector)
                for answer in self._collect(selector):
                    if answer.status == "lost" and attempts[answer.cell.id] < ATTEMPTS:
                        waiting.insert(0, answer.cell)
                        continue
                    (finished if answer.status == "done" else failed).add(answer.cell.id)
                    yield answer

    def _hand_out(
        self,
        waiting: list[Cell],
        ended: set[str],
        ours: set[str],
        attempts: dict[str, int],
        selector: selectors.BaseSelector,
    ) -> None:
        for cell in list(waiting):
            first = {*cell.requires, *filter(None, [cell.plain if cell.plain in ours else None])}
            if not first <= ended:
                continue
            worker = self._idle(selector)
            if worker is None:
                return
            attempts[cell.id] = attempts.get(cell.id, 0) + 1
            worker.cell = cell
            waiting.remove(cell)
            with contextlib.suppress(BrokenPipeError):
                assert worker.process.stdin is not None
                worker.process.stdin.write(f"{cell.id}\n".encode())
                worker.process.stdin.flush()

    def _idle(self, selector: selectors.BaseSelector) -> _Worker | None:
        for worker in self._running:
            if worker.cell is None and worker.process.poll() is None:
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
        with (self.root / f"worker-{index}.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "bequest.studies.worker", str(self.root)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment,
            )

    def _collect(self, selector: selectors.BaseSelector) -> Iterator[Answer]:
        if not any(worker.cell for worker in self._running):
            return
        for key, _ in selector.select():
            worker: _Worker = key.data
            assert worker.process.stdout is not None
            line = worker.process.stdout.readline()
            cell, worker.cell = worker.cell, None
            if line:
                answer = json.loads(line)
                if cell is not None:
                    yield Answer(cell, answer["status"], answer["error"])
                continue
            selector.unregister(worker.process.stdout)
            self._running.remove(worker)
            code = _ended(worker)
            if cell is not None:
                yield Answer(cell, "lost", f"its worker process died (exit code {code}); see worker-*.log")

    @contextlib.contextmanager
    def _stopping(self) -> Iterator[None]:
        try:
            yield
        finally:
            for worker in self._running:
                if worker.cell is not None:
                    worker.process.kill()
                _ended(worker)
            self._running.clear()


def _ended(worker: _Worker) -> int:
    """Close a worker's pipes, which ends it, and wait; returns its exit code."""
    for pipe in (worker.process.stdin, worker.process.stdout):
        if pipe is not None:
            with contextlib.suppress(BrokenPipeError):
                pipe.close()
    return worker.process.wait()
