"""How the arms of a study relate to each other: teachers, controls, which are shown, and in which order."""

from __future__ import annotations

from typing import Literal

from bequest.distill.objectives import KD, CrossEntropy, Objective, Sum
from bequest.records import ArmRecord
from bequest.studies.spec import ArmSpec, StudySpec


class Arms:
    """Everything about a study's arms that follows from its specification, computed once.

    Attributes:
        shown: The arms of every table and chart, in the study's order.
        labels: The title of every arm on the page: its label, or its name.
        charted: The arms whose curves are drawn.
        order: All arms such that each comes after the arms it needs; empty if there is a circle.
        circle: The arms that need each other in a circle.
        control: Each arm to the one that it is compared with: its own choice, else the self-taught arm on
            the same queries, else the plain arm; None for arms without teachers and without a choice.
        pairs: (arm, teacher) to compare: an arm with its own teachers, and with those of a taught arm of the
            same student if it is that arm's control, its plain form, or trains on queries too.
        taught: (arm, control, teacher) of every shown arm whose teacher is of another architecture; these
            have an inheritance.
    """

    def __init__(self, study: StudySpec) -> None:
        self._study = study
        self.shown = [name for name, arm in study.arms.items() if not arm.aside and arm.task == "target"]
        self.labels = {name: arm.label or name for name, arm in study.arms.items()}
        wanted = study.measures.charted
        self.charted = [name for name in self.shown if not wanted or name in wanted]
        self.order, self.circle = self._ordered()
        self.control = {name: self._control(name) for name in study.arms}
        self.taught = [
            (arm, control, teacher)
            for arm in self.shown
            if (control := self.control[arm]) is not None
            for teacher in self._other_kind(arm)
        ]
        self.pairs = self._pairs()

    def needed(self, arm: str) -> set[str]:
        """The arms that must be trained first: its teachers, and the arm that its network starts from."""
        spec = self._study.arms[arm]
        start = self._study.model(spec.student).start
        return {*spec.teachers, *([start.arm] if start is not None and start.arm else [])}

    def plain(self, student: str, queries: str | None = None) -> str | None:
        """The arm that trains ``student`` on true labels: of the training inputs, or of ``queries``."""
        for name, arm in self._study.arms.items():
            if (arm.student, arm.teachers, arm.queries, arm.task) == (student, (), queries, "target"):
                return name
        return None

    def self_taught(self, arm: str) -> str | None:
        """The arm with the same student and queries whose teachers are plain students of that architecture.

        If there are several, one whose teacher has not seen the queries is preferred to one whose teacher was
        trained on their labels.
        """
        spec = self._study.arms[arm]
        same = (spec.student, spec.queries, spec.objective, spec.mode)
        self_taught = []
        for name, other in self._study.arms.items():
            teachers = [self._study.arms[t] for t in other.teachers if t in self._study.arms]
            alike = (other.student, other.queries, other.objective, other.mode) == same
            # The same objective and mode too: only what their teachers know differs.
            if name != arm and alike and teachers and all(t.student == spec.student for t in teachers):
                self_taught.append(name)
        plainest = self.plain(spec.student) or self._first_plain(spec.student)
        untaught = [name for name in self_taught if set(self._study.arms[name].teachers) == {plainest}]
        return next(iter([*untaught, *self_taught]), None)

    def _first_plain(self, student: str) -> str | None:
        """The first arm that trains ``student`` on labels, of any inputs."""
        arms = self._study.arms.items()
        return next((name for name, arm in arms if arm.student == student and not arm.teachers), None)

    def plain_cell_arm(self, arm: str) -> str | None:
        """The plain arm of the same student, which runs first: a teacher must exceed its accuracy."""
        spec = self._study.arms[arm]
        plain = self.plain(spec.student) or self.plain(spec.student, spec.queries)
        return plain if plain and set(spec.teachers) - {plain} else None

    def objective(self, arm: str) -> Objective:
        """The objective of ``arm``; default: cross-entropy without teachers, else KD at temperature 4."""
        spec = self._study.arms[arm]
        return spec.objective or (KD(temperature=4.0) if spec.teachers else CrossEntropy())

    def records(self) -> tuple[ArmRecord, ...]:
        """The shown arms as the report needs them."""
        return tuple(self._record(name, self._study.arms[name]) for name in self.shown)

    def _control(self, arm: str) -> str | None:
        spec = self._study.arms[arm]
        if spec.control is not None or not spec.teachers:
            return spec.control
        return self.self_taught(arm) or self.plain(spec.student)

    def _other_kind(self, arm: str) -> list[str]:
        """The teachers of ``arm`` whose architecture is not that of its student."""
        spec = self._study.arms[arm]
        arms = self._study.arms
        return [t for t in spec.teachers if t in arms and arms[t].student != spec.student]

    def _pairs(self) -> list[tuple[str, str]]:
        pairs: dict[tuple[str, str], None] = {}  # a set that keeps the order
        for arm in self.shown:
            spec = self._study.arms[arm]
            others = set(self._other_kind(arm))
            for teacher in spec.teachers:
                pairs[arm, teacher] = None
                if teacher in others:
                    beside = (self.control[arm], self.plain(spec.student), *self._with_queries(spec.student))
                    pairs |= {(name, teacher): None for name in beside if name and name != teacher}
        return list(pairs)

    def _with_queries(self, student: str) -> list[str]:
        """The shown arms that train ``student`` on queries: with other teachers, or with none."""
        arms = self._study.arms
        return [name for name in self.shown if arms[name].student == student and arms[name].queries]

    def _ordered(self) -> tuple[list[str], list[str]]:
        arms = self._study.arms
        order: list[str] = []
        waiting = list(arms)
        while waiting:
            # Arms that are not there are reported as faults of their own, and must not look like a circle.
            ready = [arm for arm in waiting if self.needed(arm) & set(arms) <= set(order)]
            if not ready:
                return [], sorted(waiting)
            ready.sort(key=lambda arm: bool(arms[arm].teachers))  # plain students run first
            order += ready
            waiting = [arm for arm in waiting if arm not in ready]
        return order, []

    def _record(self, name: str, arm: ArmSpec) -> ArmRecord:
        return ArmRecord(
            name=name,
            role=self._role(name, arm),
            student=arm.student,
            label=self.labels[name],
            teachers=arm.teachers,
            control=self.control[name],
            queries=arm.queries,
            objective=_named(self.objective(name)),
            charted=name in self.charted,
        )

    def _role(self, name: str, arm: ArmSpec) -> Literal["teacher", "control", "taught"]:
        arms = self._study.arms
        if arm.teachers:
            # A student of its own architecture learns no other bias: self-taught arms are controls.
            return "control" if all(arms[t].student == arm.student for t in arm.teachers) else "taught"
        teaches_another_kind = any(
            name in other.teachers and other.student != arm.student for other in arms.values()
        )
        return "teacher" if teaches_another_kind else "control"


def _named(objective: Objective) -> str:
    """The names of an objective's terms."""
    terms = objective.terms if isinstance(objective, Sum) else (objective,)
    return " + ".join(term.name for term in terms)
