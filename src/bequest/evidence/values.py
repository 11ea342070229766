"""Values of properties and likenesses at each seed, from which arms are compared."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from operator import attrgetter
from typing import Any

import numpy as np
from cachetools import LRUCache, cachedmethod

from bequest.distill.token_answers import sequences_read, tokens_read
from bequest.evidence.estimates import ring
from bequest.evidence.reading import of_tokens
from bequest.evidence.readings import HELD_BYTES, OBJECT_BYTES, Array, Predictions, Readings
from bequest.evidence.strata import MEANS, NEEDED, mean_over_strata, strata_of
from bequest.measure import (
    SeedValues,
    agreement_on_errors,
    balanced_accuracy,
    cka,
    combined,
    confidence_auc,
    cosine_of_cosines,
    error_consistency,
    expected_calibration_error,
    macro_f1,
    macro_precision,
    mutual_neighbours,
    negative_transfer,
    paired,
    procrustes,
    risk_coverage,
    roc_auc,
    rsa,
    rsa_of_pairs,
    rsa_pairs,
    seed_values,
    teacher_student_kl,
    worst_accuracy_by,
)
from bequest.measures import BY_NAME, MARKS, MEASURES, Better, add, measure_named
from bequest.registry import Registry
from bequest.studies.datasets import PROBE_SPLIT, tested_on
from bequest.studies.spec import StudySpec

Property = Callable[[Predictions], float | Array]
Likeness = Callable[[Predictions, Predictions], float | Array]
Representation = Callable[[Array, Array], float]

PROPERTIES: Registry[Property] = Registry("property")
"""Properties of one model on a split: a number, or one number per sample, of which it is the mean.

Means over strata exist only for splits that have the strata."""

LIKENESSES: Registry[Likeness] = Registry("likeness")
"""How alike a student (first) and a teacher answer on a split: a number, or one number per sample."""

REPRESENTATIONS: Registry[Representation] = Registry("likeness of representations")
"""How alike two models' penultimate activations are on the test split."""

RSA_SAMPLES = 500
"""RSA compares all pairs of samples, so that its work grows with their square: only so many are used."""

RSA_SIDES = 64
"""How many networks' lists of 500² / 2 numbers are cached, 1 MB each."""

LAYER = "penultimate"


def as_property(
    name: str, title: str = "", unit: str = "", better: Better | None = None
) -> Callable[[Property], Property]:
    """A decorator that makes ``function(predictions)`` a property of every model on every split.

    It returns a number; or (N,), one number per sample, of which the property is the mean: its intervals are
    then over samples too.

    Args:
        name: Its name in studies.
        title: Its title on the page; only for measures that are not in the catalogue yet.
        unit: Unit or range.
        better: The better direction, ``higher`` or ``lower``.
    """
    if name not in MEASURES:
        add(name, title or name.replace("_", " "), unit, better)
    return PROPERTIES.register(name)


def as_likeness(name: str, title: str = "", unit: str = "") -> Callable[[Likeness], Likeness]:
    """A decorator that makes ``function(student, teacher)`` of their predictions a likeness.

    It returns a number, or (N,), one per sample, as in :func:`as_property`.
    """
    if name not in MEASURES:
        add(name, title or name.replace("_", " "), unit, group="likeness", needs=("split", "teacher"))
    return LIKENESSES.register(name)


as_property("accuracy")(lambda p: p.correct)
as_property("balanced_accuracy")(lambda p: balanced_accuracy(p.logits, p.labels))
as_property("macro_precision")(lambda p: macro_precision(p.logits, p.labels))
as_property("macro_f1")(lambda p: macro_f1(p.logits, p.labels))
as_property("nll")(lambda p: -p.log_probs[np.arange(len(p.labels)), p.labels])
as_property("brier")(lambda p: ((p.probs - p.one_hot) ** 2).sum(axis=1))
as_property("ece")(lambda p: expected_calibration_error(p.probs, p.labels, bins=15))
as_property("ece_mass")(lambda p: expected_calibration_error(p.probs, p.labels, bins=15, binning="mass"))
as_property("confidence_gap")(lambda p: np.abs(p.probs.max(axis=1) - p.correct))
as_property("roc_auc")(lambda p: roc_auc(p.probs, p.labels))
as_property("confidence_auc")(lambda p: confidence_auc(p.probs, p.labels))
as_property("aurc")(lambda p: risk_coverage(p.probs.max(axis=1), p.correct).area)
for _name in MEANS:
    as_property(_name)(partial(mean_over_strata, _name))
as_property("worst_group")(lambda p: worst_accuracy_by(p.logits, p.labels, p.about["group"]))
as_property("shortcut_answers")(lambda p: p.classes == p.about["shortcut"])

as_likeness("agreement")(lambda p, q: p.classes == q.classes)
as_likeness("agreement_on_errors")(lambda p, q: agreement_on_errors(p.classes, q.classes, q.labels))
as_likeness("error_consistency")(lambda p, q: error_consistency(p.correct, q.correct))
as_likeness("kl")(lambda p, q: teacher_student_kl(q.log_probs, p.log_probs))
as_likeness("negative_transfer")(lambda p, q: negative_transfer(p.classes, q.classes, q.labels))

