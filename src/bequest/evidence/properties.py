"""What each arm does on each split: accuracy, calibration and the other properties of one model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

import numpy as np
from typing_extensions import override

from bequest.evidence.estimates import over_seeds
from bequest.evidence.kind import Kind, cells_of
from bequest.evidence.reading import Perplexity, Reading, answers_on
from bequest.evidence.readings import Readings
from bequest.evidence.values import Values
from bequest.measure import reliability
from bequest.records import Curve, Measurement, Point, SectionRecord
from bequest.studies.cell import Cell
from bequest.studies.datasets import PROBE_SPLIT, is_language
from bequest.studies.plan import Plan
from bequest.studies.spec import StudySpec

BINS = 15


class Properties(Kind):
    """Every property of every shown arm on every split and group of splits."""

    key = "properties"
    always = True
    section: ClassVar[SectionRecord | None] = SectionRecord(
        title="Calibration",
        intro="Accuracy against confidence: on the diagonal a model knows what it knows; below it, it is too "
        "sure. Grey bars count the answers in each bin.",
        place=30,
        charts=("reliability",),
    )

    @override
    def readings(self, plan: Plan) -> Iterator[tuple[Cell, Reading]]:
        for arm in plan.arms.shown:
            language_model = _is_language_model(plan.study, arm)
            for cell in cells_of(plan, arm):
                for split in plan.study.splits:
                    yield cell, answers_on(plan.study, split)
                if language_model:
                    yield cell, Perplexity()

    @override
    def measurements(self, readings: Readings) -> Iterator[Measurement]:
        values, study = readings.shared(Values), readings.study
        for arm in readings.arms.shown:
            for split in (*study.splits, *study.measures.groups):
                for name in values.properties_of(split):
                    yield over_seeds(values.property(name, arm, split), measure=name, arm=arm, split=split)
            if _is_language_model(study, arm):
                yield from _perplexity(readings, arm)

    @override
    def curves(self, readings: Readings, measurements: Sequence[Measurement]) -> Iterator[Curve]:
        """Accuracy against confidence, the predictions of all seeds together."""
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


def _is_language_model(study: StudySpec, arm: str) -> bool:
    """Whether ``arm`` may be one: its perplexity is then asked for."""
    return study.model(study.arms[arm].student).data is not None or is_language(study.data)


def _perplexity(readings: Readings, arm: str) -> Iterator[Measurement]:
    by_seed = {seed: readings.perplexity(arm, seed) for seed in readings.seeds(arm)}
    defined = {seed: value for seed, value in by_seed.items() if value is not None}
    if defined:
        yield over_seeds(defined, measure="perplexity", arm=arm, split=PROBE_SPLIT)
