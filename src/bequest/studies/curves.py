"""From finished cells to curves: training, reliability, robustness, paths, barriers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from bequest.measure import reliability, seed_interval
from bequest.records import Curve, Measurement, Point
from bequest.studies.barriers import barrier_curves
from bequest.studies.efficiency import efficiency_curves
from bequest.studies.evidence import Evidence
from bequest.studies.layers import layer_curves
from bequest.studies.locality import attention_curves
from bequest.studies.maps import path_curves
from bequest.studies.measuring import BY_BUDGET
from bequest.studies.plan import charted_arms
from bequest.studies.spec import compared_splits
from bequest.studies.strata import strata_curves

BINS = 15


def study_curves(evidence: Evidence, measurements: Sequence[Measurement]) -> list[Curve]:
    """Every curve of a study, in the order of its arms."""
    return [
        *_budget(evidence, measurements),
        *_training(evidence),
        *_reliability(evidence),
        *_robustness(evidence),
        *strata_curves(evidence),
        *efficiency_curves(evidence),
        *layer_curves(evidence),
        *attention_curves(evidence),
        *path_curves(evidence),
        *barrier_curves(evidence),
    ]


def _training(evidence: Evidence) -> Iterator[Curve]:
    """Validation accuracy over epochs, mean and interval over seeds."""
    for arm in charted_arms(evidence.plan.study):
        histories = [evidence.history(arm, seed) for seed in evidence.seeds(arm)]
        epochs = sorted({int(row["epoch"]) for history in histories for row in history})
        points = []
        for epoch in epochs:
            values = [row["accuracy"] for history in histories for row in history if row["epoch"] == epoch]
            found = seed_interval(values)
            points.append(Point(x=epoch, y=found.value, low=found.low, high=found.high, n=found.n))
        if points:
            yield Curve(
                chart="training",
                arm=arm,
                split="validation",
                x_title="epoch",
                y_title="validation accuracy",
                points=tuple(points),
            )


def _budget(evidence: Evidence, measurements: Sequence[Measurement]) -> Iterator[Curve]:
    """Inherited accuracy against queries a training sample, one line a way to choose them."""
    study = evidence.plan.study
    samples = len(evidence.data["train"])
    for line, arms in study.measures.budget.lines.items() if study.measures.budget else ():
        points = []
        for arm in arms:
            asked = sum(s.active.budget for s in study.queries[study.arms[arm].queries or ""] if s.active)
            found = next(m for m in measurements if (m.measure, m.arm) == (BY_BUDGET, arm))
            points.append(
                Point(x=asked / samples, y=found.value, low=found.low, high=found.high, n=found.n, label=arm)
            )
        yield Curve(
            chart="budget",
            arm=line,
            split=study.measures.budget.split if study.measures.budget else None,
            x_title="queries asked, for each training sample",
            y_title="inheritance of accuracy",
            points=tuple(sorted(points, key=lambda point: point.x)),
        )


def _robustness(evidence: Evidence) -> Iterator[Curve]:
    """Accuracy over the levels of each corruption, mean and interval over seeds; level 0 is clean."""
    for family in evidence.plan.study.measures.corruptions:
        for arm in charted_arms(evidence.plan.study):
            found = [evidence.robustness(arm, seed)[family] for seed in evidence.seeds(arm)]
            if not found:
                continue
            levels = [seed_interval(list(values)) for values in zip(*found, strict=True)]
            yield Curve(
                chart="robustness",
                arm=arm,
                split=family,
                x_title="level",
                y_title="accuracy",
                points=tuple(
                    Point(x=level, y=y.value, low=y.low, high=y.high, n=y.n) for level, y in enumerate(levels)
                ),
            )


def _reliability(evidence: Evidence) -> Iterator[Curve]:
    """Accuracy against confidence, all seeds' predictions together."""
    for arm in charted_arms(evidence.plan.study):
        for split in compared_splits(evidence.plan.study):
            found = [evidence.predictions(arm, seed, split) for seed in evidence.seeds(arm)]
            if not found:
                continue
            table = reliability(
                np.concatenate([p.probs for p in found]), np.concatenate([p.labels for p in found]), bins=BINS
            )
            points = [
                Point(x=float(x), y=float(y), n=int(n))
                for x, y, n in zip(table.confidence, table.accuracy, table.count, strict=True)
                if n
            ]
            yield Curve(
                chart="reliability",
                arm=arm,
                split=split,
                kind="points",
                x_title="confidence",
                y_title="accuracy",
                points=tuple(points),
            )
