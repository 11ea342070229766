"""From finished cells to measurements: every property of every arm, and how much of it was inherited."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from bequest.measure import (
    accuracy,
    agreement,
    agreement_on_errors,
    balanced_accuracy,
    brier,
    cka,
    error_consistency,
    expected_calibration_error,
    inheritance,
    macro_f1,
    mean_confidence_gap,
    nll,
    procrustes,
    rsa,
    teacher_student_kl,
)
from bequest.records import Measurement
from bequest.studies.barriers import measure_barriers
from bequest.studies.cells import PROBE_SPLIT
from bequest.studies.corrupted import measure_corrupted
from bequest.studies.durations import measure_seconds
from bequest.studies.efficiency import measure_efficiency
from bequest.studies.estimates import from_estimate, over_seeds
from bequest.studies.evidence import Evidence, Predictions
from bequest.studies.layers import measure_layers
from bequest.studies.locality import measure_attention
from bequest.studies.maps import measure_paths
from bequest.studies.plan import compared, control_of, shown_arms
from bequest.studies.spec import compared_splits
from bequest.studies.strata import MEANS, mean_over_strata, strata_of
from bequest.studies.tokens import measure_tokens
from bequest.studies.transfer import measure_transfer

PROPERTIES: dict[str, Callable[[Predictions], float]] = {
    "accuracy": lambda p: accuracy(p.logits, p.labels),
    "balanced_accuracy": lambda p: balanced_accuracy(p.logits, p.labels),
    "macro_f1": lambda p: macro_f1(p.logits, p.labels),
    "nll": lambda p: nll(p.log_probs, p.labels),
    "brier": lambda p: brier(p.probs, p.labels),
    "ece": lambda p: expected_calibration_error(p.probs, p.labels, bins=15),
    "ece_mass": lambda p: expected_calibration_error(p.probs, p.labels, bins=15, binning="mass"),
    "confidence_gap": lambda p: mean_confidence_gap(p.probs, p.labels),
    **{name: partial(mean_over_strata, name) for name in MEANS},
}
"""What one model does on a split; means over strata are there where a split is divided into them."""

LIKENESSES: dict[str, Callable[[Predictions, Predictions], float]] = {
    "agreement": lambda p, q: agreement(p.classes, q.classes),
    "agreement_on_errors": lambda p, q: agreement_on_errors(p.classes, q.classes, q.labels),
    "error_consistency": lambda p, q: error_consistency(p.correct, q.correct),
    "kl": lambda p, q: float(teacher_student_kl(q.log_probs, p.log_probs).mean()),
}
"""How alike a student (first) and a teacher answer on a split."""

RSA_SAMPLES = 500
"""RSA ranks all pairs of samples; it takes the first so many of the test split."""

REPRESENTATIONS: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "cka": cka,
    "rsa": lambda x, y: rsa(x[:RSA_SAMPLES], y[:RSA_SAMPLES]),
    "procrustes": procrustes,
}
"""How alike two models' penultimate activations are on the test split."""

LAYER = "penultimate"
OWN_MINUS_OTHER = "/own_minus_other"
BY_BUDGET = "inheritance_by_budget/accuracy"


def measure_study(evidence: Evidence) -> list[Measurement]:
    """Every measurement of a study, in the order of its arms."""
    tables = Tables(evidence)
    return [
        *tables.properties(),
        *tables.likenesses(),
        *tables.inheritances(),
        *tables.by_budget(),
        *measure_transfer(evidence),
        *measure_corrupted(evidence),
        *measure_efficiency(evidence),
        *measure_tokens(evidence),
        *measure_layers(evidence),
        *measure_attention(evidence),
        *measure_seconds(evidence),
        *measure_paths(evidence),
        *measure_barriers(evidence),
    ]


