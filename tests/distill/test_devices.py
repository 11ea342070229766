"""Where a batch goes, and what a device may be called; see ``on_second_device.py`` for whole trainings."""

from __future__ import annotations

import pytest
import torch

import bequest as bq
from bequest.data.batches import Batches
from bequest.data.queries import ActiveSpec, Source
from bequest.data.views import Mixup, Shift
from bequest.distill.devices import batch_to
from bequest.models.devices import to_device

META = torch.device("meta")


def test_a_batch_goes_there_whole_and_its_rows_stay(toy):
    mixed = Source("train", toy["train"], Mixup(0.5), student_view=Shift(1))
    batch = Batches((mixed,), batch=12, seed=0).at(0)
    moved = batch_to(batch, META)
    for name in ("x", "labels", "partner_labels", "label_weight", "seen"):
        assert getattr(moved, name).device == META, name
    assert moved.parts[0].rows.device.type == "cpu"
    assert batch_to(batch, torch.device("cpu")) is batch
    assert to_device(batch.x, torch.device("cpu")) is batch.x


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("by", [None, "divergence"])
def test_a_gpu_trains_as_the_cpu_does(by, network, toy):
    active = None if by is None else ActiveSpec(by=by, budget=30, rounds=3)
    options = {"teachers": [network(2)], "batch": 12, "epochs": 2, "active": active}
    there = bq.distill(network(1), toy, device="cuda", **options)
    here = bq.distill(network(1), toy, device="cpu", **options)
    assert there.record.provenance.device.startswith("cuda")
    for one, two in zip(there.model.cpu().parameters(), here.model.parameters(), strict=True):
        assert torch.allclose(one, two, atol=1e-4)
