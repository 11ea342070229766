"""Values by seed of properties and likenesses, on which comparisons of arms stand; each is computed once."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from bequest.evidence.estimates import ring
from bequest.evidence.readings import Array, Predictions, Readings
from bequest.evidence.strata import MEANS, mean_over_strata, strata_of
from bequest.measure import (
    accuracy,
    agreement,
    agreement_on_errors,
    balanced_accuracy,
    brier,
    cka,
    error_consistency,
    expected_calibration_error,
    macro_f1,
    mean_confidence_gap,
    nll,
    procrustes,
    rsa,
    teacher_student_kl,
)
from bequest.measures import MEASURES, Better, add
from bequest.registry import Registry
from bequest.studies.datasets import PROBE_SPLIT, tested_on

Property = Callable[[Predictions], float]
Likeness = Callable[[Predictions, Predictions], float]
Representation = Callable[[Array, Array], float]

PROPERTIES: Registry[Property] = Registry("property")
"""What one model does on a split; means over strata only where a split is divided into them."""

LIKENESSES: Registry[Likeness] = Registry("likeness")
"""How alike a student (first) and a teacher answer on a split."""

REPRESENTATIONS: Registry[Representation] = Registry("likeness of representations")
"""How alike two models' penultimate activations are on the test split."""

RSA_SAMPLES = 500
"""RSA ranks all pairs of samples; it takes the first so many of the test split."""

LAYER = "penultimate"


def as_property(
    name: str, title: str = "", unit: str = "", better: Better | None = None
) -> Callable[[Property], Property]:
    """A decorator that makes ``function(predictions) -> float`` a property of every model on every split.

    Args:
        name: As studies write it.
        title: What a reader sees; only for measures that are not in the catalogue yet.
        unit: Unit or range.
        better: The better direction, ``higher`` or ``lower``.
    """
    if name not in MEASURES:
        add(name, title or name.replace("_", " "), unit, better)
    return PROPERTIES.register(name)


def as_likeness(name: str, title: str = "", unit: str = "") -> Callable[[Likeness], Likeness]:
    """A decorator that makes ``function(student, teacher) -> float`` of their predictions a likeness."""
    if name not in MEASURES:
        add(name, title or name.replace("_", " "), unit, group="likeness", needs=("split", "teacher"))
    return LIKENESSES.register(name)


as_property("accuracy")(lambda p: accuracy(p.logits, p.labels))
as_property("balanced_accuracy")(lambda p: balanced_accuracy(p.logits, p.labels))
as_property("macro_f1")(lambda p: macro_f1(p.logits, p.labels))
as_property("nll")(lambda p: nll(p.log_probs, p.labels))
as_property("brier")(lambda p: brier(p.probs, p.labels))
as_property("ece")(lambda p: expected_calibration_error(p.probs, p.labels, bins=15))
as_property("ece_mass")(lambda p: expected_calibration_error(p.probs, p.labels, bins=15, binning="mass"))
as_property("confidence_gap")(lambda p: mean_confidence_gap(p.probs, p.labels))
for _name in MEANS:
    as_property(_name)(partial(mean_over_strata, _name))

as_likeness("agreement")(lambda p, q: agreement(p.classes, q.classes))
as_likeness("agreement_on_errors")(lambda p, q: agreement_on_errors(p.classes, q.classes, q.labels))
as_likeness("error_consistency")(lambda p, q: error_consistency(p.correct, q.correct))
as_likeness("kl")(lambda p, q: float(teacher_student_kl(q.log_probs, p.log_probs).mean()))

REPRESENTATIONS.add("cka", cka)
REPRESENTATIONS.add("rsa", lambda x, y: rsa(x[:RSA_SAMPLES], y[:RSA_SAMPLES]))
REPRESENTATIONS.add("procrustes", procrustes)

Asked = tuple[str, int, bool]
"""A network: arm, seed, and whether before its training."""


