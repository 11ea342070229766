"""``--engine slurm``: ``bequest work`` as an array of Slurm jobs, which this process watches."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from bequest.errors import ConfigError, MissingExtra, RunError
from bequest.resources import ResourcesSpec, gibibytes, minutes
from bequest.runs.jobs.queue import JobQueue
from bequest.runs.jobs.schedule import Answer
from bequest.runs.jobs.taking import work
from bequest.runs.jobs.workers import AT_WORK

PAUSE = 5.0
"""Seconds between two looks at the run folder, which every other node writes."""

SIGNAL = 120
"""Seconds before the end of its time limit at which a task is told to save, and is queued again."""


@runtime_checkable
class Task(Protocol):
    """A job of submitit."""

    def done(self) -> bool:
        """Whether it ended, however."""
        ...

    def cancel(self) -> object:
        """Take it out of the queue, or end it."""
        ...


class WorkTask:
    """What a task of the array does: take jobs of the run folder until none is left.

    Args:
        root: The run folder, as every node sees it.
        device: See :func:`bequest.runs.jobs.taking.work`.
    """

    def __init__(self, root: str, device: str) -> None:
        self.root, self.device = root, device

    def __call__(self) -> int:
        """Do jobs; returns how many this task did."""
        return len(work(Path(self.root), device=self.device).answers)

    def checkpoint(self) -> Any:
        """The task that submitit queues again at a time limit, or when a node is preempted."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


@dataclass(frozen=True)
class SlurmEngine:
    """Does jobs by tasks of one array, each of which takes one job after another.

    Args:
        resources: What each task needs, and how many there are at a time.
        device: Where tasks compute.
        cluster: ``slurm``; for tests ``local`` or ``debug``, where submitit runs tasks on this machine.
        pause: Seconds between two looks.
    """

    resources: ResourcesSpec
    device: str = "auto"
    cluster: str = "slurm"
    pause: float = PAUSE

    def run(self, queue: JobQueue) -> Iterator[Answer]:
        """Submit an array, watch it, and submit another one if it ends before the jobs do.

        Raises:
            MissingExtra: If submitit is not installed.
            ConfigError: If this is no machine of a Slurm cluster, or an option of ``sbatch`` is unknown.
            RunError: If an array ends without having done any job.
        """
        tasks, left = list[Task](), queue.schedule.left
        try:
            while not queue.empty:
                over = all(task.done() for task in tasks)  # before looking: their last results are then seen
                yield from map(queue.as_ours, queue.elsewhere(thorough=True))
                if over and not queue.empty:
                    # What stops the tasks (an import, the data) would stop the next array too.
                    if tasks and queue.schedule.left == left:
                        raise _useless(queue)
                    tasks, left = self._submitted(queue), queue.schedule.left
                elif not queue.empty:
                    time.sleep(self.pause)
        finally:
            if not queue.empty:
                for task in tasks:
                    task.cancel()

    def parameters(self, tasks: int) -> dict[str, Any]:
        """The resources as parameters of submitit."""
        needs = self.resources
        parameters: dict[str, Any] = {
            "name": "bequest",
            "timeout_min": minutes(needs.time),
            "cpus_per_task": needs.cores,
            "slurm_array_parallelism": tasks,
            "slurm_signal_delay_s": SIGNAL,
        }
        if needs.memory is not None:
            parameters["mem_gb"] = gibibytes(needs.memory)
        if needs.gpus:
            parameters["gpus_per_node"] = ceil(needs.gpus)  # Slurm knows no fractions
        if needs.options:
            parameters["slurm_additional_parameters"] = dict(needs.options)
        return parameters

    def _submitted(self, queue: JobQueue) -> list[Task]:
        executor = self._executor(queue.root)
        tasks = max(1, min(self.resources.array, queue.schedule.left))
        executor.update_parameters(**self.parameters(tasks))
        with executor.batch():  # one array
            task = WorkTask(str(queue.root.resolve()), self.device)
            return [executor.submit(task) for _ in range(tasks)]

    def _executor(self, root: Path) -> Any:
        try:
            import submitit
        except ImportError as error:
            raise MissingExtra(
                "--engine slurm needs the package submitit",
                got=error,
                remedy="python -m pip install -c constraints.txt -e '.[slurm]'; or sbatch bequest work "
                "(docs/scaling.md)",
            ) from None
        try:
            return submitit.AutoExecutor(root / AT_WORK / "slurm", cluster=self.cluster)
        except RuntimeError as error:
            raise ConfigError.of("--engine slurm", [f"no Slurm here: {error}"]) from None


def _useless(queue: JobQueue) -> RunError:
    logs = queue.root / AT_WORK / "slurm"
    return RunError(
        "an array of Slurm jobs ended without having done any job of the run",
        expected=f"{queue.schedule.left} jobs that are left",
        remedy=f"look at the logs in {logs}; run the same command to continue",
    )
