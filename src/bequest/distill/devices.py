"""How a batch gets to the device of the network that reads it."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from bequest.data.batches import Batch
from bequest.models.devices import to_device


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