REPRESENTATIONS.add("cka", cka)
REPRESENTATIONS.add("rsa", lambda x, y: rsa(x[:RSA_SAMPLES], y[:RSA_SAMPLES]))
REPRESENTATIONS.add("cosine_of_cosines", lambda x, y: cosine_of_cosines(x[:RSA_SAMPLES], y[:RSA_SAMPLES]))
REPRESENTATIONS.add("procrustes", procrustes)
REPRESENTATIONS.add("mutual_neighbours", mutual_neighbours)

Asked = tuple[str, int, bool]
"""A network: arm, seed, and whether before its training."""


class Values:
    """Values at each seed; get it with ``readings.shared(Values)``."""

    def __init__(self, readings: Readings) -> None:
        self._readings = readings
        self._groups = readings.study.measures.groups
        self._rsa_sides: LRUCache[Asked, Array | None] = readings.cache(RSA_SIDES)
        self._by_key: LRUCache[tuple[str, ...], SeedValues] = readings.cache(4 * HELD_BYTES, _held)

    def properties_of(self, arm: str, split: str) -> list[str]:
        """The properties of ``arm`` that are measured on a split, or on every split of a group."""
        study = self._readings.study
        data = study.tested_data(arm)
        parts = [study.splits[name] for name in self._groups.get(split, (split,))]
        divided = set.intersection(*(strata_of(tested_on(data, part).about) for part in parts))
        return [name for name in _wanted(PROPERTIES, study) if name not in NEEDED or name in divided]

    def property(self, name: str, arm: str, split: str) -> SeedValues:
        """A property of ``arm``; on a group of splits the mean over them."""
        if split in self._groups:
            return combined([self.property(name, arm, each) for each in self._groups[split]])
        predictions, compute = self._readings.predictions, PROPERTIES[name]
        seeds = self._readings.seeds(arm)
        return self._once((name, arm, split), seeds, lambda seed: compute(predictions(arm, seed, split)))

    def likeness(self, name: str, arm: str, teacher: str, split: str, mark: str = "") -> SeedValues:
        """The likeness of ``arm`` to its teacher, or one of its reference values.

        Args:
            name: A likeness.
            arm: The student.
            teacher: The teacher.
            split: The split, or group of splits.
            mark: ``null``: of the untrained student; ``other_teacher``: to another seed of the teacher's
                family, which did not teach it; ``ceiling``: of another seed of that family to the teacher;
                ``own_minus_other``: the likeness itself minus that to the other teacher.
        """
        if split in self._groups:
            return combined([self.likeness(name, arm, teacher, each, mark) for each in self._groups[split]])
        if mark == "own_minus_other":
            return paired(*(self.likeness(name, arm, teacher, split, each) for each in ("", "other_teacher")))
        seeds = self._readings.seeds(teacher) if mark == "ceiling" else self._readings.seeds(arm, teacher)
        # The other network of the family is that of the next seed: each network is in two pairs.
        following = ring(seeds) if mark in ("ceiling", "other_teacher") else {seed: seed for seed in seeds}

        def alike(seed: int) -> float | Array:
            student = (teacher, following[seed]) if mark == "ceiling" else (arm, seed)
            reference = seed if mark == "ceiling" else following[seed]
            return self._alike(name, split, (*student, mark == "null"), (teacher, reference, False))

        # A ceiling does not depend on the student: all students of a teacher share the cached one.
        arms = [teacher] if mark == "ceiling" else [arm, teacher]
        return self._once((name, mark, *arms, split), list(following), alike, is_ring=mark in RINGS)

    def named(self, measure: str, arm: str, split: str | None, teacher: str | None) -> SeedValues | None:
        """The values behind a measurement; None for one of another kind of evidence."""
        name, _, mark = measure.partition("/")
        if split is None or (mark and mark not in MARKS):
            return None
        if teacher is None:
            return self.property(name, arm, split) if name in PROPERTIES and not mark else None
        if name in LIKENESSES or (name in REPRESENTATIONS and split == PROBE_SPLIT):
            return self.likeness(name, arm, teacher, split, mark)
        return None

    def roles(self, name: str, arm: str, control: str, teacher: str, split: str) -> list[SeedValues]:
        """The values of taught student, control and teacher, from which inheritance is the share of the gap.

        For a likeness the teacher's value is the ceiling: that of another network of its family.
        """
        if name in PROPERTIES:
            return [self.property(name, role, split) for role in (arm, control, teacher)]
        students = [self.likeness(name, role, teacher, split) for role in (arm, control)]
        return [*students, self.likeness(name, arm, teacher, split, "ceiling")]

    def _alike(self, name: str, split: str, one: Asked, other: Asked) -> float | Array:
        readings = self._readings
        if name in REPRESENTATIONS:
            if name == "rsa":
                # A network is in several pairs (teacher, control, ceiling): each side is ranked once.
                first, second = self._rsa_pairs(one), self._rsa_pairs(other)
                if first is not None and second is not None and first.shape == second.shape:
                    return rsa_of_pairs(first, second)  # otherwise rsa gives the reason why it is undefined
            x, y = (readings.penultimate(arm, seed, untrained=u) for arm, seed, u in (one, other))
            return REPRESENTATIONS[name](x, y)
        p, q = (readings.predictions(arm, seed, split, untrained=u) for arm, seed, u in (one, other))
        return LIKENESSES[name](p, q)

    @cachedmethod(attrgetter("_rsa_sides"))
    def _rsa_pairs(self, asked: Asked) -> Array | None:
        """One network's side of RSA, cached: ranking N² numbers takes most of its time."""
        arm, seed, untrained = asked
        return rsa_pairs(self._readings.penultimate(arm, seed, untrained=untrained)[:RSA_SAMPLES])

    # By `key` alone: it determines the seeds and the function, which could not be compared.
    @cachedmethod(attrgetter("_by_key"), key=lambda _, key, *__, **___: key)
    def _once(
        self,
        key: tuple[str, ...],
        seeds: list[int],
        compute: Callable[[int], float | Array],
        *,
        is_ring: bool = False,
    ) -> SeedValues:
        """The values at ``seeds``; ``key`` begins with the measure's name, ends with an arm and the split."""
        rows = {seed: compute(seed) for seed in seeds}
        return self._over_samples(rows, key, is_ring=is_ring)

    def _over_samples(
        self, rows: Mapping[int, float | Array], key: tuple[str, ...], *, is_ring: bool
    ) -> SeedValues:
        """The values as a table of seeds and samples, with the copies of a sample averaged.

        Copies of an image, or tokens of a sequence, are not independent samples.
        """
        name, *_, arm, split = key
        bounds = measure_named(name).bounds
        # The first row shows the form: a measure gives numbers at all seeds, or one number per sample at all.
        first = next(iter(rows.values()), 0.0)
        if not isinstance(first, np.ndarray):
            return seed_values(rows, ring=is_ring, bounds=bounds)
        study = self._readings.study
        spec = study.splits[split]
        # A share of N samples comes in steps of 1/N: seeds that agree by chance must not look certain.
        resolution = 1 / len(first) if first.dtype == np.bool_ else 0.0
        tested = tested_on(study.tested_data(arm), spec)
        if of_tokens(tested):
            vocabulary = len(self._readings.data.classes)
            counts = tokens_read(tested, vocabulary).numpy()
            ids = tested.ids[sequences_read(tested, vocabulary)].numpy()
            by_sequence = {seed: _by_sequence(np.asarray(row), counts) for seed, row in rows.items()}
            return seed_values(by_sequence, samples=ids, ring=is_ring, bounds=bounds, resolution=resolution)
        # Copy k of sample i has id i·K + k, and `shifted` lays the copies one after another.
        copies = len(spec.variants) or 1
        count = len(first) // copies
        samples = tested.ids[:count].numpy() // copies
        folded = {seed: np.reshape(row, (copies, count)).mean(axis=0) for seed, row in rows.items()}
        return seed_values(folded, samples=samples, ring=is_ring, bounds=bounds, resolution=resolution)


