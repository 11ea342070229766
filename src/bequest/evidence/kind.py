"""A kind of evidence: what it reads of networks, what it measures, what it draws."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import ClassVar

from typing_extensions import override

from bequest.evidence.reading import Reading
from bequest.evidence.readings import Readings
from bequest.records import Curve, Measurement, SectionRecord
from bequest.studies.cell import Cell
from bequest.studies.faults import not_known
from bequest.studies.kind import KindSpec
from bequest.studies.plan import Plan
from bequest.studies.spec import StudySpec


class Kind(KindSpec):
    """The base of every kind; an instance holds the options of one study.

    A subclass gives its ``key`` (its name in ``[measures]``), its fields (the options), and overrides what it
    needs. Defining it registers it; the measures that it makes are added to :mod:`bequest.measures`.

    Attributes:
        of_theory: Whether it belongs to studies of the solvable model, instead of those of networks.
        section: How the page presents its charts; None for a kind that has none of its own.
    """

    of_theory: ClassVar[bool] = False
    section: ClassVar[SectionRecord | None] = None

    def section_in(self, study: StudySpec) -> SectionRecord | None:
        """The section of the page of ``study``; None for a kind without one."""
        del study
        return self.section

    def readings(self, plan: Plan) -> Iterator[tuple[Cell, Reading]]:
        """The readings that it needs, each with its cell."""
        del plan
        yield from ()

    def measurements(self, readings: Readings) -> Iterator[Measurement]:
        """The measurements, in the order of the study's arms."""
        del readings
        yield from ()

    def curves(self, readings: Readings, measurements: Sequence[Measurement]) -> Iterator[Curve]:
        """The curves; ``measurements`` are those of every kind."""
        del readings, measurements
        yield from ()


class OfArms(Kind):
    """The base of kinds that can be limited to some arms.

    Attributes:
        arms: The arms that are measured; default: all that are shown.
    """

    arms: tuple[str, ...] = ()

    @override
    def restricted(self, arms: Collection[str]) -> KindSpec | None:
        if not self.arms:
            return self
        left = tuple(arm for arm in self.arms if arm in arms)
        return self.model_copy(update={"arms": left}) if left else None

    @override
    def faults(self, study: StudySpec) -> Iterator[str]:
        yield from not_shown(f"measures.{self.key}.arms", self.arms, study)


def not_shown(path: str, arms: Iterable[str], study: StudySpec) -> Iterator[str]:
    """One line, beginning with ``path``, for each arm that the study lacks or does not show."""
    for arm in arms:
        if arm not in study.arms:
            yield f"{path}: {not_known('arm', arm, study.arms)}"
        elif study.arms[arm].aside:
            yield f"{path}: {arm!r} is aside and is not shown"


def cells_of(plan: Plan, arm: str) -> list[Cell]:
    """The cells of ``arm``, one per seed."""
    return [plan.cell(arm, seed) for seed in plan.seeds_of(arm)]
