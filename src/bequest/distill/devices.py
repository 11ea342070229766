"""Devices: which one is meant, where a network is, and how a batch gets there."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from bequest.data.batches import Batch
from bequest.errors import ConfigError

Device = str | torch.device
KINDS = ("cpu", "cuda", "mps", "meta")


def parse_device(device: Device = "auto") -> torch.device:
    """The device that is meant: ``auto`` (the best there is), ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.

    >>> parse_device("cpu")
    device(type='cpu')

    Raises:
        ConfigError: If there is no such device here, or it is no device at all.
    """
    if device == "auto":
        best = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
        return torch.device(best)
    try:
        parsed = torch.device(device)
    except RuntimeError:
        parsed = None
    if parsed is None or parsed.type not in KINDS:
        raise ConfigError.of("device", [f"expected auto, cpu, cuda, cuda:N or mps, got {str(device)!r}"])
    count = torch.cuda.device_count()
    if parsed.type == "cuda" and (parsed.index or 0) >= count:
        raise ConfigError.of("device", [f"{parsed}: this machine has {count} CUDA devices for PyTorch"])
    if parsed.type == "mps" and not torch.backends.mps.is_available():
        raise ConfigError.of("device", ["mps: this machine has none for PyTorch"])
    return parsed


def device_of(module: nn.Module) -> torch.device:
    """Where the parameters of ``module`` are, or its buffers; the CPU if it has neither."""
    first = next((*module.parameters(), *module.buffers()).__iter__(), None)
    return torch.device("cpu") if first is None else first.device


def to_device(x: Tensor, device: torch.device) -> Tensor:
    """``x`` on ``device``. To a GPU it is copied from pinned memory while the program goes on."""
    if x.device == device:
        return x
    if device.type == "cuda" and x.device.type == "cpu":
        return x.pin_memory().to(device, non_blocking=True)
    return x.to(device)


def batch_to(batch: Batch, device: torch.device) -> Batch:
    """``batch`` with what networks and objectives read on ``device``; the rows of its parts stay put.

    Those name samples, which lie in memory or in a store and not on the device.
    """
    if batch.x.device == device:
        return batch

    def moved(values: Tensor | None) -> Tensor | None:
        return None if values is None else to_device(values, device)

    return replace(
        batch,
        x=to_device(batch.x, device),
        labels=moved(batch.labels),
        partner_labels=moved(batch.partner_labels),
        label_weight=moved(batch.label_weight),
        seen=moved(batch.seen),
    )
