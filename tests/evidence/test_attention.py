"""How far the vision transformers of a study look, block by block."""

from __future__ import annotations

import numpy as np
import pytest

from bequest.measure import attention_distance
from bequest.models.taps import activations

ARM = "vit<-cnn&mlp"


@pytest.fixture(scope="module")
def distances(readings):
    """One mean distance a block, by seed."""
    x = readings.data["test"].x[:200]
    names = [f"blocks.{k}.attention.weights" for k in (0, 1)]
    by_seed = []
    for seed in (0, 1):
        network = readings.network(ARM, seed)
        weights = activations(network, x, names)
        patch = float(network.patch)
        by_seed.append(
            [attention_distance(weights[n].numpy(), network.grid, patch=patch).mean() for n in names]
        )
    return by_seed


def test_the_mean_over_blocks_is_measured(distances, measured):
    m = measured("attention_distance", ARM, split="test")
    assert list(m.per_seed.values()) == pytest.approx(np.mean(distances, axis=1).tolist(), rel=1e-5)


def test_a_curve_has_a_point_for_each_block(distances, curves):
    (curve,) = curves("attention")
    assert (curve.arm, [point.x for point in curve.points]) == (ARM, [1, 2])
    expected = np.mean(distances, axis=0).tolist()
    assert [point.y for point in curve.points] == pytest.approx(expected, rel=1e-5)


def test_other_networks_have_none(measured):
    assert {m.arm for m in measured.all if m.measure == "attention_distance"} == {ARM}
