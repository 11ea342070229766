"""What ways to train make of fewer or more images a class."""

from __future__ import annotations

from collections.abc import Iterator

from bequest.measure import accuracy, seed_interval
from bequest.records import Curve, Measurement, Point
from bequest.studies.estimates import over_seeds
from bequest.studies.evidence import Evidence
from bequest.studies.plan import few_shot_of

BY_IMAGES = "accuracy_by_images"


def measure_images(evidence: Evidence) -> Iterator[Measurement]:
    """The accuracy of every arm on the chart, which no other table need show."""
    spec = evidence.plan.study.measures.images
    for arm in dict.fromkeys(arm for line in spec.lines.values() for arm in line) if spec else ():
        assert spec is not None
        yield over_seeds(_accuracies(evidence, arm, spec.split), measure=BY_IMAGES, arm=arm, split=spec.split)


def image_curves(evidence: Evidence) -> Iterator[Curve]:
    """Accuracy over training images a class, mean and interval over seeds, one curve a way to train."""
    spec = evidence.plan.study.measures.images
    for line, arms in spec.lines.items() if spec else ():
        assert spec is not None
        points = []
        for arm in arms:
            found = seed_interval(list(_accuracies(evidence, arm, spec.split).values()))
            images = _images(evidence, arm)
            points.append(
                Point(x=images, y=found.value, low=found.low, high=found.high, n=found.n, label=arm)
            )
        yield Curve(
            chart="images",
            arm=line,
            split=spec.split,
            x_title="training images a class",
            y_title="accuracy",
            points=tuple(sorted(points, key=lambda point: point.x)),
        )


def _accuracies(evidence: Evidence, arm: str, split: str) -> dict[int, float]:
    found = {seed: evidence.predictions(arm, seed, split) for seed in evidence.seeds(arm)}
    return {seed: accuracy(p.logits, p.labels) for seed, p in found.items()}


def _images(evidence: Evidence, arm: str) -> float:
    """Images a class that an arm trains on, the mean over classes."""
    few = few_shot_of(evidence.plan.study, arm)
    return float(few) if few else len(evidence.data["train"]) / len(evidence.data.classes)
