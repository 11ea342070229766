"""How much of each of its teacher's properties a student inherited, beyond its control."""

from __future__ import annotations

from collections.abc import Iterator

from typing_extensions import override

from bequest.evidence.estimates import inherited
from bequest.evidence.kind import Kind
from bequest.evidence.readings import Readings
from bequest.evidence.values import Values, layer_of, likenesses_and_splits
from bequest.records import Measurement


class Inheritance(Kind):
    """The inheritance of every property and likeness of the profile by every taught arm."""

    key = "inheritance"
    always = True

    @override
    def measurements(self, readings: Readings) -> Iterator[Measurement]:
        study, values = readings.study, readings.shared(Values)
        profile = study.measures.profile
        for arm, control, teacher in readings.arms.taught:
            of_one = [
                (name, split)
                for split in (*study.compared_splits, *study.measures.groups)
                for name in values.properties_of(arm, split)
            ]
            for name, split in (*of_one, *likenesses_and_splits(study)):
                if name in profile:
                    roles = values.roles(name, arm, control, teacher, split)
                    where = {"teacher": teacher, "split": split, "layer": layer_of(name)}
                    yield inherited(name, roles, arm=arm, **where)
