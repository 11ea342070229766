"""What a study needs of a cluster: the resources of each worker, and their number."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from bequest.config import Config

_TIME = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?")
_MEMORY = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT])i?B?", re.IGNORECASE)
_UNITS = {"K": 2**-20, "M": 2**-10, "G": 1.0, "T": 2**10}


def minutes(time: str) -> int:
    """A time in minutes.

    >>> minutes("90m"), minutes("4h"), minutes("1d12h30m")
    (90, 240, 2190)

    Raises:
        ValueError: If it is not a time, or 0.
    """
    match = _TIME.fullmatch(time.strip())
    days, hours, rest = (int(part or 0) for part in match.groups()) if match else (0, 0, 0)
    total = 24 * 60 * days + 60 * hours + rest
    if not total:
        raise ValueError("expected a time such as 30m, 4h or 1d12h")
    return total


def gibibytes(memory: str) -> float:
    """A size of memory in GiB.

    >>> gibibytes("8G"), gibibytes("512M"), gibibytes("1.5 TiB")
    (8.0, 0.5, 1536.0)

    Raises:
        ValueError: If it is not a size, or 0.
    """
    match = _MEMORY.fullmatch(memory.strip())
    size = float(match[1]) * _UNITS[match[2].upper()] if match else 0.0
    if not size:
        raise ValueError("expected a size such as 512M or 8G")
    return size


def _time(time: str) -> str:
    minutes(time)
    return time


def _memory(memory: str) -> str:
    gibibytes(memory)
    return memory


class ResourcesSpec(Config):
    """What each worker needs, for ``--engine slurm`` and ``--engine ray``; no result depends on it.

    Attributes:
        cpus: Cores of a worker; at least one for each of its processes.
        gpus: GPUs of a worker; a fraction lets several share one, on Ray.
        processes: How many processes of a worker train each cell together, as under ``torchrun``; they also
            share the views of a store that the cell needs.
        memory: Memory of a worker, such as ``8G``; default: the cluster's own.
        time: How long a worker may run, such as ``4h``; the next one continues its work.
        array: Slurm jobs that run at the same time, at most.
        options: Further options of ``sbatch`` by name, such as ``partition`` or ``account``.
    """

    cpus: int = Field(1, ge=1)
    gpus: float = Field(0.0, ge=0)
    processes: int = Field(1, ge=1)
    memory: Annotated[str, AfterValidator(_memory)] | None = None
    time: Annotated[str, AfterValidator(_time)] = "4h"
    array: int = Field(8, ge=1)
    options: dict[str, str | int | bool] = Field(default_factory=dict)

    @property
    def cores(self) -> int:
        """Cores of a worker."""
        return max(self.cpus, self.processes)
