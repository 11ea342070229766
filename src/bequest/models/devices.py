"""Devices: parsing, assignment to several workers, and where a network is."""

from __future__ import annotations

import os

import torch
from torch import Tensor, nn

from bequest.data.rows import in_memory
from bequest.errors import ConfigError

Device = str | torch.device
KINDS = ("cpu", "cuda", "mps", "meta")


def parse_device(device: Device = "auto") -> torch.device:
    """The device for ``auto`` (the best available), ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.

    In a process that torchrun started, ``auto`` and ``cuda`` mean the GPU with the local rank's number.

    >>> parse_device("cpu")
    device(type='cpu')

    Raises:
        ConfigError: If the device does not exist here, or is not one of these.
    """
    if device == "auto":
        best = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
        return _of_rank(torch.device(best))
    try:
        parsed = torch.device(device)
    except RuntimeError:
        parsed = None
    if parsed is None or parsed.type not in KINDS:
        raise ConfigError.of("device", [f"{str(device)!r} is not one of auto, cpu, cuda, cuda:N, mps"])
    count = torch.cuda.device_count()
    if parsed.type == "cuda" and (parsed.index or 0) >= count:
        raise ConfigError.of("device", [f"{parsed} is not there: PyTorch sees {count} CUDA devices here"])
    if parsed.type == "mps" and not torch.backends.mps.is_available():
        raise ConfigError.of("device", ["mps is not there: PyTorch sees no Apple GPU here"])
    return _of_rank(parsed)


def worker_devices(
    device: Device, *, cores: int, workers: int | None = None, per_device: int | None = None
) -> tuple[str, ...]:
    """The device of each of several worker processes, dealt round-robin over the GPUs of ``device``.

    ``auto`` and ``cuda`` mean every GPU, ``cuda:N`` that one. By default each GPU has one worker, since a
    second network on a GPU that the first one fills makes neither faster.

    Args:
        device: See :func:`parse_device`.
        cores: Cores of this machine that may be used.
        workers: Number of processes; default: one per GPU, on the CPU one per core.
        per_device: Most processes per device.

    Raises:
        ConfigError: If there is no such device here.

    >>> worker_devices("cpu", cores=4)
    ('cpu', 'cpu', 'cpu', 'cpu')
    """
    parsed = parse_device(device)
    names = [str(parsed)]
    if parsed.type == "cuda" and str(device) in ("auto", "cuda"):
        names = [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    count = workers or (cores if parsed.type == "cpu" else len(names) * (per_device or 1))
    if per_device is not None:
        count = min(count, len(names) * per_device)
    return tuple(names[worker % len(names)] for worker in range(count))


def prefer_determinism(device: Device) -> None:
    """Make a process that computes on a GPU use PyTorch's deterministic kernels, where they exist.

    An operation without one only warns. On a CPU results are reproducible without it. The setting affects the
    whole process, so it is only for worker processes that bequest starts.
    """
    if torch.device(device).type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when cuBLAS is first used
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.backends.cudnn.benchmark = False


def accelerator_name(device: torch.device) -> str | None:
    """The name of the GPU; None for other devices."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else None


def device_of(module: nn.Module) -> torch.device:
    """Where the parameters of ``module`` are, or its buffers; the CPU if it has neither."""
    first = next((*module.parameters(), *module.buffers()).__iter__(), None)
    return torch.device("cpu") if first is None else first.device


def to_device(x: Tensor, device: torch.device) -> Tensor:
    """``x`` on ``device``; lazy rows are read first.

    The copy to a GPU is asynchronous, from pinned memory.
    """
    x = in_memory(x)
    if x.device == device:
        return x
    if device.type == "cuda" and x.device.type == "cpu":
        return x.pin_memory().to(device, non_blocking=True)
    return x.to(device)


def _of_rank(device: torch.device) -> torch.device:
    """The GPU of this local rank, if torchrun started the process and ``device`` has no index."""
    rank = os.environ.get("LOCAL_RANK")
    if str(device) != "cuda" or rank is None:
        return device
    return torch.device("cuda", int(rank) % torch.cuda.device_count())
