"""How far the transformers of a study look, layer by layer."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bequest.measure import attention_distance, seed_interval
from bequest.models.taps import activations
from bequest.models.vit import VisionTransformer
from bequest.records import Curve, Measurement, Point
from bequest.studies.cells import PROBE_SPLIT
from bequest.studies.estimates import over_seeds
from bequest.studies.evidence import Array, Evidence
from bequest.studies.plan import charted_arms, shown_arms

SAMPLES = 200
MEASURE = "attention_distance"


def measure_attention(evidence: Evidence) -> Iterator[Measurement]:
    """The mean attention distance in pixels of every transformer, over all its blocks."""
    for arm, found in _distances(evidence).items():
        means = {seed: float(values.mean()) for seed, values in found.items()}
        yield over_seeds(means, measure=MEASURE, arm=arm, split=PROBE_SPLIT)


def attention_curves(evidence: Evidence) -> Iterator[Curve]:
    """Attention distance over the blocks, mean and interval over seeds."""
    charted = charted_arms(evidence.plan.study)
    for arm, found in _distances(evidence).items():
        if arm not in charted:
            continue
        points = []
        for k, values in enumerate(zip(*found.values(), strict=True), 1):
            y = seed_interval(list(values))
            points.append(Point(x=k, y=y.value, low=y.low, high=y.high, n=y.n))
        yield Curve(
            chart="attention",
            arm=arm,
            split=PROBE_SPLIT,
            x_title="block",
            y_title="attention distance (pixels)",
            points=tuple(points),
        )


def _distances(evidence: Evidence) -> dict[str, dict[int, Array]]:
    """Arm → seed → one distance a block, of the arms whose students are transformers."""
    if not evidence.plan.study.measures.attention:
        return {}
    known: dict[str, dict[int, Array]] = evidence.kept.setdefault("attention", {})
    for arm in shown_arms(evidence.plan.study):
        if arm in known:
            continue
        found = {seed: _of_network(evidence, arm, seed) for seed in evidence.seeds(arm)}
        known[arm] = {seed: values for seed, values in found.items() if len(values)}
    return {arm: values for arm, values in known.items() if values}


def _of_network(evidence: Evidence, arm: str, seed: int) -> Array:
    """The mean over heads of each block's distance in pixels; none if the network is no transformer."""
    network = evidence.network(arm, seed)
    if not isinstance(network, VisionTransformer):
        return np.empty(0)
    names = [f"blocks.{k}.attention.weights" for k in range(len(network.blocks))]
    weights = activations(network, evidence.data[PROBE_SPLIT].x[:SAMPLES], names)
    patch = float(network.patch)
    return np.array(
        [attention_distance(weights[name].numpy(), network.grid, patch=patch).mean() for name in names]
    )
