"""How alike the layers of a student and of a teacher are."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from bequest.measure import cka, seed_interval
from bequest.models.taps import activations
from bequest.records import Curve, Measurement, Point
from bequest.studies.cells import PROBE_SPLIT
from bequest.studies.estimates import over_seeds
from bequest.studies.evidence import Array, Evidence
from bequest.studies.plan import charted_arms, compared

SAMPLES = 500
MEASURE = "layer_cka"
Network = tuple[str, int, bool]
"""Arm, seed, and whether before training."""


def measure_layers(evidence: Evidence) -> Iterator[Measurement]:
    """The mean over a student's layers of the largest CKA with a layer of the teacher; null and ceiling.

    The null is the untrained student, the ceiling another seed of the teacher's family.
    """
    for arm, teacher in _pairs(evidence):
        seeds, family = evidence.seeds(arm, teacher), evidence.seeds(teacher)
        after = {seed: (teacher, seed, False) for seed in family}
        follows = dict(zip(family, [*family[1:], *family[:1]], strict=True)) if len(family) > 1 else {}
        for mark, found in (
            ("", {seed: (arm, seed, False) for seed in seeds}),
            ("/null", {seed: (arm, seed, True) for seed in seeds}),
            ("/ceiling", {seed: (teacher, other, False) for seed, other in follows.items()}),
        ):
            values = {
                seed: float(matrix(evidence, one, after[seed]).max(1).mean()) for seed, one in found.items()
            }
            where = {"teacher": teacher, "split": PROBE_SPLIT}
            yield over_seeds(values, measure=MEASURE + mark, arm=arm, **where)


def layer_curves(evidence: Evidence) -> Iterator[Curve]:
    """The largest CKA with a layer of the teacher over the student's layers, mean and interval over seeds."""
    charted = charted_arms(evidence.plan.study)
    for arm, teacher in _pairs(evidence):
        if arm not in charted:
            continue
        seeds = evidence.seeds(arm, teacher)
        best = [matrix(evidence, (arm, seed, False), (teacher, seed, False)).max(1) for seed in seeds]
        names = evidence.plan.study.measures.layers[evidence.plan.study.arms[arm].student]
        points = []
        for k, (name, values) in enumerate(zip(names, zip(*best, strict=True), strict=False), 1):
            y = seed_interval(list(values))
            points.append(Point(x=k, y=y.value, low=y.low, high=y.high, n=y.n, label=name))
        if points:
            yield Curve(
                chart="layers",
                arm=arm,
                teacher=teacher,
                split=PROBE_SPLIT,
                x_title="layer of the student",
                y_title="largest CKA with a layer of the teacher",
                points=tuple(points),
            )


def matrix(evidence: Evidence, one: Network, other: Network) -> Array:
    """CKA of every layer of one network with every layer of another, (layers, layers)."""
    known: dict[tuple[Network, Network], Array] = evidence.kept.setdefault("layer cka", {})
    if (one, other) not in known:
        first, second = (_features(evidence, network) for network in (one, other))
        known[one, other] = np.array([[cka(x, y) for y in second] for x in first])
    return known[one, other]


def _pairs(evidence: Evidence) -> list[tuple[str, str]]:
    """Compared arms whose students both have layers to look at."""
    study = evidence.plan.study
    looked = study.measures.layers
    return [pair for pair in compared(study) if all(study.arms[arm].student in looked for arm in pair)]


def _features(evidence: Evidence, network: Network) -> list[Array]:
    """Activations of each named layer on the first test samples, the mean over positions: (N, F) each."""
    known: dict[Network, list[Array]] = evidence.kept.setdefault("layer features", {})
    if network not in known:
        arm, seed, untrained = network
        study = evidence.plan.study
        model = evidence.network(arm, seed, untrained=untrained)
        names = study.measures.layers[study.arms[arm].student]
        found = activations(model, evidence.data[PROBE_SPLIT].x[:SAMPLES], names)
        known[network] = [_pooled(found[name]).numpy() for name in names]
    return known[network]


def _pooled(x: torch.Tensor) -> torch.Tensor:
    """The mean over the positions of maps (N, C, H, W) or of tokens (N, L, D)."""
    if x.ndim == 4:
        return x.mean((2, 3))
    return x.mean(1) if x.ndim == 3 else x
