"""Accuracy by attributes of the samples: the number of attractors of a sentence, the distance of its verb."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar

import numpy as np
from typing_extensions import override

from bequest.data.datasets import Split
from bequest.evidence.estimates import point
from bequest.evidence.kind import Kind
from bequest.evidence.readings import Array, Predictions, Readings
from bequest.measure import accuracy_by, mean_accuracy_by
from bequest.records import Curve, Measurement, Point, SectionRecord
from bequest.studies.datasets import tested_on

# The longest distance in the tests of the published data (docs/data.md).
MOST_DISTANCE = 16
MEANS = {"d_accuracy": "distance", "a_accuracy": "attractors"}
"""Measures that are means over strata, with the attribute that defines the strata."""

NEEDED = {
    **{name: {of, "intervening"} for name, of in MEANS.items()},
    "worst_group": {"group"},
    "shortcut_answers": {"shortcut"},
}
"""Properties that need these attributes of the samples."""

TITLES = {"attractors": "attractors", "distance": "words from the subject to the verb"}
MAJORITY = "always the more frequent number"
NONE = -1  # negative strata are left out by `accuracy_by`


def stratum(about: Mapping[str, Array], name: str) -> Array:
    """The stratum of each sample, ``NONE`` for those that are left out.

    Attractors are counted in sentences whose intervening nouns are all attractors; distances up to 16.
    """
    values = about[name]
    if name == "attractors":
        return np.where(about["intervening"] == values, values, NONE)
    return np.where(values <= MOST_DISTANCE, values, NONE)


def mean_over_strata(name: str, predictions: Predictions) -> float:
    """D- or A-accuracy of one model on a split."""
    strata = stratum(predictions.about, MEANS[name])
    return mean_accuracy_by(predictions.logits, predictions.labels, strata)


def strata_of(about: Mapping[str, object]) -> set[str]:
    """The properties of NEEDED that a split with these attributes has."""
    return {name for name, needed in NEEDED.items() if needed <= set(about)}


class Strata(Kind):
    """Accuracy over attractors and distances on the largest split that has them; n counts sentences.

    A further line is the accuracy of always answering with each stratum's more frequent number.
    """

    key = "strata"
    always = True
    section: ClassVar[SectionRecord | None] = SectionRecord(
        title="Attractors and distance",
        intro="Accuracy as more nouns of the other number stand between subject and verb, and as these move "
        "apart; the training data have few such sentences. The line for the more frequent number needs no "
        "sentence.",
        place=21,
        charts=("attractors", "distance"),
    )

    @override
    def curves(self, readings: Readings, measurements: Sequence[Measurement]) -> Iterator[Curve]:
        study = readings.study
        sizes = {name: len(part) for name in study.splits if (part := _split(readings, name)).about}
        split = max(sizes, key=lambda name: sizes[name], default=None)
        for kind in TITLES if split is not None else ():
            yield from _by_stratum(readings, kind, str(split))


def _split(readings: Readings, name: str) -> Split:
    return tested_on(readings.study.data, readings.study.splits[name])


def _by_stratum(readings: Readings, kind: str, split: str) -> Iterator[Curve]:
    baseline: list[Point] = []
    for arm in readings.arms.charted:
        predictions = [readings.predictions(arm, seed, split) for seed in readings.seeds(arm)]
        if not predictions or kind not in predictions[0].about:
            continue
        tables = [accuracy_by(p.logits, p.labels, stratum(p.about, kind)) for p in predictions]
        places = list(zip(tables[0].values.tolist(), tables[0].counts.tolist(), strict=True))
        columns = zip(*(table.accuracy for table in tables), strict=True)
        yield _curve(
            kind, arm, split, [point(x, column, n=n) for (x, n), column in zip(places, columns, strict=True)]
        )
        majority = zip(places, tables[0].majority.tolist(), strict=True)
        # Once: it follows from the labels, which all arms share.
        baseline = baseline or [Point(x=x, y=y, n=n) for (x, n), y in majority]
    if baseline:
        yield _curve(kind, MAJORITY, split, baseline)


def _curve(kind: str, arm: str, split: str, points: list[Point]) -> Curve:
    return Curve(
        chart=kind, arm=arm, split=split, x_title=TITLES[kind], y_title="accuracy", points=tuple(points)
    )
