"""Training paths of several arms on one map, with a test of whether the map shows a path."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import ClassVar

import numpy as np
from typing_extensions import override

from bequest.evidence.estimates import over_seeds
from bequest.evidence.kind import Kind
from bequest.evidence.readings import Array, Readings
from bequest.measure import approach, cka, path_map, representation_distances
from bequest.measures import add
from bequest.models.taps import PENULTIMATE
from bequest.records import Curve, Measurement, Point, SectionRecord
from bequest.studies.datasets import PROBE_SPLIT
from bequest.studies.faults import not_known
from bequest.studies.kind import KindSpec
from bequest.studies.spec import StudySpec

LEAST = 4
"""The fewest checkpoints of a map: three lie in a plane exactly, whatever they are."""

MOST_SEEDS = 3
"""How many seeds have a map."""

add(
    "path_approach",
    "approach to the teacher in training",
    "share of the first distance",
    group="representation",
    needs=("split", "teacher", "layer"),
)


class Paths(Kind):
    """Maps of training paths, and how much of its distance to a teacher's representation each arm closed.

    Attributes:
        arms: The arms whose paths share a map, for each of the first three seeds; a list of lists gives one
            map per list.
    """

    key = "paths"
    on_study_data = True
    list_field = "arms"
    section: ClassVar[SectionRecord | None] = SectionRecord(
        title="Training paths",
        intro="The path of each arm through function space during training, drawn in two dimensions so that "
        "distances are preserved as well as possible.",
        place=45,
        charts=("path",),
        measures=("path_approach",),
    )

    arms: tuple[str, ...] | tuple[tuple[str, ...], ...]

    @property
    def maps(self) -> list[tuple[str, ...]]:
        """The arms of each map."""
        single = tuple(arm for arm in self.arms if isinstance(arm, str))
        return [single] if single else [arms for arms in self.arms if isinstance(arms, tuple)]

    @override
    def faults(self, study: StudySpec) -> Iterator[str]:
        for arm in self.snapshot_arms():
            if arm not in study.arms:
                yield f"measures.paths: {not_known('arm', arm, study.arms)}"

    @override
    def restricted(self, arms: Collection[str]) -> KindSpec | None:
        maps = [tuple(arm for arm in each if arm in arms) for each in self.maps]
        remaining = tuple(each for each in maps if each)
        if not remaining:
            return None
        return self.model_copy(update={"arms": remaining[0] if len(remaining) == 1 else remaining})

    @override
    def snapshot_arms(self) -> Collection[str]:
        return list(dict.fromkeys(arm for each in self.maps for arm in each))

    @override
    def measurements(self, readings: Readings) -> Iterator[Measurement]:
        """1 − d(last) / d(first), with chord distances of CKA on the same test samples.

        Teachers are the arms on the same map that teach a network of another architecture.
        """
        pairs = [pair for arms in self.maps for pair in _pairs(readings.study, arms)]
        for arm, teacher in dict.fromkeys(pairs):
            seeds = readings.seeds(arm, teacher)
            by_seed = {seed: _approach(readings, arm, teacher, seed) for seed in seeds}
            where = {"teacher": teacher, "split": PROBE_SPLIT, "layer": PENULTIMATE}
            yield over_seeds(by_seed, measure="path_approach", arm=arm, **where)

    @override
    def curves(self, readings: Readings, measurements: Sequence[Measurement]) -> Iterator[Curve]:
        """A map for each of the first ``MOST_SEEDS`` seeds, with one curve per arm: its checkpoints.

        Distances between all checkpoints of all arms at a seed are chord distances of CKA on the same test
        samples; the plane is metric MDS, and points are labelled with their epochs. The note has the stress,
        its null, whether the map shows a path at all, and the noise floor: the distance between two passes of
        the same network. Several seeds on one map would be too many distances for a plane. CKA is undefined
        for checkpoints with constant activations, which are left out.
        """
        for number, on_map in enumerate(self.maps, 1):
            for seed in readings.plan.seeds[:MOST_SEEDS]:
                arms = [arm for arm in on_map if seed in readings.seeds(arm)]
                snapshots = {arm: readings.snapshots(arm, seed) for arm in arms}
                name = f"seed {seed}" + (f", map {number}" if number > 1 else "")
                if sum(map(len, snapshots.values())) >= LEAST:
                    yield from _map(readings, seed, snapshots, name)


def _pairs(study: StudySpec, arms: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The arms of a map, each with every teacher of another architecture on the same map."""
    spec = study.arms
    teaching = {t for arm in spec.values() for t in arm.teachers if spec[t].student != arm.student}
    for teacher in (arm for arm in arms if arm in teaching):
        yield from ((arm, teacher) for arm in arms if spec[arm].student != spec[teacher].student)


def _map(
    readings: Readings, seed: int, snapshots: Mapping[str, Mapping[int, Array]], name: str
) -> Iterator[Curve]:
    """The paths of one seed on one map; nothing if too few of the checkpoints can be compared."""
    distances = representation_distances([x for by_epoch in snapshots.values() for x in by_epoch.values()])
    every = [(arm, epoch) for arm, by_epoch in snapshots.items() for epoch in by_epoch]
    # CKA of constant activations is undefined even with themselves: a NaN on the diagonal.
    varied = np.flatnonzero(~np.isnan(np.diag(distances)))
    if len(varied) < LEAST:
        return
    if constant := len(every) - len(varied):
        name += f", {constant} checkpoints of constant activations left out"
    rows: dict[str, list[int]] = {}
    for row, place in enumerate(varied):
        rows.setdefault(every[place][0], []).append(row)
    drawn = path_map(distances[np.ix_(varied, varied)], paths=list(rows.values()))
    null = float(drawn.null.mean()) if len(drawn.null) else float("nan")
    # With a 0, since the maximum of undefined floors alone would be a warning of NumPy.
    floor = np.nanmax([0.0, *(_floor(readings, arm, seed) for arm in rows)])
    note = (
        f"{name}: stress {drawn.stress:.3f}, null {null:.3f}, p = {drawn.p_value:.3g}; a network's distance "
        f"from itself is {floor:.2g}; "
        f"{'the map shows paths' if drawn.shows_path else drawn.reason or 'the map shows no path'}"
    )
    points = [
        Point(x=x, y=y, label=str(every[place][1]))
        for place, (x, y) in zip(varied, drawn.points.tolist(), strict=True)
    ]
    for arm, of_arm in rows.items():
        yield Curve(
            chart="path",
            arm=arm,
            seed=str(seed),
            split=name,
            x_title="first dimension of the map",
            y_title="second dimension of the map",
            points=tuple(points[row] for row in of_arm),
            note=note,
        )


def _floor(readings: Readings, arm: str, seed: int) -> float:
    """The distance of a trained network from itself: 0 unless its answers are random."""
    return float(representation_distances(readings.asked_twice(arm, seed))[0, 1])


def _approach(readings: Readings, arm: str, teacher: str, seed: int) -> float:
    student, goal = (readings.snapshots(name, seed) for name in (arm, teacher))
    first, last, target = student[min(student)], student[max(student)], goal[max(goal)]
    distances = representation_distances([first, last, target])
    for x, own in zip((first, last, target), np.diag(distances), strict=True):
        if np.isnan(own):
            return cka(x, x)  # NaN with the reason
    return approach(distances[:2, 2])
