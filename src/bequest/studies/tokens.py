"""What each token of a student answers, beside each teacher."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from bequest.measure import agreement, error_consistency, predictions_of
from bequest.models.vit import TOKENS
from bequest.records import Measurement
from bequest.studies.cells import PROBE_SPLIT
from bequest.studies.estimates import over_seeds
from bequest.studies.evidence import Evidence
from bequest.studies.plan import compared

SPECIALISATION = "token_specialisation"


def measure_tokens(evidence: Evidence) -> Iterator[Measurement]:
    """How alike the tokens of every arm and its teachers are, and how much of that each token has alone."""
    for arm, teacher in compared(evidence.plan.study):
        yield from _likeness(evidence, arm, teacher)
    for arm, spec in evidence.plan.study.arms.items():
        if len(spec.teachers) > 1 and not spec.aside:
            yield from _specialisation(evidence, arm, spec.teachers)


def _likeness(evidence: Evidence, arm: str, teacher: str) -> Iterator[Measurement]:
    """Agreement and error consistency of every token with a teacher, the token's name standing as layer."""
    found: dict[tuple[str, str], dict[int, float]] = {}
    for seed in evidence.seeds(arm, teacher):
        tokens = evidence.tokens(arm, seed)
        if tokens is None:
            continue
        beside = evidence.predictions(teacher, seed, PROBE_SPLIT)
        for k, name in enumerate(_names(evidence, arm, tokens.shape[1])):
            classes = predictions_of(tokens[:, k])
            right = np.asarray(classes == beside.labels)
            found.setdefault((name, "agreement"), {})[seed] = agreement(classes, beside.classes)
            kappa = error_consistency(right, beside.correct)
            found.setdefault((name, "error_consistency"), {})[seed] = kappa
    for (name, measure), values in found.items():
        where = {"teacher": teacher, "split": PROBE_SPLIT, "layer": name}
        yield over_seeds(values, measure=measure, arm=arm, **where)


def _specialisation(evidence: Evidence, arm: str, teachers: Sequence[str]) -> Iterator[Measurement]:
    """Agreement of each teacher's own token with it, less that of the other teachers' tokens; the mean.

    The last tokens are those of the teachers, in their order, as the objective ``tokens`` binds them.
    """
    found: dict[int, float] = {}
    for seed in evidence.seeds(arm, *teachers):
        tokens = evidence.tokens(arm, seed)
        if tokens is None or tokens.shape[1] < len(teachers):
            continue
        bound = [predictions_of(tokens[:, k - len(teachers)]) for k in range(len(teachers))]
        beside = [evidence.predictions(teacher, seed, PROBE_SPLIT).classes for teacher in teachers]
        table = np.array([[agreement(own, other) for own in bound] for other in beside])
        others = (table.sum(1) - table.diagonal()) / (len(teachers) - 1)
        found[seed] = float((table.diagonal() - others).mean())
    if found:
        yield over_seeds(found, measure=SPECIALISATION, arm=arm, split=PROBE_SPLIT)


def _names(evidence: Evidence, arm: str, count: int) -> list[str]:
    form = evidence.plan.cell(arm, 0).config["student"]["options"].get("form", "")
    names = TOKENS.get(form, ())
    fits = len(names) == count
    return [f"{name} token" for name in names] if fits else [f"token {k}" for k in range(count)]
