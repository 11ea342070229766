"""Accuracy by what is known of the samples: the attractors of a sentence, its distance."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from bequest.measure import accuracy_by, mean_accuracy_by, seed_interval
from bequest.records import Curve, Point
from bequest.studies.evidence import Array, Evidence, Predictions
from bequest.studies.plan import charted_arms

MOST_DISTANCE = 16
MEANS = {"d_accuracy": "distance", "a_accuracy": "attractors"}
"""Measures that are means over strata, and what the strata are of."""

TITLES = {"attractors": "attractors", "distance": "words from the subject to the verb"}
MAJORITY = "the commoner number, always"
NONE = -1


def stratum(about: Mapping[str, Array], name: str) -> Array:
    """The stratum of each sample, ``NONE`` for those that are left out.

    Attractors count where every intervening noun is one; distances up to 16.
    """
    values = about[name]
    if name == "attractors":
        return np.where(about["intervening"] == values, values, NONE)
    return np.where(values <= MOST_DISTANCE, values, NONE)


def mean_over_strata(name: str, found: Predictions) -> float:
    """D- or A-accuracy of one model on a split."""
    return mean_accuracy_by(found.logits, found.labels, stratum(found.about, MEANS[name]))


def strata_of(about: Mapping[str, object]) -> set[str]:
    """The means that a split with such knowledge has."""
    return {name for name, needed in MEANS.items() if {needed, "intervening"} <= set(about)}


def strata_curves(evidence: Evidence) -> Iterator[Curve]:
    """Accuracy over attractors and distances, mean and interval over seeds; n counts sentences.

    The split is the largest that is split by attractors; a further line is what the commoner number of each
    stratum would score.
    """
    sizes = {
        name: len(evidence.data[name]) for name in evidence.plan.study.splits if evidence.data[name].about
    }
    split = max(sizes, key=lambda name: sizes[name], default=None)
    if split is None:
        return
    for kind in TITLES:
        baseline: list[Point] = []
        for arm in charted_arms(evidence.plan.study):
            looks = [evidence.predictions(arm, seed, split) for seed in evidence.seeds(arm)]
            if not looks or kind not in looks[0].about:
                continue
            found = [accuracy_by(p.logits, p.labels, stratum(p.about, kind)) for p in looks]
            places = list(zip(found[0].values.tolist(), found[0].counts.tolist(), strict=True))
            means = [seed_interval(list(column)) for column in zip(*(f.accuracy for f in found), strict=True)]
            points = [
                Point(x=x, y=y.value, low=y.low, high=y.high, n=n)
                for (x, n), y in zip(places, means, strict=True)
            ]
            majority = zip(places, found[0].majority.tolist(), strict=True)
            baseline = baseline or [Point(x=x, y=y, n=n) for (x, n), y in majority]
            yield _curve(kind, arm, split, points)
        if baseline:
            yield _curve(kind, MAJORITY, split, baseline)


def _curve(kind: str, arm: str, split: str, points: list[Point]) -> Curve:
    return Curve(
        chart=kind, arm=arm, split=split, x_title=TITLES[kind], y_title="accuracy", points=tuple(points)
    )
