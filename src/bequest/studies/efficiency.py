"""What a way to train makes of more or fewer samples."""

from __future__ import annotations

from collections.abc import Iterator

from bequest.measure import accuracy, seed_interval
from bequest.records import Curve, Measurement, Point
from bequest.studies.estimates import over_seeds
from bequest.studies.evidence import Evidence
from bequest.studies.parts import part_of
from bequest.studies.plan import control_of
from bequest.studies.spec import EfficiencySpec, SourceSpec

GAIN = "gain/accuracy"


def measure_efficiency(evidence: Evidence) -> Iterator[Measurement]:
    """Accuracy less that of the control, paired by seed, of every arm on the chart that has a control."""
    spec = evidence.plan.study.measures.efficiency
    for arm in _arms(spec):
        control = control_of(evidence.plan.study, arm)
        if control is None or spec is None:
            continue
        own, other = (_accuracies(evidence, name, spec.split) for name in (arm, control))
        gains = {seed: own[seed] - other[seed] for seed in own if seed in other}
        yield over_seeds(gains, measure=GAIN, arm=arm, split=spec.split)


def efficiency_curves(evidence: Evidence) -> Iterator[Curve]:
    """Accuracy over the number of training samples, mean and interval over seeds, one curve a line."""
    spec = evidence.plan.study.measures.efficiency
    for line, arms in spec.lines.items() if spec else ():
        points = []
        for arm in arms:
            found = seed_interval(list(_accuracies(evidence, arm, spec.split if spec else "").values()))
            samples = _samples(evidence, arm)
            points.append(Point(x=samples, y=found.value, low=found.low, high=found.high, n=found.n))
        yield Curve(
            chart="efficiency",
            arm=line,
            split=spec.split if spec else None,
            x_title="training samples",
            y_title="accuracy",
            points=tuple(sorted(points, key=lambda point: point.x)),
        )


def _arms(spec: EfficiencySpec | None) -> list[str]:
    return list(dict.fromkeys(arm for line in spec.lines.values() for arm in line)) if spec else []


def _accuracies(evidence: Evidence, arm: str, split: str) -> dict[int, float]:
    found = {seed: evidence.predictions(arm, seed, split) for seed in evidence.seeds(arm)}
    return {seed: accuracy(p.logits, p.labels) for seed, p in found.items()}


def _samples(evidence: Evidence, arm: str) -> int:
    study = evidence.plan.study
    queries = study.arms[arm].queries
    (source,) = study.queries[queries] if queries else (SourceSpec(),)
    return len(part_of(evidence.data, source, seed=0))