def _held(values: SeedValues) -> int:
    """About the bytes that values take in memory."""
    table = 0 if values.table is None else values.table.nbytes
    return (1 + len(values.by_seed)) * OBJECT_BYTES + table


def _by_sequence(values: Array, counts: Array) -> Array:
    """One number per sequence: their mean is that over all tokens, their spread that of it over sequences.

    mean + (M / P) · Σ (value − mean) over the sequence's tokens, with M sequences of P tokens in all: the
    linearised ratio estimator (Cochran 1977, section 6.4), since a longer sequence counts for more.
    """
    owners = np.repeat(np.arange(len(counts)), counts)
    mean = float(values.mean())
    sums = np.bincount(owners, weights=values - mean, minlength=len(counts))
    by_sequence: Array = mean + sums * len(counts) / counts.sum()
    return by_sequence


RINGS = ("ceiling", "other_teacher")
"""Marks whose values belong to pairs of neighbouring networks."""


def layer_of(name: str) -> str | None:
    """The layer of a likeness of representations; None for a likeness of answers."""
    return LAYER if name in REPRESENTATIONS else None


def likenesses_of(study: StudySpec) -> list[str]:
    """The likenesses of answers that a study measures."""
    return _wanted(LIKENESSES, study)


def representations_of(study: StudySpec) -> list[str]:
    """The likenesses of representations that a study measures."""
    return _wanted(REPRESENTATIONS, study)


def likenesses_and_splits(study: StudySpec) -> list[tuple[str, str]]:
    """Every likeness with each split and group of splits that it is measured on."""
    places = [*study.compared_splits, *study.measures.groups]
    over_splits = [(name, split) for split in places for name in likenesses_of(study)]
    return [*over_splits, *((name, PROBE_SPLIT) for name in representations_of(study))]


def _wanted(registry: Registry[Any], study: StudySpec) -> list[str]:
    return [name for name in registry.in_order() if name not in BY_NAME or name in study.named_measures]
