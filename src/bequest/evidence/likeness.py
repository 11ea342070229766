"""How alike students and teachers are: their answers on each split, their representations on one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from typing_extensions import override

from bequest.evidence.estimates import over_seeds
from bequest.evidence.kind import Kind, cells_of
from bequest.evidence.reading import Reading, answers_on, probe_activations
from bequest.evidence.readings import Readings
from bequest.evidence.values import LIKENESSES, REPRESENTATIONS, Values, layer_of
from bequest.records import Measurement, SectionRecord
from bequest.studies.cell import Cell
from bequest.studies.datasets import PROBE_SPLIT
from bequest.studies.plan import Plan


class Likenesses(Kind):
    """Every likeness of an arm's answers to a teacher's, with its reference values."""

    key = "likenesses"
    always = True
    section: ClassVar[SectionRecord | None] = SectionRecord(
        title="Agreement with the teachers",
        intro="How often a student gives its teacher's answer, and whether both are wrong on the same "
        "samples more often than two models of their accuracy would be by chance.",
        place=10,
        measures=("agreement", "agreement_on_errors", "error_consistency", "kl"),
    )

    @override
    def readings(self, plan: Plan) -> Iterator[tuple[Cell, Reading]]:
        """Answers of both; of students also before training, for the null."""
        for cell, trained in _networks(plan):
            for split in plan.study.compared_splits:
                yield cell, answers_on(plan.study, split, trained=trained)

    @override
    def measurements(self, readings: Readings) -> Iterator[Measurement]:
        for arm, teacher in readings.arms.pairs:
            for split in readings.study.compared_splits:
                for name in LIKENESSES.in_order():
                    yield from _with_marks(readings, name, arm, teacher, split)


class Representations(Kind):
    """Every likeness of penultimate representations on the test split, with its reference values."""

    key = "representations"
    always = True
    section: ClassVar[SectionRecord | None] = SectionRecord(
        title="Similarity of representations",
        intro="How alike student and teacher represent the same samples, between an untrained network (null) "
        "and another seed of the teacher's family (ceiling).",
        place=40,
        measures=("cka", "rsa", "procrustes", "layer_cka"),
    )

    @override
    def readings(self, plan: Plan) -> Iterator[tuple[Cell, Reading]]:
        """Representations of both; of students also before training, for the null."""
        for cell, trained in _networks(plan):
            yield cell, probe_activations(plan.study, trained=trained)

    @override
    def measurements(self, readings: Readings) -> Iterator[Measurement]:
        for arm, teacher in readings.arms.pairs:
            for name in REPRESENTATIONS.in_order():
                yield from _with_marks(readings, name, arm, teacher, PROBE_SPLIT)


def _networks(plan: Plan) -> Iterator[tuple[Cell, bool]]:
    """Cells of all compared arms and whether they are asked after training, or before."""
    for arm, teacher in plan.arms.pairs:
        yield from ((cell, True) for name in (arm, teacher) for cell in cells_of(plan, name))
        yield from ((cell, False) for cell in cells_of(plan, arm))


def _with_marks(readings: Readings, name: str, arm: str, teacher: str, split: str) -> Iterator[Measurement]:
    """A likeness with the marks between which it can lie."""
    values = readings.shared(Values)
    by_mark = {
        "": values.likeness(name, arm, teacher, split),
        "/other_teacher": values.other_teacher(name, arm, teacher, split),
        "/null": values.null(name, arm, teacher, split),
        "/ceiling": values.ceiling(name, teacher, split),
    }
    if name == "error_consistency":
        by_mark["/own_minus_other"] = values.own_minus_other(name, arm, teacher, split)
    where: dict[str, Any] = {"arm": arm, "teacher": teacher, "split": split, "layer": layer_of(name)}
    for mark, by_seed in by_mark.items():
        yield over_seeds(by_seed, measure=name + mark, **where)
