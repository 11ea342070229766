"""Precision, recall and the area under the ROC of every class."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import ClassVar

import numpy as np
from pydantic import Field
from typing_extensions import override

from bequest.evidence.estimates import over_seeds
from bequest.evidence.kind import OfArms
from bequest.evidence.readings import Array, Predictions, Readings
from bequest.measure import Undefined, class_accuracy, class_precision, class_roc_auc
from bequest.measures import SHARE, Reason, add
from bequest.records import Measurement, SectionRecord
from bequest.studies.datasets import PROBE_SPLIT
from bequest.studies.spec import StudySpec

PRECISION = add(
    "class_precision", "precision", "share of a class's answers that are right", "higher", bounds=SHARE
)
RECALL = add("class_recall", "recall", "share of a class's samples that are right", "higher", bounds=SHARE)
AREA = add("class_roc_auc", "area under the ROC", "of a class against the others", "higher", bounds=SHARE)

BY_CLASS: Mapping[str, Callable[[Predictions], Array]] = {
    PRECISION.name: lambda p: class_precision(p.logits, p.labels),
    RECALL.name: lambda p: class_accuracy(p.logits, p.labels),
    AREA.name: lambda p: class_roc_auc(p.probs, p.labels),
}
WHY_UNDEFINED = {
    PRECISION.name: "the class is never predicted",
    RECALL.name: "the class has no samples",
    AREA.name: "the class has no samples, or all of them",
}


class Classes(OfArms):
    """Precision, recall and the area under the ROC of every class of the test split.

    Attributes:
        arms: The arms that are measured; default: those that charts show.
        names: Titles of classes on the page, by their names in the data.
    """

    key = "classes"
    on_study_data = True
    list_field = "arms"
    section: ClassVar[SectionRecord | None] = SectionRecord(
        title="Class by class",
        intro="Which classes an arm answers too often (precision), misses (recall), or cannot tell from the "
        "others at any threshold (area under the ROC).",
        place=28,
        measures=tuple(BY_CLASS),
    )

    names: dict[str, str] = Field(default_factory=dict)

    @override
    def faults(self, study: StudySpec) -> Iterator[str]:
        yield from super().faults(study)
        if PROBE_SPLIT not in study.splits:
            yield f"measures.{self.key}: the study has no split {PROBE_SPLIT!r}"

    @override
    def measurements(self, readings: Readings) -> Iterator[Measurement]:
        for arm in self.arms or readings.arms.charted:
            answers = {seed: readings.predictions(arm, seed, PROBE_SPLIT) for seed in readings.seeds(arm)}
            for measure, compute in BY_CLASS.items():
                yield from self._of_each_class(
                    measure, arm, {s: compute(p) for s, p in answers.items()}, readings.data.classes
                )

    def _of_each_class(
        self, measure: str, arm: str, by_seed: Mapping[int, Array], classes: Sequence[str]
    ) -> Iterator[Measurement]:
        missing = Undefined(WHY_UNDEFINED[measure], Reason.NO_SAMPLES)
        for k, name in enumerate(classes):
            values = {s: missing if np.isnan(row[k]) else float(row[k]) for s, row in by_seed.items()}
            title = self.names.get(name, name)
            yield over_seeds(values, measure=measure, arm=arm, split=PROBE_SPLIT, layer=title)
