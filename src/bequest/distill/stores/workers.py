"""Building a store with several processes on one machine."""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from multiprocessing import get_context
from multiprocessing.queues import SimpleQueue
from pathlib import Path

import torch

from bequest.data.datasets import Split
from bequest.data.rows import LazyRows
from bequest.distill.stores.job import Goal, Job
from bequest.errors import SignalError, WorkerLost
from bequest.models.devices import prefer_determinism
from bequest.parts import load_parts, loaded_files

_job: Job | None = None
"""The job of this worker process."""


def answer_in_processes(
    job: Job,
    tasks: Sequence[tuple[int, int]],
    workers: int,
    advance: Callable[[int], object],
    *,
    devices: Sequence[str] = (),
) -> None:
    """Answer ``tasks`` in ``workers`` processes with one torch thread each, on ``devices`` if given.

    Samples are in a file that all processes map, so that they are in memory once; lazy rows are read by each
    process.

    Raises:
        SignalError: If a teacher cannot be sent to another process.
        WorkerLost: If a process dies.
    """
    with tempfile.TemporaryDirectory(prefix="bequest-build-") as folder:
        frame = _spooled(job, Path(folder))
        # A forked process would inherit locks of torch's threads, and a CUDA context that it cannot use.
        spawning = get_context("spawn")
        places = spawning.SimpleQueue()  # workers do not know their number: each takes one device
        for device in devices:
            places.put(device)
        starting = (frame, folder, loaded_files(), places if devices else None)
        with ProcessPoolExecutor(min(workers, len(tasks)), spawning, _start, starting) as pool:
            running = {pool.submit(_answer, task): task for task in tasks}
            try:
                for done in as_completed(running):
                    done.result()
                    advance(len(job.goals[running[done][0]].source.split))
            except BrokenProcessPool as error:
                raise WorkerLost(
                    "a process of the build died",
                    got="killed, or out of memory",
                    remedy="run the same command again, with fewer workers if memory is short",
                ) from error
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise


def _spooled(job: Job, folder: Path) -> bytes:
    """The pickled job without its samples, which are written to files in ``folder``."""
    empty = torch.empty(0, dtype=torch.int64)
    goals: list[Goal] = []
    for index, goal in enumerate(job.goals):
        split = goal.source.split
        if isinstance(split.x, LazyRows):
            goals.append(goal)
            continue
        torch.save({"x": split.x, "ids": split.ids}, folder / f"{index}.pt")
        goals.append(replace(goal, source=replace(goal.source, split=Split(empty, None, empty))))
    try:
        return pickle.dumps(replace(job, goals=tuple(goals)))
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise SignalError(
            "a teacher, or the data, cannot be sent to another process",
            expected="a network, an adapter and a torch Dataset that can be pickled: no lambdas, no local "
            "classes",
            got=error,
            remedy="build with workers=1",
        ) from error


def _start(frame: bytes, folder: str, use: tuple[str, ...], places: SimpleQueue[str] | None) -> None:
    """Set up the job in a new process."""
    global _job
    torch.set_num_threads(1)
    load_parts(use)  # first: a teacher of a user's class is unpickled through its module
    job: Job = pickle.loads(frame)  # noqa: S301 - written by this process's own parent
    if places is not None:
        device = places.get()
        prefer_determinism(device)
        for teacher in job.teachers:
            teacher.to(torch.device(device))
    goals = []
    for index, goal in enumerate(job.goals):
        if isinstance(goal.source.split.x, LazyRows):
            goals.append(goal)
            continue
        samples = torch.load(Path(folder) / f"{index}.pt", weights_only=True, mmap=True)
        split = Split(samples["x"], None, samples["ids"])
        goals.append(replace(goal, source=replace(goal.source, split=split)))
    _job = replace(job, goals=tuple(goals))


def _answer(task: tuple[int, int]) -> None:
    assert _job is not None
    _job.answer(*task)
