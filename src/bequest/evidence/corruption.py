"""Accuracy as corruptions of the test images grow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

import numpy as np
from pydantic import Field
from typing_extensions import override

from bequest.data.corruptions import CORRUPTIONS
from bequest.evidence.estimates import over_seeds, points
from bequest.evidence.kind import OfArms, cells_of
from bequest.evidence.reading import Reading, Severity, probe_split
from bequest.evidence.readings import Array, Readings
from bequest.measure import Undefined
from bequest.measures import Reason, add
from bequest.records import Curve, Measurement, SectionRecord
from bequest.studies.cell import Cell
from bequest.studies.datasets import PROBE_SPLIT
from bequest.studies.faults import not_known
from bequest.studies.plan import Plan
from bequest.studies.spec import StudySpec

LEFT = "accuracy_left"

add(
    "corrupted",
    "accuracy under corruption",
    "mean over levels",
    "higher",
    needs=("corruptions",),
    parametric=True,
)
add(
    LEFT,
    "accuracy left under corruption",
    "relative to clean",
    "higher",
    needs=("corruptions",),
    parametric=True,
)
add("corrupted_accuracy", "accuracy on corrupted images", "share right", "higher", needs=("corruptions",))


class Corruptions(OfArms):
    """Accuracy on the test split at every level of every corruption, clean images first.

    Attributes:
        families: Names of corruptions (``bequest ls corruptions``).
        samples: How many samples of the test split are used, the same random ones for all; default: all.
    """

    key = "corruptions"
    on_study_data = True
    list_field = "families"
    section: ClassVar[SectionRecord | None] = SectionRecord(
        title="Robustness",
        intro="How well each arm holds up as the inputs move away from the training data.",
        place=20,
        charts=("robustness",),
    )

    families: tuple[str, ...]
    samples: int | None = Field(None, ge=1)

    @override
    def faults(self, study: StudySpec) -> Iterator[str]:
        for name in self.families:
            if name not in CORRUPTIONS:
                yield f"measures.corruptions: {not_known('corruption', name, CORRUPTIONS)}"
        yield from super().faults(study)

    @override
    def readings(self, plan: Plan) -> Iterator[tuple[Cell, Reading]]:
        for arm in self._of(plan.arms.shown):
            for cell in cells_of(plan, arm):
                for family in self.families:
                    yield cell, self._reading(plan.study, family)

    @override
    def measurements(self, readings: Readings) -> Iterator[Measurement]:
        """Mean accuracy over levels, of each corruption and of all; also relative to clean accuracy."""
        for arm in self._of(readings.arms.shown) if self.families else ():
            levels = {family: self._levels(readings, arm, family) for family in self.families}
            seeds, where = readings.seeds(arm), {"arm": arm, "split": PROBE_SPLIT}
            for family in self.families:
                by_seed = {seed: _mean([levels[family][seed]]) for seed in seeds}
                yield over_seeds(by_seed, measure=f"corrupted/{family}", **where)
            for family in self.families:
                by_seed = {seed: _left([levels[family][seed]]) for seed in seeds}
                yield over_seeds(by_seed, measure=f"{LEFT}/{family}", **where)
            together = {seed: [levels[family][seed] for family in self.families] for seed in seeds}
            overall = {seed: _left(curves) for seed, curves in together.items()}
            yield over_seeds(overall, measure=LEFT, **where)
            means = {seed: _mean(curves) for seed, curves in together.items()}
            yield over_seeds(means, measure="corrupted_accuracy", **where)

    @override
    def curves(self, readings: Readings, measurements: Sequence[Measurement]) -> Iterator[Curve]:
        for family in self.families:
            for arm in self._of(readings.arms.charted):
                levels = list(self._levels(readings, arm, family).values())
                if levels:
                    yield Curve(
                        chart="robustness",
                        arm=arm,
                        split=family,
                        x_title="level",
                        y_title="accuracy",
                        points=points(range(len(levels[0])), [row.tolist() for row in levels]),
                    )

    def _of(self, shown: Sequence[str]) -> list[str]:
        """The shown arms that are measured."""
        return [arm for arm in shown if not self.arms or arm in self.arms]

    def _reading(self, study: StudySpec, family: str) -> Severity:
        return Severity(data=study.data, split=probe_split(study), family=family, chosen=self.samples)

    def _levels(self, readings: Readings, arm: str, family: str) -> dict[int, Array]:
        """Accuracy at each level of one corruption, by seed."""
        reading = self._reading(readings.study, family)
        return {seed: readings.arrays(arm, seed, reading)["accuracy"] for seed in readings.seeds(arm)}


def _mean(curves: list[Array]) -> float:
    return float(np.mean([levels[1:] for levels in curves]))  # level 0 is the clean images


def _left(curves: list[Array]) -> float:
    clean = float(curves[0][0])
    return _mean(curves) / clean if clean else Undefined("the clean accuracy is 0", Reason.ZERO_REFERENCE)
