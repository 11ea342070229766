"""How long each arm trained."""

from __future__ import annotations

from collections.abc import Iterator

from bequest.records import Measurement
from bequest.studies.estimates import over_seeds
from bequest.studies.evidence import Evidence
from bequest.studies.plan import shown_arms

PARTS = ("training", "preparation")


def measure_seconds(evidence: Evidence) -> Iterator[Measurement]:
    """Wall time of every arm's training, and of what came before it: data, teachers, the store's build.

    Only where ``measures.seconds`` asks for it, as no two runs agree on it. Of arms that share a store, the
    one that built it has the time of the build; the others only read.
    """
    study = evidence.plan.study
    for arm in shown_arms(study) if study.measures.seconds else ():
        durations = {seed: evidence.record(arm, seed).durations for seed in evidence.seeds(arm)}
        for part in PARTS:
            values = {seed: found[part] for seed, found in durations.items() if part in found}
            yield over_seeds(values, measure=f"{part}_seconds", arm=arm)
