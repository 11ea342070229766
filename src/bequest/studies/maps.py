"""Training paths of several arms on one map, which says whether to believe it."""

from __future__ import annotations

from collections.abc import Iterator

from bequest.measure import approach, path_map, representation_distances
from bequest.models.taps import PENULTIMATE
from bequest.records import Curve, Measurement, Point
from bequest.studies.cells import PROBE_SPLIT
from bequest.studies.estimates import over_seeds
from bequest.studies.evidence import Evidence

SEED = 0


def measure_paths(evidence: Evidence) -> Iterator[Measurement]:
    """How much of the way to a teacher's last representation each path of another network closed.

    1 − d(last) / d(first), with chord distances of CKA on the same test samples; teachers are the arms on the
    map that teach another kind of network.
    """
    spec = evidence.plan.study.arms
    arms = evidence.plan.study.measures.paths
    teaching = {t for arm in spec.values() for t in arm.teachers if spec[t].student != arm.student}
    for teacher in (arm for arm in arms if arm in teaching):
        for arm in (arm for arm in arms if spec[arm].student != spec[teacher].student):
            seeds = evidence.seeds(arm, teacher)
            values = {seed: _closed(evidence, arm, teacher, seed) for seed in seeds}
            where = {"teacher": teacher, "split": PROBE_SPLIT, "layer": PENULTIMATE}
            yield over_seeds(values, measure="path_approach", arm=arm, **where)


def _floor(evidence: Evidence, arm: str) -> float:
    """The distance of a trained network from itself: 0 unless something random is in its answers."""
    return float(representation_distances(evidence.asked_twice(arm, SEED))[0, 1])


def _closed(evidence: Evidence, arm: str, teacher: str, seed: int) -> float:
    own, goal = (evidence.snapshots(name, seed) for name in (arm, teacher))
    first, last, target = own[min(own)], own[max(own)], goal[max(goal)]
    distances = representation_distances([first, last, target])
    return approach(distances[:2, 2])


def path_curves(evidence: Evidence) -> Iterator[Curve]:
    """One curve an arm: its checkpoints in the plane, labelled with their epochs.

    Distances between all checkpoints of all arms are chords of CKA on the same test samples; the plane is
    metric MDS. The note carries the stress, its null, whether the map shows a path at all, and the floor: how
    far the networks are from themselves, asked twice.
    """
    arms = [arm for arm in evidence.plan.study.measures.paths if SEED in evidence.seeds(arm)]
    taken = {arm: evidence.snapshots(arm, SEED) for arm in arms}
    if sum(map(len, taken.values())) < 4:
        return
    found = path_map(representation_distances([x for by_epoch in taken.values() for x in by_epoch.values()]))
    null = float(found.null.mean()) if len(found.null) else float("nan")
    note = (
        f"stress {found.stress:.3f}, null {null:.3f}, p = {found.p_value:.3g}; a network is "
        f"{max(_floor(evidence, arm) for arm in arms):.2g} from itself; "
        f"{'the map shows paths' if found.shows_path else found.reason or 'the map shows no path'}"
    )
    rows = iter(found.points.tolist())
    for arm, by_epoch in taken.items():
        points = [Point(x=x, y=y, label=str(epoch)) for epoch, (x, y) in zip(by_epoch, rows, strict=False)]
        yield Curve(
            chart="path",
            arm=arm,
            seed=str(SEED),
            split="test",
            x_title="first dimension of the map",
            y_title="second dimension of the map",
            points=tuple(points),
            note=note,
        )