class Tables:
    """Values by seed of everything that is measured; each is computed once."""

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        self._study = evidence.plan.study
        self._profile = self._study.measures.profile
        self._compared = compared_splits(self._study)
        self._groups = self._study.measures.groups
        self._known: dict[tuple[str, ...], dict[int, float]] = {}

    def properties(self) -> Iterator[Measurement]:
        """Every property of every arm on every split, and its mean over every group of splits."""
        for arm in shown_arms(self._study):
            for split in (*self._study.splits, *self._groups):
                for name in self._properties(split):
                    yield over_seeds(self._property(name, arm, split), measure=name, arm=arm, split=split)
            yield from self._perplexity(arm)

    def likenesses(self) -> Iterator[Measurement]:
        """Every likeness of an arm to its teacher and to another of that family, with null and ceiling."""
        for arm, teacher in compared(self._study):
            for name, split in self._comparisons():
                where = {"teacher": teacher, "split": split, "layer": _layer(name)}
                for suffix, values in (
                    ("", self._likeness(name, arm, teacher, split)),
                    ("/other_teacher", self._other(name, arm, teacher, split)),
                    ("/null", self._null(name, arm, teacher, split)),
                    ("/ceiling", self._ceiling(name, teacher, split)),
                ):
                    yield over_seeds(values, measure=name + suffix, arm=arm, **where)
                if name == "error_consistency":
                    values = self._own_minus_other(name, arm, teacher, split)
                    yield over_seeds(values, measure=name + OWN_MINUS_OTHER, arm=arm, **where)

    def inheritances(self) -> Iterator[Measurement]:
        """The inheritance of every property and likeness by every taught arm."""
        for arm in shown_arms(self._study):
            spec, control = self._study.arms[arm], control_of(self._study, arm)
            others = [t for t in spec.teachers if self._study.arms[t].student != spec.student]
            for teacher in others if control else ():
                for split in (*self._compared, *self._groups):
                    for name in filter(self._profile.__contains__, self._properties(split)):
                        values = [self._property(name, who, split) for who in (arm, str(control), teacher)]
                        yield inherited(name, values, arm, teacher, split, None)
                for name, split in self._comparisons():
                    if name not in self._profile:
                        continue
                    values = [self._likeness(name, who, teacher, split) for who in (arm, str(control))]
                    values.append(self._ceiling(name, teacher, split))
                    yield inherited(name, values, arm, teacher, split, _layer(name))

    def by_budget(self) -> Iterator[Measurement]:
        """The accuracy that each arm of the budget chart took over."""
        budget = self._study.measures.budget
        if budget is None:
            return
        for arm in (arm for line in budget.lines.values() for arm in line):
            control, (teacher, *_) = control_of(self._study, arm), self._study.arms[arm].teachers
            who = (arm, str(control), teacher)
            values = [self._property("accuracy", each, budget.split) for each in who]
            found = inherited("accuracy", values, arm, teacher, budget.split, None)
            yield found.model_copy(update={"measure": BY_BUDGET, "teacher": None})

    def _comparisons(self) -> list[tuple[str, str]]:
        over_splits = [(name, split) for split in self._compared for name in LIKENESSES]
        return [*over_splits, *((name, PROBE_SPLIT) for name in REPRESENTATIONS)]

    def _properties(self, split: str) -> list[str]:
        """The properties that are measured on a split, or on every split of a group."""
        parts = self._groups.get(split, (split,))
        divided = set.intersection(*(strata_of(self._evidence.data[each].about) for each in parts))
        return [name for name in PROPERTIES if name not in MEANS or name in divided]

    def _perplexity(self, arm: str) -> Iterator[Measurement]:
        """Of language models alone."""
        found = {seed: self._evidence.perplexity(arm, seed) for seed in self._evidence.seeds(arm)}
        known = {seed: value for seed, value in found.items() if value is not None}
        if known:
            yield over_seeds(known, measure="perplexity", arm=arm, split=PROBE_SPLIT)

    def _property(self, name: str, arm: str, split: str) -> dict[int, float]:
        if split in self._groups:
            parts = [self._property(name, arm, each) for each in self._groups[split]]
            return {seed: float(np.mean([part[seed] for part in parts])) for seed in parts[0]}
        look = self._evidence.predictions
        return self._kept((name, arm, split), [arm], lambda seed: PROPERTIES[name](look(arm, seed, split)))

    def _likeness(self, name: str, arm: str, teacher: str, split: str) -> dict[int, float]:
        return self._kept(
            (name, arm, teacher, split),
            [arm, teacher],
            lambda seed: self._alike(name, split, (arm, seed, False), (teacher, seed, False)),
        )

    def _null(self, name: str, arm: str, teacher: str, split: str) -> dict[int, float]:
        """An untrained student beside the teacher."""
        return self._kept(
            (name, "null", arm, teacher, split),
            [arm, teacher],
            lambda seed: self._alike(name, split, (arm, seed, True), (teacher, seed, False)),
        )

    def _other(self, name: str, arm: str, teacher: str, split: str) -> dict[int, float]:
        """The student beside a teacher that did not teach it: another seed of the teacher's family."""
        seeds = self._evidence.seeds(arm, teacher)
        if len(seeds) < 2:
            return {}
        return self._kept(
            (name, "other", arm, teacher, split),
            [arm, teacher],
            lambda seed: self._alike(name, split, (arm, seed, False), (teacher, _next(seeds, seed), False)),
        )

    def _own_minus_other(self, name: str, arm: str, teacher: str, split: str) -> dict[int, float]:
        """How much more alike the student is to its own teacher than to another of that family."""
        own, other = self._likeness(name, arm, teacher, split), self._other(name, arm, teacher, split)
        return {seed: own[seed] - value for seed, value in other.items()}

    def _ceiling(self, name: str, teacher: str, split: str) -> dict[int, float]:
        """Another seed of the teacher's family beside the teacher."""
        seeds = self._evidence.seeds(teacher)

        if len(seeds) < 2:
            return {}
        return self._kept(
            (name, "ceiling", teacher, split),
            [teacher],
            lambda seed: self._alike(
                name, split, (teacher, _next(seeds, seed), False), (teacher, seed, False)
            ),
        )

    def _alike(
        self, name: str, split: str, one: tuple[str, int, bool], other: tuple[str, int, bool]
    ) -> float:
        """A likeness of two networks, each named by (arm, seed, untrained)."""
        if name in REPRESENTATIONS:
            x, y = (self._evidence.penultimate(arm, seed, untrained=u) for arm, seed, u in (one, other))
            return REPRESENTATIONS[name](x.reshape(len(x), -1), y.reshape(len(y), -1))
        p, q = (self._evidence.predictions(arm, seed, split, untrained=u) for arm, seed, u in (one, other))
        return LIKENESSES[name](p, q)

    def _kept(
        self, key: tuple[str, ...], arms: list[str], compute: Callable[[int], float]
    ) -> dict[int, float]:
        if key not in self._known:
            self._known[key] = {seed: compute(seed) for seed in self._evidence.seeds(*arms)}
        return self._known[key]


def _next(seeds: list[int], seed: int) -> int:
    return seeds[(seeds.index(seed) + 1) % len(seeds)]


def _layer(name: str) -> str | None:
    return LAYER if name in REPRESENTATIONS else None


def inherited(
    name: str, values: list[dict[int, float]], arm: str, teacher: str, split: str, layer: str | None
) -> Measurement:
    """How much of a property was inherited, from its values by seed of student, control and teacher."""
    taught, control, ceiling = values
    seeds = [seed for seed in taught if seed in control and seed in ceiling]
    columns = [[by_seed[seed] for seed in seeds] for by_seed in values]
    found = inheritance(*columns)
    gap = {seed: ceiling[seed] - control[seed] for seed in seeds}
    ratios = {
        seed: (taught[seed] - control[seed]) / gap[seed] if gap[seed] else float("nan") for seed in seeds
    }
    where = {"teacher": teacher, "split": split, "layer": layer}
    return from_estimate(found, ratios, measure=f"inheritance/{name}", arm=arm, **where)
