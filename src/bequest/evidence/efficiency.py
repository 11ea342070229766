"""Charts of arms over the number of queries that they ask, or of samples that they are trained on."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import Field
from typing_extensions import override

from bequest.evidence.estimates import gap_ratios, inherited, measurement_of, over_seeds, point
from bequest.evidence.kind import Kind, cells_of
from bequest.evidence.reading import Reading, answers_on
from bequest.evidence.readings import Readings
from bequest.evidence.values import LIKENESSES, PROPERTIES, Values
from bequest.measure import SeedValues, Undefined, code_of, paired, reason_of, seed_interval, share_of_gap
from bequest.measures import Reason, measure_named
from bequest.records import Curve, Measurement, Point, SectionRecord
from bequest.studies.arms import Arms
from bequest.studies.cell import Cell
from bequest.studies.datasets import part_of
from bequest.studies.faults import not_known
from bequest.studies.kind import KindSpec
from bequest.studies.plan import Plan
from bequest.studies.source import SourceSpec
from bequest.studies.spec import StudySpec

BY_BUDGET = "inheritance_by_budget"
OF_WHOLE = "share_of_pool"
NEEDED = "queries_needed"
RELATIVE = "queries_relative"
GAIN = "gain/accuracy"

Part = Annotated[float, Field(gt=0, lt=1)]


class Lines(Kind):
    """The base of charts whose lines connect arms.

    Attributes:
        split: The split on which accuracy is measured.
        lines: The arms of each line, by the line's name.
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
        """Why ``arm`` cannot be on the chart; None if it can."""
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
                yield cell, answers_on(plan.study, self.split, arm=cell.arm)


class Budget(Lines):
    """Inheritance against the number of queries, one line per way to choose them.

    A go-between is a teacher that was itself taught. Its student's queries are then the ones that the
    go-between asked, and inheritance is that from the teacher which the go-between asked.

    Attributes:
        of: The properties and likenesses whose inheritance is drawn, a chart each.
        whole: The arm that asked about the whole pool. If given, each arm gets its share of what that arm
            inherits, and each line the number of queries that it needs for a part of it.
        parts: The parts, such as a half; see :func:`queries_for`.
    """

    key = "budget"
    on_study_data = True
    section: ClassVar[SectionRecord | None] = SectionRecord(
        title="Budget",
        intro="How much is handed over for each answer of the teacher, whether used or not: "
        "ranking by the teacher's answers queries the whole pool.",
        place=25,
        charts=("budget",),
    )

    of: tuple[str, ...] = ("accuracy",)
    whole: str | None = None
    parts: tuple[Part, ...] = (0.5, 0.8)

    @property
    @override
    def arms(self) -> list[str]:
        return list(dict.fromkeys([*super().arms, *([self.whole] if self.whole else [])]))

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
        if self.whole is not None:
            if self.whole not in study.arms:
                yield f"measures.budget.whole: {not_known('arm', self.whole, study.arms)}"
            elif lacking := self.lacking(study, self.whole):
                yield f"measures.budget.whole: {self.whole} {lacking}"

    @override
    def restricted(self, arms: Collection[str]) -> KindSpec | None:
        """Itself if all its arms remain, else None: a line without some of its budgets would mislead."""
        return self if set(self.arms) <= set(arms) else None

    @override
    def lacking(self, study: StudySpec, arm: str) -> str | None:
        if not study.arms[arm].teachers:
            return "has no teacher to ask" if _active(study, arm) else "has no active source"
        if not _active(study, _asked(study, arm)[0]):
            return "has no active source"
        return None if Arms(study).control.get(arm) else "has no control"

    @override
    def readings(self, plan: Plan) -> Iterator[tuple[Cell, Reading]]:
        """The readings of every line, and of the teachers that go-betweens asked."""
        yield from super().readings(plan)
        asked = (_asked(plan.study, arm)[1] for arm in self.arms)
        for teacher in dict.fromkeys(asked):
            for cell in cells_of(plan, teacher):
                yield cell, answers_on(plan.study, self.split, arm=cell.arm)

    @override
    def measurements(self, readings: Readings) -> Iterator[Measurement]:
        for name in self.of:
            for arm in self.arms:
                share = inherited(name, self._roles(readings, name, arm), arm=arm, split=self.split)
                yield share.model_copy(update={"measure": f"{BY_BUDGET}/{name}"})
            if self.whole is not None:
                yield from self._of_whole(readings, name)

    def _roles(self, readings: Readings, name: str, arm: str) -> list[SeedValues]:
        """The values of ``arm``, of its control, and of the teacher that answered its queries."""
        control, (_, teacher) = readings.arms.control[arm], _asked(readings.study, arm)
        return readings.shared(Values).roles(name, arm, str(control), teacher, self.split)

    def _of_whole(self, readings: Readings, name: str) -> Iterator[Measurement]:
        """Shares of what the whole pool hands over, and the queries that each line needs for parts of it."""
        whole, *_ = self._roles(readings, name, str(self.whole))
        by_arm: dict[str, dict[int, float]] = {}
        for arm in self.arms:
            taught, control, _ = self._roles(readings, name, arm)
            by_arm[arm] = gap_ratios(taught, control, whole)
            yield measurement_of(
                share_of_gap(taught, control, whole),
                by_arm[arm],
                share_of_gap(taught, control, whole, crossed=False),
                measure=f"{OF_WHOLE}/{name}",
                arm=arm,
                split=self.split,
            )
        for part in self.parts:
            needed = {line: self._needed(readings, by_arm, line, part) for line in self.lines}
            # Queries are also given relative to those of the first line, in studies that of random choice.
            first = next(iter(needed.values()), {})
            for line, by_seed in needed.items():
                relative = {seed: _quotient(queries, first[seed]) for seed, queries in by_seed.items()}
                for measure, values in ((NEEDED, by_seed), (RELATIVE, relative)):
                    yield _geometric(values, measure=f"{measure}/{name}/{part:g}", arm=line, split=self.split)

    def _needed(
        self, readings: Readings, by_arm: Mapping[str, Mapping[int, float]], line: str, part: float
    ) -> dict[int, float]:
        """The queries that a line needs for ``part``, at each seed that all of its arms have."""
        # A line is in the study's order; `queries_for` needs increasing budgets.
        arms = sorted(self.lines[line], key=lambda arm: _queries(readings, arm))
        queries = [_queries(readings, arm) for arm in arms]
        # Only seeds that all budgets have: a line through different seeds would cross the part by chance.
        seeds = set.intersection(*(set(by_arm[arm]) for arm in arms))
        return {
            seed: queries_for(part, queries, [by_arm[arm][seed] for arm in arms]) for seed in sorted(seeds)
        }

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


