"""Training paths of several arms on one map, which says whether to believe it."""

from __future__ import annotations

from collections.abc import Iterator

from bequest.measure import path_map, representation_distances
from bequest.records import Curve, Point
from bequest.studies.evidence import Evidence

SEED = 0


def path_curves(evidence: Evidence) -> Iterator[Curve]:
    """One curve an arm: its checkpoints in the plane, labelled with their epochs.

    Distances between all checkpoints of all arms are chords of CKA on the same test samples; the plane is
    metric MDS. The note carries the stress, its null, and whether the map shows a path at all.
    """
    arms = [arm for arm in evidence.plan.study.measures.paths if SEED in evidence.seeds(arm)]
    taken = {arm: evidence.snapshots(arm, SEED) for arm in arms}
    if sum(map(len, taken.values())) < 4:
        return
    found = path_map(representation_distances([x for by_epoch in taken.values() for x in by_epoch.values()]))
    null = float(found.null.mean()) if len(found.null) else float("nan")
    note = (
        f"stress {found.stress:.3f}, null {null:.3f}, p = {found.p_value:.3g}; "
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
