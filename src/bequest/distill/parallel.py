"""Several processes that train one student, started by torchrun, each with a part of every batch.

Rank r takes rows r, r + world, r + 2 world ... of each batch, and gradients are summed, not averaged: every
loss is a share of the whole batch's loss. The same global batch therefore gives the same student, up to the
order of additions, for any number of processes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from importlib import import_module
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from bequest.errors import WorkerLost

T = TypeVar("T")

TIMEOUT = timedelta(minutes=10)
"""How long a rank waits for the others during training before the run fails."""

PATIENCE = timedelta(days=30)
"""How long the other ranks wait for the first one's next order: it may be reading networks, or waiting."""

_patient_groups: list[dist.ProcessGroup] = []


@dataclass(frozen=True)
class Ranks:
    """This process among those that train together; alone by default.

    Attributes:
        rank: Which process this is, from 0.
        world: How many there are.
    """

    rank: int = 0
    world: int = 1

    @classmethod
    def here(cls) -> Ranks:
        """The ranks of the current process group; alone without one."""
        if dist.is_available() and dist.is_initialized():
            return cls(dist.get_rank(), dist.get_world_size())
        return cls()

    @property
    def first(self) -> bool:
        """True for the one process that evaluates and writes files."""
        return self.rank == 0

    def sum(self, values: Tensor) -> Tensor:
        """``values`` summed over all ranks.

        Raises:
            WorkerLost: If another rank is gone; so do the other methods.
        """
        if self.world > 1:
            values = values.contiguous()
            self._together(partial(dist.all_reduce, values))
        return values

    def shared(self, value: T) -> T:
        """The ``value`` of rank 0, on every rank."""
        return self._from_first(value, None)

    def ordered(self, order: T) -> T:
        """The ``order`` of rank 0, on every rank, however long it takes to come."""
        return self._from_first(order, _patient_groups[-1] if self.world > 1 else None)

    def _from_first(self, value: T, group: dist.ProcessGroup | None) -> T:
        if self.world == 1:
            return value
        box: list[Any] = [value if self.first else None]
        self._together(partial(dist.broadcast_object_list, box, src=0, group=group))
        received: T = box[0]
        return received

    def copy_from_first(self, module: nn.Module) -> None:
        """Give every rank the parameters and buffers of rank 0."""
        if self.world > 1:
            for values in (*module.parameters(), *module.buffers()):
                self._together(partial(dist.broadcast, values.detach(), src=0))

    def average_buffers(self, module: nn.Module) -> None:
        """Make running statistics equal on all ranks, by their mean."""
        if self.world > 1:
            for buffer in module.buffers():
                if buffer.is_floating_point():
                    buffer.copy_(self.sum(buffer.detach().clone()) / self.world)

    def sum_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Sum gradients over all ranks; a parameter that has none on any rank keeps None."""
        if self.world == 1:
            return
        # One flat reduction for gradients and for which of them exist: unused parameters differ between
        # ranks, and the optimizer must skip a parameter on all ranks or on none.
        present = parameters[0].new_tensor([parameter.grad is not None for parameter in parameters])
        flat = self.sum(torch.cat([present, *(_gradient(parameter).flatten() for parameter in parameters)]))
        has_gradient = (flat[: len(parameters)] > 0).tolist()
        sizes = [parameter.numel() for parameter in parameters]
        sums = torch.split(flat[len(parameters) :], sizes)
        for parameter, gradient, has in zip(parameters, sums, has_gradient, strict=True):
            parameter.grad = gradient.view_as(parameter).to(parameter.dtype) if has else None

    def _together(self, collective: Callable[[], object]) -> None:
        try:
            collective()
        except RuntimeError as error:
            raise WorkerLost(
                f"rank {self.rank} lost the other ranks",
                expected=f"{self.world} ranks in step",
                got=str(error).strip().splitlines()[0],
                remedy="look for another rank's error; the same command resumes from the last checkpoint, "
                "also with a different number of ranks",
            ) from error


def launched() -> bool:
    """True in a process that torchrun started as one of several."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1 and "RANK" in os.environ


def following() -> bool:
    """True in every process that torchrun started except the first one."""
    return launched() and os.environ["RANK"] != "0"


@contextmanager
def joined(timeout: timedelta = TIMEOUT) -> Iterator[Ranks]:
    """Join the processes that torchrun started, with gloo and, if each rank has a GPU, NCCL; else alone.

    Raises:
        WorkerLost: If the others cannot be reached.
    """
    if not launched() or dist.is_initialized():
        yield Ranks.here()
        return
    # The first optimizer imports this. Imported beside a process group, it keeps the group alive (torch
    # 2.13), whose threads then abort one exit in twenty.
    import_module("torch._dynamo")
    local = int(os.environ.get("LOCAL_RANK", "0"))
    gpu = torch.cuda.is_available() and local < torch.cuda.device_count() and dist.is_nccl_available()
    if gpu:
        torch.cuda.set_device(local)
    try:
        # Both, as a student may be on the CPU beside GPUs, and plain objects travel by the CPU.
        dist.init_process_group("cpu:gloo,cuda:nccl" if gpu else "gloo", timeout=timeout)
    except (RuntimeError, ValueError) as error:
        raise WorkerLost(
            f"rank {os.environ['RANK']} cannot reach the other ranks",
            got=str(error).strip().splitlines()[0],
            remedy="check MASTER_ADDR and MASTER_PORT, and that every rank was started",
        ) from error
    # A group of its own, as a group has one timeout: a dead rank in training should be noticed soon.
    _patient_groups.append(dist.new_group(backend="gloo", timeout=PATIENCE))
    try:
        yield Ranks.here()
    except BaseException:
        # NCCL would wait for the others here; gloo's threads, left alone, abort one exit in thirty.
        if not gpu:
            dist.destroy_process_group()
        raise
    finally:
        _patient_groups.pop()
    dist.destroy_process_group()


def _gradient(parameter: nn.Parameter) -> Tensor:
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