def queries_for(part: float, queries: Sequence[int], shares: Sequence[float]) -> float:
    """The queries at which ``shares`` first reach ``part``, interpolated linearly in their logarithm.

    Args:
        part: Such as 0.5.
        queries: Budgets in increasing order.
        shares: The share that each of them hands over.

    Returns:
        NaN with a reason if the first budget reaches ``part`` already, or none does.

    >>> round(queries_for(0.5, [100, 400], [0.25, 0.75]), 6)
    200.0
    >>> queries_for(0.5, [100, 400], [0.6, 0.75])
    nan (0.5 is reached with 100 queries, the fewest that were asked)
    """
    if any(np.isnan(share) for share in shares):
        return Undefined("a share is undefined", Reason.UNDEFINED_PART)
    at = next((k for k, share in enumerate(shares) if share >= part), None)
    if at is None:
        return Undefined(f"{part:g} is not reached with {queries[-1]:,} queries", Reason.NOT_REACHED)
    # Where below the first budget it was reached is unknown, and a bound is no value.
    if at == 0:
        text = f"{part:g} is reached with {queries[0]:,} queries, the fewest that were asked"
        return Undefined(text, Reason.TOO_FEW)
    weight = (part - shares[at - 1]) / (shares[at] - shares[at - 1])
    return float(queries[at - 1] * (queries[at] / queries[at - 1]) ** weight)


def _quotient(one: float, other: float) -> float:
    """``one / other``; if one of them is undefined, that one with its reason."""
    undefined = [value for value in (one, other) if np.isnan(value)]
    return undefined[0] if undefined else one / other


def _geometric(by_seed: Mapping[int, float], **where: Any) -> Measurement:
    """The geometric mean over seeds with the t-interval of the logarithm: needs are compared as ratios."""
    logs = seed_interval([float(np.log(value)) for value in by_seed.values()])
    # A seed's own reason says more than that of the mean, which only counts undefined seeds.
    undefined = [value for value in by_seed.values() if np.isnan(value)]
    reason, code = (reason_of(undefined[0]), code_of(undefined[0])) if undefined else (logs.reason, logs.code)
    value, low, high = (float(np.exp(each)) for each in (logs.value, logs.low, logs.high))
    estimate = replace(
        logs, value=value, low=low, high=high, method="geometric mean, t", reason=reason, code=code
    )
    return measurement_of(estimate, by_seed, **where)


def _active(study: StudySpec, arm: str) -> list[SourceSpec]:
    """The sources of ``arm`` that choose their queries from a pool."""
    return [source for source in study.sources_of(arm) if source.active]


def _asked(study: StudySpec, arm: str) -> tuple[str, str]:
    """The arm that asked the first teacher, ``arm`` itself or its go-between, and that teacher."""
    asker, teacher = arm, study.arms[arm].teachers[0]
    while study.arms[teacher].teachers:
        asker, teacher = teacher, study.arms[teacher].teachers[0]
    return asker, teacher


def _queries(readings: Readings, arm: str) -> int:
    """Answers asked besides those on the training samples, including those used only to rank the pool."""
    # The seed of a part decides which samples it has, not how many: any serves.
    asker, _ = _asked(readings.study, arm)
    return sum(
        source.active.answers(len(part_of(readings.data, source, seed=0)) * (source.view_count or 1))
        for source in _active(readings.study, asker)
        if source.active
    )


def _budget_chart(name: str) -> str:
    return "budget" if name == "accuracy" else f"budget/{name}"


def _at_budget(readings: Readings, share: Measurement) -> Point:
    asker, _ = _asked(readings.study, share.arm)
    asked = [sum(readings.record(asker, seed).asked.values()) for seed in readings.seeds(share.arm)]
    x = float(np.mean(asked)) / len(readings.data["train"])
    return Point(x=x, y=share.value, low=share.low, high=share.high, n=share.n, label=share.arm)


class Efficiency(Lines):
    """Accuracy against the number of training samples, one line for each way to train."""

    key = "efficiency"
    on_study_data = True
    section: ClassVar[SectionRecord | None] = SectionRecord(
        title="Data efficiency",
        intro="How each way of training does with few samples and with many.",
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
