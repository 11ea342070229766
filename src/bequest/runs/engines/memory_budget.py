"""Which jobs fit into this machine's memory alongside those that are running, by the cost estimate."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import inf, prod
from pathlib import Path

from bequest.data.outline import OUTLINES, outline_of
from bequest.errors import BequestError
from bequest.runs.survey import TRAIN, Job
from bequest.studies.cost import NUMBER, study_cost
from bequest.studies.plan import Plan

PROCESS = 400 << 20
"""Bytes of a worker process before it does anything: Python and PyTorch."""

COPIES = 2
"""A data set is held as it was loaded and as it is shown."""

SHARE = 0.9
"""The share of the available memory that workers may take; the rest is left to the file system."""


@dataclass(frozen=True)
class MemoryBudget:
    """How much memory the worker processes of this machine may take together.

    Attributes:
        limit: Bytes.
        needs: Bytes of a training, by the arm of its cell; without an estimate only the process counts.
    """

    limit: float = inf
    needs: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, plan: Plan, *, workers: int, on_cpu: bool) -> MemoryBudget:
        """The budget of this machine for a plan; without limit for one worker, which always fits.

        On a GPU a training takes little of this memory.
        """
        if workers < 2 or not on_cpu:
            return cls()
        if plan.study.theory is not None:
            return cls()
        if any(cell.training.data.name not in OUTLINES for cell in plan.cells):
            return cls()  # the driver would have to load the data to know its size
        try:
            costs = study_cost(plan)
            needs = {cost.arm: PROCESS + cost.memory + _data_bytes(plan, cost.arm) for cost in costs}
        except BequestError:  # data that is absent, or a network that cannot be built: its cell will say so
            return cls()
        return cls(SHARE * available_memory(), needs)

    def fits(self, job: Job, running: Iterable[Job]) -> bool:
        """Whether a job can start alongside those that are running; alone it always can."""
        others = [self.need(other) for other in running]
        return not others or sum(others) + self.need(job) <= self.limit

    def need(self, job: Job) -> int:
        """Bytes that a job takes; a reading counts as half a training, since it has no gradients."""
        need = self.needs.get(job.cell.arm, PROCESS)
        return need if job.action == TRAIN else PROCESS + (need - PROCESS) // 2


def available_memory() -> float:
    """Bytes available to new processes: those of the machine, or of the container if that is less."""
    limits = [_of_machine(), _of_container()]
    return min(limits)


def _of_machine() -> float:
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return 1024.0 * int(line.split()[1])
    with contextlib.suppress(ValueError, OSError, AttributeError):
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    return inf


def _of_container(root: Path = Path("/sys/fs/cgroup")) -> float:
    """Bytes that the control group (version 2 or 1) leaves; infinite outside of one."""
    for limit, usage in (
        (root / "memory.max", root / "memory.current"),
        (root / "memory" / "memory.limit_in_bytes", root / "memory" / "memory.usage_in_bytes"),
    ):
        with contextlib.suppress(OSError, ValueError):  # "max": no limit  # in version 2, "max" is no limit
            return float(int(limit.read_text()) - int(usage.read_text()))
    return inf


def _data_bytes(plan: Plan, arm: str) -> int:
    data = plan.cell(arm, plan.seeds_of(arm)[0]).training.data
    outline = outline_of(data.name, data.options)
    return COPIES * NUMBER * outline.samples * prod(outline.input_shape)