class Values:
    """Values by seed; get it with ``readings.shared(Values)``."""

    def __init__(self, readings: Readings) -> None:
        self._readings = readings
        self._groups = readings.study.measures.groups
        self._by_key: dict[tuple[str, ...], dict[int, float]] = {}

    def properties_of(self, split: str) -> list[str]:
        """The properties that are measured on a split, or on every split of a group."""
        study = self._readings.study
        parts = [study.splits[name] for name in self._groups.get(split, (split,))]
        divided = set.intersection(*(strata_of(tested_on(study.data, part).about) for part in parts))
        return [name for name in PROPERTIES.in_order() if name not in MEANS or name in divided]

    def property(self, name: str, arm: str, split: str) -> dict[int, float]:
        """A property of ``arm``; on a group of splits the mean over them."""
        if split in self._groups:
            parts = [self.property(name, arm, each) for each in self._groups[split]]
            return {seed: float(np.mean([part[seed] for part in parts])) for seed in parts[0]}
        predictions = self._readings.predictions
        return self._once(
            (name, arm, split), [arm], lambda seed: PROPERTIES[name](predictions(arm, seed, split))
        )

    def likeness(self, name: str, arm: str, teacher: str, split: str) -> dict[int, float]:
        """The likeness of ``arm`` to its teacher."""
        return self._once(
            (name, arm, teacher, split),
            [arm, teacher],
            lambda seed: self._alike(name, split, (arm, seed, False), (teacher, seed, False)),
        )

    def null(self, name: str, arm: str, teacher: str, split: str) -> dict[int, float]:
        """The likeness of an untrained student to the teacher."""
        return self._once(
            (name, "null", arm, teacher, split),
            [arm, teacher],
            lambda seed: self._alike(name, split, (arm, seed, True), (teacher, seed, False)),
        )

    def other_teacher(self, name: str, arm: str, teacher: str, split: str) -> dict[int, float]:
        """The likeness of ``arm`` to another seed of its teacher's family, which did not teach it."""
        following = ring(self._readings.seeds(arm, teacher))
        return self._once(
            (name, "other", arm, teacher, split),
            [arm, teacher],
            lambda seed: self._alike(name, split, (arm, seed, False), (teacher, following[seed], False)),
            needs=following,
        )

    def ceiling(self, name: str, teacher: str, split: str) -> dict[int, float]:
        """The likeness of another seed of the teacher's family to the teacher."""
        following = ring(self._readings.seeds(teacher))
        return self._once(
            (name, "ceiling", teacher, split),
            [teacher],
            lambda seed: self._alike(name, split, (teacher, following[seed], False), (teacher, seed, False)),
            needs=following,
        )

    def own_minus_other(self, name: str, arm: str, teacher: str, split: str) -> dict[int, float]:
        """How much more alike the student is to its own teacher than to another of that family."""
        own = self.likeness(name, arm, teacher, split)
        return {
            seed: own[seed] - value for seed, value in self.other_teacher(name, arm, teacher, split).items()
        }

    def _alike(self, name: str, split: str, one: Asked, other: Asked) -> float:
        readings = self._readings
        if name in REPRESENTATIONS:
            x, y = (readings.penultimate(arm, seed, untrained=u) for arm, seed, u in (one, other))
            return REPRESENTATIONS[name](x, y)
        p, q = (readings.predictions(arm, seed, split, untrained=u) for arm, seed, u in (one, other))
        return LIKENESSES[name](p, q)

    def _once(
        self,
        key: tuple[str, ...],
        arms: list[str],
        compute: Callable[[int], float],
        needs: dict[int, int] | None = None,
    ) -> dict[int, float]:
        """The values at the seeds of ``arms``; none where a partner is needed and one seed has none."""
        if key not in self._by_key:
            seeds = [] if needs == {} else self._readings.seeds(*arms)
            self._by_key[key] = {seed: compute(seed) for seed in seeds}
        return self._by_key[key]


def layer_of(name: str) -> str | None:
    """The layer that a likeness looks at; None for a likeness of answers."""
    return LAYER if name in REPRESENTATIONS else None


def likenesses_and_splits(compared: list[str]) -> list[tuple[str, str]]:
    """Every likeness with every split on which it is measured."""
    over_splits = [(name, split) for split in compared for name in LIKENESSES.in_order()]
    return [*over_splits, *((name, PROBE_SPLIT) for name in REPRESENTATIONS.in_order())]
