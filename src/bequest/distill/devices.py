"""Moves a batch to the device of the network that reads it."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from bequest.data.batches import Batch
from bequest.models.devices import to_device


def batch_to(batch: Batch, device: torch.device) -> Batch:
    """``batch`` with all tensors that networks and objectives read moved to ``device``.

    The row numbers of its parts stay where they are: they index samples in memory or in a store.
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
