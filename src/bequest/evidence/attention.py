"""How far the vision transformers of a study look, block by block."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

from typing_extensions import override

from bequest.evidence.estimates import over_seeds, points
from bequest.evidence.kind import Kind, cells_of
from bequest.evidence.reading import AttentionDistances, Reading, probe_split
from bequest.evidence.readings import Array, Readings
from bequest.measures import add
from bequest.records import Curve, Measurement, SectionRecord
from bequest.studies.cell import Cell
from bequest.studies.datasets import PROBE_SPLIT
from bequest.studies.plan import Plan
from bequest.studies.spec import StudySpec

SAMPLES = 200
MEASURE = "attention_distance"

add(MEASURE, "attention distance", "pixels")


class Attention(Kind):
    """The mean attention distance in pixels of every vision transformer, over all its blocks and in each."""

    key = "attention"
    on_study_data = True
    section: ClassVar[SectionRecord | None] = SectionRecord(
        title="Locality",
        intro="How far each layer of a transformer attends: the mean distance between a patch and those that "
        "it attends to.",
        place=43,
        charts=("attention",),
    )

    @override
    def readings(self, plan: Plan) -> Iterator[tuple[Cell, Reading]]:
        for arm in plan.arms.shown:
            for cell in cells_of(plan, arm):
                yield cell, _reading(plan.study)

    @override
    def measurements(self, readings: Readings) -> Iterator[Measurement]:
        for arm in readings.arms.shown:
            means = {seed: float(blocks.mean()) for seed, blocks in _distances(readings, arm).items()}
            if means:
                yield over_seeds(means, measure=MEASURE, arm=arm, split=PROBE_SPLIT)

    @override
    def curves(self, readings: Readings, measurements: Sequence[Measurement]) -> Iterator[Curve]:
        for arm in readings.arms.charted:
            blocks = [values.tolist() for values in _distances(readings, arm).values()]
            if blocks:
                yield Curve(
                    chart="attention",
                    arm=arm,
                    split=PROBE_SPLIT,
                    x_title="block",
                    y_title="attention distance (pixels)",
                    points=points(range(1, len(blocks[0]) + 1), blocks),
                )


def _reading(study: StudySpec) -> AttentionDistances:
    return AttentionDistances(data=study.data, split=probe_split(study), first=SAMPLES)


def _distances(readings: Readings, arm: str) -> dict[int, Array]:
    """One distance per block, by seed; empty for arms whose students are no vision transformers."""
    reading = _reading(readings.study)
    by_seed = {seed: readings.arrays(arm, seed, reading)["distances"] for seed in readings.seeds(arm)}
    return {seed: blocks for seed, blocks in by_seed.items() if len(blocks)}
