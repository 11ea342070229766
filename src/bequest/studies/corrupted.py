"""What an arm's accuracy on corrupted images is, all corruptions and levels together."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bequest.records import Measurement
from bequest.studies.cells import PROBE_SPLIT
from bequest.studies.estimates import over_seeds
from bequest.studies.evidence import Evidence
from bequest.studies.plan import shown_arms


def measure_corrupted(evidence: Evidence) -> Iterator[Measurement]:
    """The mean accuracy over the study's corruptions and their levels above 0, of every arm."""
    study = evidence.plan.study
    if not study.measures.corruptions:
        return
    for arm in shown_arms(study):
        values = {
            seed: float(np.mean([levels[1:] for levels in evidence.robustness(arm, seed).values()]))
            for seed in evidence.seeds(arm)
        }
        yield over_seeds(values, measure="corrupted_accuracy", arm=arm, split=PROBE_SPLIT)
