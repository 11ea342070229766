"""How alike students and teachers are: their answers, those of single tokens, and their representations."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, ClassVar

import numpy as np
from typing_extensions import override

from bequest.evidence.estimates import over_seeds
from bequest.evidence.kind import Kind, cells_of
from bequest.evidence.reading import Reading, answers_on, probe_activations
from bequest.evidence.readings import Readings
from bequest.evidence.values import Values, layer_of, likenesses_of, representations_of
from bequest.measure import agreement, error_consistency, predictions_of
from bequest.measures import add
from bequest.models.vit import TOKENS
from bequest.records import Measurement, SectionRecord
from bequest.studies.cell import Cell
from bequest.studies.datasets import PROBE_SPLIT
from bequest.studies.plan import Plan

SPECIALISATION = "token_specialisation"

add(
    SPECIALISATION,
    "own token's agreement minus the other's",
    "share",
    group="likeness",
    needs=("split", "teacher", "several_tokens"),
)


class Likenesses(Kind):
    """Every likeness of an arm's answers to a teacher's, with its reference values."""

    key = "likenesses"
    always = True
    section: ClassVar[SectionRecord | None] = SectionRecord(
        title="Agreement with the teachers",
        intro="How often a student gives its teacher's answer, and whether both are wrong on the same "
        "samples more often than two models of their accuracy would be by chance.",
        place=10,
        measures=("agreement", "agreement_on_errors", "error_consistency", "kl", "negative_transfer"),
    )

    @override
    def readings(self, plan: Plan) -> Iterator[tuple[Cell, Reading]]:
        """Answers of both; on the compared splits also of untrained students, for the null."""
        study = plan.study
        grouped = {split for parts in study.measures.groups.values() for split in parts}
        for arm, trained in _networks(plan):
            for split in study.splits:
                if split in study.compared_splits or (trained and split in grouped):
                    reading = answers_on(study, split, arm=arm, trained=trained)
                    yield from ((cell, reading) for cell in cells_of(plan, arm))

    @override
    def measurements(self, readings: Readings) -> Iterator[Measurement]:
        for arm, teacher in readings.arms.pairs:
            study = readings.study
            for split in (*study.compared_splits, *study.measures.groups):
                for name in likenesses_of(study):
                    yield from _with_marks(readings, name, arm, teacher, split)


class Representations(Kind):
    """Every likeness of penultimate representations on the test split, with its reference values."""

    key = "representations"
    always = True
    section: ClassVar[SectionRecord | None] = SectionRecord(
        title="Similarity of representations",
        intro="How alike student and teacher represent the same samples, between an untrained network (null) "
        "and another seed of the teacher's family (ceiling).",
        place=40,
        measures=("cka", "rsa", "cosine_of_cosines", "procrustes", "mutual_neighbours", "layer_cka"),
    )

    @override
    def readings(self, plan: Plan) -> Iterator[tuple[Cell, Reading]]:
        """Representations of both; also of untrained students, for the null."""
        for arm, trained in _networks(plan):
            reading = probe_activations(plan.study, arm=arm, trained=trained)
            yield from ((cell, reading) for cell in cells_of(plan, arm))

    @override
    def measurements(self, readings: Readings) -> Iterator[Measurement]:
        for arm, teacher in readings.arms.pairs:
            for name in representations_of(readings.study):
                yield from _with_marks(readings, name, arm, teacher, PROBE_SPLIT)


def _networks(plan: Plan) -> Iterable[tuple[str, bool]]:
    """All compared networks, each once: arm, and whether it is trained."""
    return dict.fromkeys(
        asked for arm, teacher in plan.arms.pairs for asked in ((arm, True), (teacher, True), (arm, False))
    )


def _with_marks(readings: Readings, name: str, arm: str, teacher: str, split: str) -> Iterator[Measurement]:
    """A likeness with its reference values: null, other teacher, ceiling."""
    values = readings.shared(Values)
    parts = readings.study.measures.groups.get(split, (split,))
    # Untrained networks are read on the compared splits only, and for representations on the test split.
    has_null = layer_of(name) is not None or set(parts) <= set(readings.study.compared_splits)
    marks = ["", "other_teacher", *(["null"] if has_null else []), "ceiling"]
    # Whether a student errs like its own teacher, or like any network of that family (`consistency_gap`).
    marks += ["own_minus_other"] if name == "error_consistency" else []
    where: dict[str, Any] = {"arm": arm, "teacher": teacher, "split": split, "layer": layer_of(name)}
    for mark in marks:
        measure = f"{name}/{mark}" if mark else name
        yield over_seeds(values.likeness(name, arm, teacher, split, mark), measure=measure, **where)


class Tokens(Kind):
    """How alike each token of a student is to each teacher, and how much more its own token than the others.

    For students with several output tokens, on the test split, if the study has it.
    """

    key = "tokens"
    always = True

    @override
    def measurements(self, readings: Readings) -> Iterator[Measurement]:
        if PROBE_SPLIT not in readings.study.splits:
            return
        for arm, teacher in readings.arms.pairs:
            yield from _of_tokens(readings, arm, teacher)
        for arm in readings.arms.shown:
            teachers = readings.study.arms[arm].teachers
            if len(teachers) > 1:
                yield from _specialisation(readings, arm, teachers)


def _of_tokens(readings: Readings, arm: str, teacher: str) -> Iterator[Measurement]:
    """Agreement and error consistency of every token with a teacher, with the token's name as the layer."""
    by_token: dict[tuple[str, str], dict[int, float]] = {}
    for seed in readings.seeds(arm, teacher):
        tokens = readings.tokens(arm, seed, PROBE_SPLIT)
        if tokens is None:
            continue
        answers = readings.predictions(teacher, seed, PROBE_SPLIT)
        for k, name in enumerate(_token_names(readings, arm, tokens.shape[1])):
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
        # One token, or fewer than teachers: none is bound to a teacher.
        if tokens is None or tokens.shape[1] < len(teachers):
            continue
        bound = [predictions_of(tokens[:, k - len(teachers)]) for k in range(len(teachers))]  # the last ones
        answers = [readings.predictions(teacher, seed, PROBE_SPLIT).classes for teacher in teachers]
        table = np.array([[agreement(token, classes) for token in bound] for classes in answers])
        others = (table.sum(1) - table.diagonal()) / (len(teachers) - 1)
        by_seed[seed] = float((table.diagonal() - others).mean())
    if by_seed:
        yield over_seeds(by_seed, measure=SPECIALISATION, arm=arm, split=PROBE_SPLIT)


def _token_names(readings: Readings, arm: str, count: int) -> list[str]:
    form = readings.study.model(readings.study.arms[arm].student).options.get("form", "")
    names = TOKENS.get(form, ())
    fits = len(names) == count
    return [f"{name} token" for name in names] if fits else [f"token {k}" for k in range(count)]
