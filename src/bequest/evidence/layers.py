"""How alike the layers of a student and of a teacher are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

import numpy as np
from typing_extensions import override

from bequest.evidence.estimates import over_seeds, points, ring
from bequest.evidence.kind import Kind, cells_of
from bequest.evidence.reading import LayerActivations, Reading, probe_split
from bequest.evidence.readings import Array, Readings
from bequest.measure import cka
from bequest.measures import add
from bequest.models.catalogue import MODELS
from bequest.records import Curve, Measurement, SectionRecord
from bequest.studies.cell import Cell
from bequest.studies.datasets import PROBE_SPLIT
from bequest.studies.faults import not_known
from bequest.studies.plan import Plan
from bequest.studies.spec import StudySpec

SAMPLES = 500
MEASURE = "layer_cka"

add(
    MEASURE,
    "CKA over layers",
    "mean over the student's of the best teacher layer's",
    group="representation",
    needs=("split", "teacher", "layer"),
)

Network = tuple[str, int, bool]
"""Arm, seed, and whether after training."""


class Layers(Kind):
    """The largest CKA of each layer of a student with a layer of its teacher.

    The null is the untrained student, the ceiling another seed of the teacher's family.

    Attributes:
        models: The layers of each model (names of activations), from first to last. In TOML they are given
            under the key itself: ``layers.cnn = ["layer1", "layer2"]``.
    """

    key = "layers"
    section: ClassVar[SectionRecord | None] = SectionRecord(
        title="Layer by layer",
        intro="How similar each layer of a student is to the most similar layer of its teacher.",
        place=42,
        charts=("layers",),
    )

    models: dict[str, tuple[str, ...]]

    @override
    @classmethod
    def configured(cls, options: object) -> object:
        """The table under the key is ``models``, without that word."""
        return {"models": options}

    @override
    def as_configured(self) -> object:
        return super().as_configured()["models"]

    @override
    def faults(self, study: StudySpec) -> Iterator[str]:
        for model in self.models:
            if model not in study.models and model not in MODELS:
                yield f"measures.layers: {not_known('model', model, [*study.models, *MODELS])}"

    @override
    def readings(self, plan: Plan) -> Iterator[tuple[Cell, Reading]]:
        for arm, teacher in self._pairs(plan.study, plan.arms.pairs):
            for cell in cells_of(plan, arm):
                yield cell, self._reading(plan.study, arm, trained=True)
                yield cell, self._reading(plan.study, arm, trained=False)
            for cell in cells_of(plan, teacher):
                yield cell, self._reading(plan.study, teacher, trained=True)

    @override
    def measurements(self, readings: Readings) -> Iterator[Measurement]:
        for arm, teacher in self._pairs(readings.study, readings.arms.pairs):
            seeds, family = readings.seeds(arm, teacher), readings.seeds(teacher)
            by_mark: dict[str, dict[int, Network]] = {
                "": {seed: (arm, seed, True) for seed in seeds},
                "/null": {seed: (arm, seed, False) for seed in seeds},
                # Of all the teacher's seeds, also those at which the student is missing.
                "/ceiling": {seed: (teacher, other, True) for seed, other in ring(family).items()},
            }
            for mark, networks in by_mark.items():
                by_seed = {
                    seed: float(self._best(readings, network, (teacher, seed, True)).mean())
                    for seed, network in networks.items()
                }
                yield over_seeds(by_seed, measure=MEASURE + mark, arm=arm, teacher=teacher, split=PROBE_SPLIT)

    @override
    def curves(self, readings: Readings, measurements: Sequence[Measurement]) -> Iterator[Curve]:
        for arm, teacher in self._pairs(readings.study, readings.arms.pairs):
            seeds = readings.seeds(arm, teacher)
            if arm not in readings.arms.charted or not seeds:
                continue
            best = [self._best(readings, (arm, seed, True), (teacher, seed, True)).tolist() for seed in seeds]
            names = self.models[readings.study.arms[arm].student]
            numbered = points(range(1, len(names) + 1), best)
            labelled = zip(numbered, names, strict=True)
            yield Curve(
                chart="layers",
                arm=arm,
                teacher=teacher,
                split=PROBE_SPLIT,
                x_title="layer of the student",
                y_title="largest CKA with a layer of the teacher",
                points=tuple(each.model_copy(update={"label": name}) for each, name in labelled),
            )

    def _pairs(self, study: StudySpec, pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
        """Compared arms whose students both have named layers."""
        return [pair for pair in pairs if all(study.arms[arm].student in self.models for arm in pair)]

    def _reading(self, study: StudySpec, arm: str, *, trained: bool) -> LayerActivations:
        return LayerActivations(
            data=study.tested_data(arm),
            split=probe_split(study),
            trained=trained,
            layers=self.models[study.arms[arm].student],
            first=SAMPLES,
        )

    def _features(self, readings: Readings, network: Network) -> list[Array]:
        arm, seed, trained = network
        reading = self._reading(readings.study, arm, trained=trained)
        arrays = readings.arrays(arm, seed, reading)
        return [arrays[name] for name in reading.layers]

    def _best(self, readings: Readings, one: Network, other: Network) -> Array:
        """The largest CKA of each layer of ``one`` with a layer of ``other``, (layers,)."""
        matrices = readings.shared(_matrices)
        if (one, other) not in matrices:
            first, second = (self._features(readings, network) for network in (one, other))
            matrices[one, other] = np.array([[cka(x, y) for y in second] for x in first])
        best: Array = matrices[one, other].max(1)  # rows are the layers of `one`
        return best


def _matrices(readings: Readings) -> dict[tuple[Network, Network], Array]:
    """CKA of all layers of two networks, filled when first needed: measurements and curves share them."""
    del readings
    return {}
