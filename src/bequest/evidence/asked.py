"""Values over the distance of test inputs from what was asked, and over a grid of transforms."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import product
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import Field
from typing_extensions import override

from bequest.data.transforms import Transform, parse_transform
from bequest.errors import ConfigError
from bequest.evidence.estimates import inherited, over_seeds, point, point_of, ring
from bequest.evidence.kind import Kind, cells_of
from bequest.evidence.reading import GridAnswers, Reading, answers_on, probe_split
from bequest.evidence.readings import Array, Readings
from bequest.evidence.values import LIKENESSES, PROPERTIES, Values
from bequest.measure import combined, map_correlation, seed_values, share_of_gap
from bequest.measures import DIFFERENCES, add, measure_named
from bequest.records import Curve, Measurement, Point, SectionRecord
from bequest.studies.cell import Cell
from bequest.studies.datasets import PROBE_SPLIT
from bequest.studies.faults import not_known
from bequest.studies.kind import KindSpec
from bequest.studies.plan import Plan
from bequest.studies.spec import StudySpec

INHERITANCE = "inheritance/"
MAP_CORRELATION = "map_correlation"
PANELS = {True: "asked", False: "not asked", None: "all"}

add(
    MAP_CORRELATION,
    "correlation of the maps of accuracy",
    "within equal distance",
    group="likeness",
    needs=("split", "teacher"),
    bounds=DIFFERENCES,
)


class Distance(Kind):
    """Values over the distance of a split's inputs from training, asked and unasked inputs separately.

    A split's ``distance`` says how far it is, and ``asked`` whether the queries contain such inputs; splits
    of equal distance are averaged.

    Attributes:
        title: What the distance is, with its unit, such as ``largest move in pixels``.
        of: Properties, likenesses to the teacher, and ``inheritance/NAME`` of either; a chart each.
    """

    key = "distance"
    section: ClassVar[SectionRecord | None] = SectionRecord(
        title="Asked and unasked",
        intro="How well each arm holds up as the inputs move away from training: inputs that the teacher was "
        "asked about, and inputs between and beyond them that it was not.",
        place=8,
    )

    title: str = "distance from the training inputs"
    of: tuple[str, ...] = ("agreement", "accuracy")

    @override
    def section_in(self, study: StudySpec) -> SectionRecord | None:
        assert self.section is not None
        return self.section.model_copy(update={"charts": tuple(f"distance/{name}" for name in self.of)})

    @override
    def named_measures(self) -> Collection[str]:
        return self.of

    @override
    def faults(self, study: StudySpec) -> Iterator[str]:
        if not _by_distance(study):
            yield "measures.distance: no split states its distance"
        known = [*PROPERTIES.in_order(), *LIKENESSES.in_order()]
        for name in self.of:
            if name.removeprefix(INHERITANCE) not in known:
                yield f"measures.distance.of: {not_known('property or likeness', name, known)}"

    @override
    def readings(self, plan: Plan) -> Iterator[tuple[Cell, Reading]]:
        """Answers of all shown arms, and of those that they are compared with."""
        splits = [split for places in _by_distance(plan.study).values() for split in places]
        beside = {arm for pair in plan.arms.pairs for arm in pair}
        for arm in dict.fromkeys([*plan.arms.shown, *sorted(beside)]):
            for cell in cells_of(plan, arm):
                for split in splits:
                    yield cell, answers_on(plan.study, split, arm=arm)

    @override
    def curves(self, readings: Readings, measurements: Sequence[Measurement]) -> Iterator[Curve]:
        places = _by_distance(readings.study)
        for name in self.of:
            for arm, teacher, control in _subjects(name, readings):
                for asked in dict.fromkeys(asked for asked, _ in places):
                    at = {far: splits for (a, far), splits in places.items() if a == asked}
                    values = [
                        _point(readings, name, (arm, control, teacher), far, splits)
                        for far, splits in sorted(at.items())
                    ]
                    yield Curve(
                        chart=f"distance/{name}",
                        arm=arm,
                        teacher=teacher,
                        split=PANELS[asked],
                        x_title=self.title,
                        y_title=measure_named(name).title,
                        points=tuple(values),
                    )


def _by_distance(study: StudySpec) -> dict[tuple[bool | None, float], list[str]]:
    """The splits of each distance, asked and unasked ones apart, the asked ones first."""
    places: dict[tuple[bool | None, float], list[str]] = {}
    for name, spec in study.splits.items():
        if spec.distance is not None:
            places.setdefault((spec.asked, spec.distance), []).append(name)
    return dict(sorted(places.items(), key=lambda place: (place[0][0] is not True, place[0][1])))


def _subjects(name: str, readings: Readings) -> list[tuple[str, str | None, str | None]]:
    """Whose values a chart shows: (arm, teacher, control), as far as the measure needs them."""
    arms = readings.arms
    if name.startswith(INHERITANCE):
        return [(arm, teacher, control) for arm, control, teacher in arms.taught if arm in arms.charted]
    if name in PROPERTIES:
        return [(arm, None, None) for arm in arms.charted]
    # Without the teachers of arms that are not charted: large studies would not fit into a page of 2 MB.
    teachers = {teacher for arm, _, teacher in arms.taught if arm in arms.charted}
    return [(arm, t, None) for arm, t in arms.pairs if arm in arms.charted and t in teachers]


def _point(
    readings: Readings,
    name: str,
    roles: tuple[str, str | None, str | None],
    far: float,
    splits: Sequence[str],
) -> Point:
    """The mean over the splits of one distance."""
    values, (arm, control, teacher) = readings.shared(Values), roles
    if name.startswith(INHERITANCE) and control and teacher:
        base = name.removeprefix(INHERITANCE)
        by_split = [values.roles(base, arm, control, teacher, split) for split in splits]
        # Splits are averaged before the share is taken: inheritance is a ratio of means.
        taught, untaught, ceiling = (combined(side) for side in zip(*by_split, strict=True))
        return point_of(far, share_of_gap(taught, untaught, ceiling))
    if teacher is None:
        return point(far, combined([values.property(name, arm, split) for split in splits]))
    return point(far, combined([values.likeness(name, arm, teacher, split) for split in splits]))


class Maps(Kind):
    """Accuracy and agreement over a grid of two parameters of a transform, and how alike the maps are.

    The correlation of two maps of accuracy is taken within cells of equal distance from the centre (the
    larger of the two offsets, in steps of the grid): the accuracy of every network falls off with the
    distance, which says nothing about where its strengths come from.

    Attributes:
        transform: A transform (``bequest ls transforms``), such as ``translate``.
        over: Its two parameters with their values: ``{ dx = [-1, 0, 1], dy = [-1, 0, 1] }``.
        titles: Titles of the two axes; default: the parameters' names.
        of: ``accuracy``, ``agreement`` with the teacher, or both; a chart each.
        arms: The arms with maps, the teacher first; correlations are those of every pair of arms.
        first: How many samples of the test split are used; default: all.
    """

    key = "maps"
    on_study_data = True
    section: ClassVar[SectionRecord | None] = SectionRecord(
        title="Maps",
        intro="Where each network is right, and how similar two such maps are, regardless of their means. "
        "Dots mark the inputs that the teacher was asked about.",
        place=6,
        measures=(MAP_CORRELATION,),
    )

    transform: str = "translate"
    over: Annotated[dict[str, tuple[float | int, ...]], Field(min_length=2, max_length=2)]
    titles: tuple[str, ...] = ()
    of: tuple[str, ...] = ("accuracy",)
    arms: tuple[str, ...]
    first: int | None = Field(None, ge=1)

    @override
    def section_in(self, study: StudySpec) -> SectionRecord | None:
        assert self.section is not None
        return self.section.model_copy(update={"charts": tuple(f"map/{name}" for name in self.of)})

    @override
    def faults(self, study: StudySpec) -> Iterator[str]:
        for arm in self.arms:
            if arm not in study.arms:
                yield f"measures.maps: {not_known('arm', arm, study.arms)}"
        for name in self.of:
            if name not in ("accuracy", "agreement"):
                yield f"measures.maps.of: {not_known('map', name, ['accuracy', 'agreement'])}"
        for name, values in self.over.items():
            if len(values) < 2:
                yield f"measures.maps.over: {name} needs two values or more"
        try:
            self.grid()
        except ConfigError as error:
            yield f"measures.maps.over: {error}"

    @override
    def restricted(self, arms: Collection[str]) -> KindSpec | None:
        remaining = tuple(arm for arm in self.arms if arm in arms)
        return self.model_copy(update={"arms": remaining}) if remaining else None

    def grid(self) -> list[Transform]:
        """The transforms of all cells, the first parameter changing slowest."""
        return [parse_transform({"name": self.transform, **cell}) for cell in self.cells()]

    def cells(self) -> list[dict[str, float | int]]:
        """The parameters of all cells."""
        return [dict(zip(self.over, cell, strict=True)) for cell in product(*self.over.values())]

    @override
    def readings(self, plan: Plan) -> Iterator[tuple[Cell, Reading]]:
        for arm in self.arms:
            for cell in cells_of(plan, arm):
                yield cell, self._reading(plan.study)

    @override
    def measurements(self, readings: Readings) -> Iterator[Measurement]:
        """The correlation of each arm's map with its teacher's, the ceiling, and the inheritance."""
        pairs = [pair for pair in readings.arms.pairs if set(pair) <= set(self.arms)]
        control = {(arm, teacher): other for arm, other, teacher in readings.arms.taught}
        for arm, teacher in pairs:
            where = {"arm": arm, "teacher": teacher, "split": PROBE_SPLIT}
            alike, ceiling = self._alike(readings, arm, teacher), self._ceiling(readings, teacher)
            yield over_seeds(seed_values(alike, bounds=DIFFERENCES), measure=MAP_CORRELATION, **where)
            # Neighbouring pairs of teachers share a network: their interval is a jackknife over networks.
            marks = seed_values(ceiling, ring=True, bounds=DIFFERENCES)
            yield over_seeds(marks, measure=f"{MAP_CORRELATION}/ceiling", **where)
            other = control.get((arm, teacher))
            if other in self.arms:
                roles = [alike, self._alike(readings, str(other), teacher)]
                yield inherited(MAP_CORRELATION, [*map(seed_values, roles), marks], **where)

    @override
    def curves(self, readings: Readings, measurements: Sequence[Measurement]) -> Iterator[Curve]:
        titles = self.titles or tuple(self.over)
        asked = _asked_cells(readings.study, self.grid())
        for name in self.of:
            for arm, teacher in self._mapped(name, readings):
                maps = [
                    self._map(readings, name, arm, teacher, seed)
                    for seed in self._seeds(readings, arm, teacher)
                ]
                if maps:
                    yield Curve(
                        chart=f"map/{name}",
                        arm=arm,
                        teacher=teacher,
                        kind="map",
                        x_title=titles[0],
                        y_title=titles[1],
                        z_title=measure_named(name).title,
                        points=tuple(_cells(self.cells(), np.stack(maps, axis=1), asked)),
                    )

    def _mapped(self, name: str, readings: Readings) -> list[tuple[str, str | None]]:
        """The arms of one chart; for agreement with their teacher, which is that of the first taught arm."""
        taught = [(arm, teacher) for arm, _, teacher in readings.arms.taught if arm in self.arms]
        if name != "agreement" or not taught:
            return [(arm, None) for arm in self.arms] if name != "agreement" else []
        teacher = taught[0][1]
        return [(arm, teacher) for arm in self.arms if arm != teacher]

    def _reading(self, study: StudySpec) -> GridAnswers:
        return GridAnswers(
            data=study.data, split=probe_split(study), grid=tuple(self.grid()), first=self.first
        )

    def _seeds(self, readings: Readings, *arms: str | None) -> list[int]:
        return readings.seeds(*(arm for arm in arms if arm))

    def _map(self, readings: Readings, name: str, arm: str, teacher: str | None, seed: int) -> Array:
        """One number per cell of the grid, (K,)."""
        answers = readings.arrays(arm, seed, self._reading(readings.study))
        if name == "accuracy" or teacher is None:
            return np.asarray((answers["classes"] == answers["labels"]).mean(axis=1))
        theirs = readings.arrays(teacher, seed, self._reading(readings.study))
        return np.asarray((answers["classes"] == theirs["classes"]).mean(axis=1))

    def _accuracy(self, readings: Readings, arm: str, seed: int) -> Array:
        return self._map(readings, "accuracy", arm, None, seed)

    def _alike(self, readings: Readings, arm: str, teacher: str) -> dict[int, float]:
        return {
            seed: map_correlation(
                self._accuracy(readings, arm, seed),
                self._accuracy(readings, teacher, seed),
                groups=self._distances(),
            )
            for seed in readings.seeds(arm, teacher)
        }

    def _ceiling(self, readings: Readings, teacher: str) -> dict[int, float]:
        following = ring(readings.seeds(teacher))
        return {
            seed: map_correlation(
                self._accuracy(readings, teacher, other),
                self._accuracy(readings, teacher, seed),
                groups=self._distances(),
            )
            for seed, other in following.items()
        }

    def _distances(self) -> Array:
        """The distance of each cell from the centre: the larger of its steps along the two axes."""
        places = [np.arange(len(values)) - len(values) // 2 for values in self.over.values()]
        return np.array([max(map(abs, cell)) for cell in product(*(p.tolist() for p in places))])


def _asked_cells(study: StudySpec, grid: Sequence[Transform]) -> set[int]:
    """The cells whose transform is a variant of an asked split."""
    asked = [variant for split in study.splits.values() if split.asked for variant in split.variants]
    return {place for place, cell in enumerate(grid) if cell in asked}


def _cells(
    cells: Sequence[Mapping[str, float | int]], by_seed: Array, asked: Collection[int]
) -> Iterator[Point]:
    """A point per cell, from one column of values per seed."""
    for place, (cell, values) in enumerate(zip(cells, by_seed.tolist(), strict=True)):
        x, y = cell.values()
        at: dict[str, Any] = {"label": "asked"} if place in asked else {}
        whole = point(x, values)
        yield whole.model_copy(update={"y": float(y), "z": whole.y, **at})
