"""Charts of arms over an amount: of queries that are asked, of samples that are trained on."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import ClassVar

import numpy as np
from pydantic import Field
from typing_extensions import override

from bequest.evidence.estimates import inherited, over_seeds, point
from bequest.evidence.kind import Kind, cells_of
from bequest.evidence.reading import Reading, answers_on
from bequest.evidence.readings import Readings
from bequest.evidence.values import LIKENESSES, PROPERTIES, Values
from bequest.measure import paired
from bequest.measures import measure_named
from bequest.records import Curve, Measurement, Point, SectionRecord
from bequest.studies.arms import Arms
from bequest.studies.cell import Cell
from bequest.studies.datasets import part_of
from bequest.studies.faults import not_known
from bequest.studies.kind import KindSpec
from bequest.studies.plan import Plan
from bequest.studies.spec import StudySpec

BY_BUDGET = "inheritance_by_budget"
GAIN = "gain/accuracy"


class Lines(Kind):
    """The base of charts whose lines go through arms.

    Attributes:
        split: Where the accuracy is read.
        lines: Names of lines to their arms.
    """

    split: str = "test"
    lines: dict[str, tuple[str, ...]] = Field(default_factory=dict)

    @property
    def arms(self) -> list[str]:
        """The arms of all lines, each once."""
        return list(dict.fromkeys(arm for arms in self.lines.values() for arm in arms))

    @override
    def restricted(self, arms: Collection[str]) -> KindSpec | None:
        lines = {name: tuple(arm for arm in line if arm in arms) for name, line in self.lines.items()}
        lines = {name: line for name, line in lines.items() if line}
        return self.model_copy(update={"lines": lines}) if lines else None

    @override
    def faults(self, study: StudySpec) -> Iterator[str]:
        path = f"measures.{self.key}"
        if self.split not in study.splits:
            yield f"{path}.split: {not_known('split', self.split, study.splits)}"
        for line, arms in self.lines.items():
            for arm in arms:
                if arm not in study.arms:
                    yield f"{path}.lines.{line}: {not_known('arm', arm, study.arms)}"
                elif lacking := self.lacking(study, arm):
                    yield f"{path}.lines.{line}: {arm} {lacking}"

    def lacking(self, study: StudySpec, arm: str) -> str | None:
        """What ``arm`` lacks to stand on the chart; None if nothing."""
        del study, arm
        return None

    @override
    def readings(self, plan: Plan) -> Iterator[tuple[Cell, Reading]]:
        """The answers of the arms, of their controls, and of the teachers."""
        needed = dict.fromkeys(self.arms)
        for arm in self.arms:
            others = [plan.arms.control[arm], *plan.study.arms[arm].teachers]
            needed |= {name: None for name in others if name}
        for arm in needed:
            for cell in cells_of(plan, arm):
                yield cell, answers_on(plan.study, self.split)


class Budget(Lines):
    """Inheritance against the number of queries, one line for each way to choose them.

    Attributes:
        of: The properties and likenesses whose inheritance is drawn, a chart each.
    """

    key = "budget"
    section: ClassVar[SectionRecord | None] = SectionRecord(
        title="Budget",
        intro="How much is handed over for each answer that is asked of the teacher, whether used or not: "
        "a ranking by the teacher's answers asks about its whole pool.",
        place=25,
        charts=("budget",),
    )

    of: tuple[str, ...] = ("accuracy",)

    @override
    def section_in(self, study: StudySpec) -> SectionRecord | None:
        assert self.section is not None
        return self.section.model_copy(update={"charts": tuple(map(_budget_chart, self.of))})

    @override
    def named_measures(self) -> Collection[str]:
        return self.of

    @override
    def faults(self, study: StudySpec) -> Iterator[str]:
        yield from super().faults(study)
        known = [*PROPERTIES.in_order(), *LIKENESSES.in_order()]
        for name in self.of:
            if name not in known:
                yield f"measures.budget.of: {not_known('property or likeness', name, known)}"

    @override
    def restricted(self, arms: Collection[str]) -> KindSpec | None:
        """Only whole: a line without some of its budgets would mislead."""
        return self if set(self.arms) <= set(arms) else None

    @override
    def lacking(self, study: StudySpec, arm: str) -> str | None:
        queries = study.arms[arm].queries
        sources = study.queries.get(queries or "", ())
        if not any(source.active for source in sources):
            return "has no active source"
        if not study.arms[arm].teachers:
            return "has no teacher to ask"
        return None if Arms(study).control.get(arm) else "has no control"

    @override
    def measurements(self, readings: Readings) -> Iterator[Measurement]:
        values = readings.shared(Values)
        for arm in (arm for line in self.lines.values() for arm in line):
            control, (teacher, *_) = readings.arms.control[arm], readings.study.arms[arm].teachers
            for name in self.of:
                roles = values.roles(name, arm, str(control), teacher, self.split)
                share = inherited(name, roles, arm=arm, split=self.split)
                yield share.model_copy(update={"measure": f"{BY_BUDGET}/{name}"})

    @override
    def curves(self, readings: Readings, measurements: Sequence[Measurement]) -> Iterator[Curve]:
        by_name = {(m.measure, m.arm): m for m in measurements}
        for name in self.of:
            for line, arms in self.lines.items():
                shares = [by_name[f"{BY_BUDGET}/{name}", arm] for arm in arms]
                yield Curve(
                    chart=_budget_chart(name),
                    arm=line,
                    split=self.split,
                    x_title="answers asked of the teacher, for each training sample",
                    y_title=f"inheritance of {measure_named(name).title}",
                    points=tuple(sorted((_at_budget(readings, m) for m in shares), key=lambda p: p.x)),
                )


def _budget_chart(name: str) -> str:
    return "budget" if name == "accuracy" else f"budget/{name}"


def _at_budget(readings: Readings, share: Measurement) -> Point:
    asked = [sum(readings.record(share.arm, seed).asked.values()) for seed in readings.seeds(share.arm)]
    x = float(np.mean(asked)) / len(readings.data["train"])
    return Point(x=x, y=share.value, low=share.low, high=share.high, n=share.n, label=share.arm)


class Efficiency(Lines):
    """Accuracy against the number of training samples, one line for each way to train."""

    key = "efficiency"
    section: ClassVar[SectionRecord | None] = SectionRecord(
        title="Data efficiency",
        intro="What each way to train makes of few samples, and of many.",
        place=26,
        charts=("efficiency",),
    )

    @override
    def lacking(self, study: StudySpec, arm: str) -> str | None:
        sources = study.queries.get(study.arms[arm].queries or "", (None,))
        return None if len(sources) == 1 else "needs queries of one source"

    @override
    def measurements(self, readings: Readings) -> Iterator[Measurement]:
        """Accuracy less that of the control, paired by seed, of every arm that has a control."""
        values = readings.shared(Values)
        for arm in self.arms:
            control = readings.arms.control[arm]
            if control is not None:
                sides = [values.property("accuracy", name, self.split) for name in (arm, control)]
                yield over_seeds(paired(*sides), measure=GAIN, arm=arm, split=self.split)

    @override
    def curves(self, readings: Readings, measurements: Sequence[Measurement]) -> Iterator[Curve]:
        values = readings.shared(Values)
        for line, arms in self.lines.items():
            points = [
                point(_samples(readings, arm), values.property("accuracy", arm, self.split)) for arm in arms
            ]
            yield Curve(
                chart="efficiency",
                arm=line,
                split=self.split,
                x_title="training samples",
                y_title="accuracy",
                points=tuple(sorted(points, key=lambda p: p.x)),
            )


def _samples(readings: Readings, arm: str) -> int:
    (source,) = readings.study.sources_of(arm)
    return len(part_of(readings.data, source, seed=0))
