"""Accuracy, calibration and the other properties of each arm on each split."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import ClassVar

import numpy as np
from typing_extensions import override

from bequest.evidence.estimates import over_seeds
from bequest.evidence.kind import Kind, cells_of
from bequest.evidence.reading import Perplexity, Reading, answers_on
from bequest.evidence.readings import Readings
from bequest.evidence.values import PROPERTIES, Values
from bequest.measure import reliability
from bequest.measures import measure_named
from bequest.records import Curve, Measurement, Point, SectionRecord
from bequest.studies.cell import Cell
from bequest.studies.claims import find
from bequest.studies.datasets import PROBE_SPLIT, is_language
from bequest.studies.faults import not_known
from bequest.studies.plan import Plan
from bequest.studies.spec import StudySpec

BINS = 15


class Properties(Kind):
    """Every property of every shown arm on every split and group of splits."""

    key = "properties"
    always = True
    section: ClassVar[SectionRecord | None] = SectionRecord(
        title="Calibration",
        intro="Accuracy against confidence: on the diagonal a model is calibrated, below it "
        "overconfident. Grey bars count the answers in each bin.",
        place=30,
        charts=("reliability",),
    )

    @override
    def readings(self, plan: Plan) -> Iterator[tuple[Cell, Reading]]:
        for arm in plan.arms.shown:
            asked: list[Reading] = [answers_on(plan.study, split, arm=arm) for split in plan.study.splits]
            asked += [Perplexity()] if _is_language_model(plan.study, arm) else []
            yield from ((cell, reading) for reading in asked for cell in cells_of(plan, arm))

    @override
    def measurements(self, readings: Readings) -> Iterator[Measurement]:
        values, study = readings.shared(Values), readings.study
        for arm in readings.arms.shown:
            for split in (*study.splits, *study.measures.groups):
                for name in values.properties_of(arm, split):
                    yield over_seeds(values.property(name, arm, split), measure=name, arm=arm, split=split)
            if _is_language_model(study, arm):
                yield from _perplexity(readings, arm)

    @override
    def curves(self, readings: Readings, measurements: Sequence[Measurement]) -> Iterator[Curve]:
        """Accuracy against confidence, over the predictions of all seeds."""
        for arm in readings.arms.charted:
            for split in readings.study.compared_splits:
                predictions = [readings.predictions(arm, seed, split) for seed in readings.seeds(arm)]
                if not predictions:
                    continue
                table = reliability(
                    np.concatenate([p.probs for p in predictions]),
                    np.concatenate([p.labels for p in predictions]),
                    bins=BINS,
                )
                bins = zip(table.confidence, table.accuracy, table.count, strict=True)
                yield Curve(
                    chart="reliability",
                    arm=arm,
                    split=split,
                    kind="points",
                    x_title="confidence",
                    y_title="accuracy",
                    points=tuple(Point(x=float(x), y=float(y), n=int(n)) for x, y, n in bins if n),
                )


class Against(Kind):
    """One property of every charted arm against another, such as the calibration error against the accuracy.

    Attributes:
        pairs: The property on the x-axis and the one on the y-axis, by name.
    """

    key = "against"
    list_field = "pairs"
    section: ClassVar[SectionRecord | None] = SectionRecord(
        title="One property against another",
        intro="Each arm is one dot at its means over seeds: which properties rise together, and which "
        "student lies close to its teacher.",
        place=31,
        charts=("against",),
    )

    pairs: tuple[tuple[str, str], ...]

    @override
    def faults(self, study: StudySpec) -> Iterator[str]:
        for name in self.named_measures():
            if name not in PROPERTIES:
                yield f"measures.against: {not_known('property', name, PROPERTIES)}"

    @override
    def named_measures(self) -> Collection[str]:
        return [name for pair in self.pairs for name in pair]

    @override
    def curves(self, readings: Readings, measurements: Sequence[Measurement]) -> Iterator[Curve]:
        for across, up in self.pairs:
            for split in readings.study.compared_splits:
                for arm in readings.arms.charted:
                    x, y = (find(measurements, name, arm, split) for name in (across, up))
                    if x is None or y is None or x.value is None:
                        continue
                    yield Curve(
                        chart="against",
                        arm=arm,
                        split=split,
                        kind="points",
                        x_title=measure_named(across).axis,
                        y_title=measure_named(up).axis,
                        points=(Point(x=x.value, y=y.value, low=y.low, high=y.high, n=y.n),),
                    )


def _is_language_model(study: StudySpec, arm: str) -> bool:
    """Whether ``arm`` may be a language model, so that its perplexity is read."""
    model = study.model(study.arms[arm].student)
    # A model with training data of its own, tested on the study's, may be one; others give an empty one.
    return (model.data is not None and not model.own_splits) or is_language(study.tested_data(arm))


def _perplexity(readings: Readings, arm: str) -> Iterator[Measurement]:
    by_seed = {seed: readings.perplexity(arm, seed) for seed in readings.seeds(arm)}
    defined = {seed: value for seed, value in by_seed.items() if value is not None}
    if defined:
        yield over_seeds(defined, measure="perplexity", arm=arm, split=PROBE_SPLIT)
