"""Which engine does the jobs of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from bequest.distill.parallel import Ranks
from bequest.errors import ConfigError
from bequest.models.devices import Device, parse_device
from bequest.runs.engines.actors import RayEngine
from bequest.runs.engines.memory_budget import MemoryBudget
from bequest.runs.engines.slurm import SlurmEngine
from bequest.runs.jobs.queue import Engine, JobQueue
from bequest.runs.pool import LocalPool
from bequest.runs.ranks import RankPool

ENGINES = ("local", "slurm", "ray", "none")


@dataclass(frozen=True)
class Choice:
    """An engine by name.

    Attributes:
        name: ``local``, ``slurm``, ``ray``, or ``none``: whoever runs ``bequest work`` on the folder.
        device: The device as it was asked for.
        ray_address: Of a Ray cluster; None starts Ray on this machine.
        workers: How many workers were asked for.
    """

    name: str = "local"
    device: str = "auto"
    ray_address: str | None = None
    workers: int | None = None

    @classmethod
    def of(
        cls, name: str, device: Device, *, ray_address: str | None = None, workers: int | None = None
    ) -> Choice:
        """The engine, if there is one of that name, and the device, if this machine needs it.

        Raises:
            ConfigError: If there is none.
        """
        if name not in ENGINES:
            known = ", ".join(ENGINES)
            raise ConfigError.of("--engine", [f"there is no engine {name!r}; expected one of {known}"])
        if ray_address is not None and name != "ray":
            raise ConfigError.of("--ray-address", [f"needs --engine ray, not --engine {name}"])
        if name == "local":
            parse_device(device)
        return cls(name, str(device), ray_address, workers)

    def engine(self, queue: JobQueue, ranks: Ranks, devices: Sequence[str]) -> Engine:
        """What does the jobs of ``queue``.

        Args:
            queue: The jobs.
            ranks: The processes that train together.
            devices: The device of each worker process of this machine.
        """
        resources = queue.plan.study.resources
        if self.name == "slurm":
            return SlurmEngine(resources, self.device)
        if self.name == "ray":
            return RayEngine(resources, self.device, self.ray_address, self.workers)
        if ranks.world > 1:
            return RankPool(queue.plan, queue.root, ranks, devices[0])
        # No more workers than jobs: each pays for an import of PyTorch before it does anything.
        hands = devices[: len(queue.inventory.jobs)]
        on_cpu = hands[0] == "cpu"
        budget = partial(MemoryBudget.of, queue.plan, workers=len(hands), on_cpu=on_cpu)
        return LocalPool(queue.root, hands, budget)
