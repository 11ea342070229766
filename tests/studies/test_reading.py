"""How a trained network is read."""

from __future__ import annotations

import torch

from bequest.data import Split
from bequest.models import build_model
from bequest.studies.reading import Reading


def test_one_pass_gives_what_two_give_and_a_network_is_asked_once_a_chunk():
    x = torch.rand(1200, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    split = Split(x, torch.arange(1200) % 10, torch.arange(1200))
    reading = Reading(next_token=False)
    network = build_model("vit", (1, 8, 8), 10, seed=0, form="advised", width=32, depth=1, heads=2, stem=32)
    sizes = []
    network.register_forward_hook(lambda module, given, answer: sizes.append(len(given[0])))
    logits, features = reading.both(network, split)
    assert sizes == [500, 500, 200]
    assert torch.equal(logits, reading.logits(network, split))
    assert torch.equal(features, reading.penultimate(network, split.x))
    assert network.training
