"""Gain and gap beside a share of inheritance: a large share of a small gap is little."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from bequest.records import ArmRecord, Measurement
from bequest.report.titles import Titles

Place = tuple[str, str | None, str | None, str | None, str | None]


@dataclass(frozen=True)
class Gaps:
    """Looks up what a share is a share of, among the values of a study."""

    titles: Titles
    controls: dict[str, str | None] = field(default_factory=dict)
    values: dict[Place, float | None] = field(default_factory=dict)

    @classmethod
    def of(cls, arms: Iterable[ArmRecord], measurements: Iterable[Measurement], titles: Titles) -> Gaps:
        """The values of a study by their place."""
        values: dict[Place, float | None] = {
            (m.measure, m.arm, m.teacher, m.split, m.layer): m.value for m in measurements
        }
        return cls(titles, {arm.name: arm.control for arm in arms}, values)

    def gain_and_gap(self, share: Measurement) -> tuple[float | None, float | None]:
        """Taught less control, and teacher less control; None where a value is missing.

        Of a likeness to the teacher the gap ends at the ceiling, another seed of the teacher's family.
        """
        base = self.titles.measure(share.measure).of
        control = self.controls.get(share.arm)
        at = (share.split, share.layer)
        if self.titles.measure(base).group == "property":
            taught = self.values.get((base, share.arm, None, *at))
            top = self.values.get((base, share.teacher, None, *at))
            bottom = self.values.get((base, control, None, *at))
        else:
            taught = self.values.get((base, share.arm, share.teacher, *at))
            top = self.values.get((f"{base}/ceiling", share.arm, share.teacher, *at))
            bottom = self.values.get((base, control, share.teacher, *at))
        return _less(taught, bottom), _less(top, bottom)


def _less(value: float | None, other: float | None) -> float | None:
    return None if value is None or other is None else value - other
