"""Every view on the second device: the CPU's bytes; run by ``test_second_device.py``."""

from __future__ import annotations

import pytest
import torch

from .test_purity import IMAGES, X


@pytest.mark.parametrize("view", IMAGES, ids=lambda view: view.name)
def test_a_view_shows_the_same_pixels_on_another_device(view, twin):
    ids = torch.arange(100, 100 + len(X))
    placed = ((X, ids), (X.to(twin), ids.to(twin)))
    for view_id in range(3):
        shown = [[view(x, at, view_id, seed=1, pool=(x, at))] for x, at in placed]
        mixing = [view.mixing(at, view_id, seed=1, pool=(x, at)) or () for x, at in placed]
        for here, there in zip(*([*a, *b] for a, b in zip(shown, mixing, strict=True)), strict=True):
            assert there.device == twin
            assert torch.equal(here, there.cpu())
