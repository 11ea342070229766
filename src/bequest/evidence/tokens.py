"""What each token of a student answers, beside each teacher."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from typing_extensions import override

from bequest.evidence.estimates import over_seeds
from bequest.evidence.kind import Kind
from bequest.evidence.readings import Readings
from bequest.measure import agreement, error_consistency, predictions_of
from bequest.measures import add
from bequest.models.vit import TOKENS
from bequest.records import Measurement
from bequest.studies.datasets import PROBE_SPLIT

SPECIALISATION = "token_specialisation"

add(
    SPECIALISATION,
    "own token's agreement less the other's",
    "share",
    group="likeness",
    needs=("split", "teacher", "several_tokens"),
)


class Tokens(Kind):
    """How alike the tokens of every arm and its teachers are, and how much of that each token has alone.

    Students with several tokens have them on the test split, if the study tests on it.
    """

    key = "tokens"
    always = True

    @override
    def measurements(self, readings: Readings) -> Iterator[Measurement]:
        if PROBE_SPLIT not in readings.study.splits:
            return
        for arm, teacher in readings.arms.pairs:
            yield from _likeness(readings, arm, teacher)
        for arm in readings.arms.shown:
            teachers = readings.study.arms[arm].teachers
            if len(teachers) > 1:
                yield from _specialisation(readings, arm, teachers)


def _likeness(readings: Readings, arm: str, teacher: str) -> Iterator[Measurement]:
    """Agreement and error consistency of every token with a teacher, the token's name standing as layer."""
    by_token: dict[tuple[str, str], dict[int, float]] = {}
    for seed in readings.seeds(arm, teacher):
        tokens = readings.tokens(arm, seed, PROBE_SPLIT)
        if tokens is None:
            continue
        answers = readings.predictions(teacher, seed, PROBE_SPLIT)
        for k, name in enumerate(_names(readings, arm, tokens.shape[1])):
            classes = predictions_of(tokens[:, k])
            right = np.asarray(classes == answers.labels)
            by_token.setdefault((name, "agreement"), {})[seed] = agreement(classes, answers.classes)
            kappa = error_consistency(right, answers.correct)
            by_token.setdefault((name, "error_consistency"), {})[seed] = kappa
    for (name, measure), by_seed in by_token.items():
        where = {"teacher": teacher, "split": PROBE_SPLIT, "layer": name}
        yield over_seeds(by_seed, measure=measure, arm=arm, **where)


def _specialisation(readings: Readings, arm: str, teachers: Sequence[str]) -> Iterator[Measurement]:
    """Agreement of each teacher's own token with it, less that of the other teachers' tokens; the mean.

    The last tokens are those of the teachers, in their order, as the objective ``tokens`` binds them.
    """
    by_seed: dict[int, float] = {}
    for seed in readings.seeds(arm, *teachers):
        tokens = readings.tokens(arm, seed, PROBE_SPLIT)
        if tokens is None or tokens.shape[1] < len(teachers):
            continue
        bound = [predictions_of(tokens[:, k - len(teachers)]) for k in range(len(teachers))]
        answers = [readings.predictions(teacher, seed, PROBE_SPLIT).classes for teacher in teachers]
        table = np.array([[agreement(token, classes) for token in bound] for classes in answers])
        others = (table.sum(1) - table.diagonal()) / (len(teachers) - 1)
        by_seed[seed] = float((table.diagonal() - others).mean())
    if by_seed:
        yield over_seeds(by_seed, measure=SPECIALISATION, arm=arm, split=PROBE_SPLIT)


def _names(readings: Readings, arm: str, count: int) -> list[str]:
    form = readings.study.model(readings.study.arms[arm].student).options.get("form", "")
    names = TOKENS.get(form, ())
    fits = len(names) == count
    return [f"{name} token" for name in names] if fits else [f"token {k}" for k in range(count)]
