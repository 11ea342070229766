"""What fine-tuning comes to besides accuracy: degradation, speed, and what is forgotten."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from bequest.measure import Undefined
from bequest.records import Measurement
from bequest.studies.cells import PROBE_SPLIT
from bequest.studies.estimates import over_seeds
from bequest.studies.evidence import Evidence
from bequest.studies.plan import shown_arms

LEFT = "accuracy_left"
"""Accuracy under a corruption, the mean over its levels, relative to clean accuracy."""


def measure_transfer(evidence: Evidence) -> Iterator[Measurement]:
    """Degradation, speed and forgetting of every arm, where the study asks for them."""
    for arm in shown_arms(evidence.plan.study):
        yield from _degradation(evidence, arm)
        yield from _speed(evidence, arm)
        yield from _forgetting(evidence, arm)


def _degradation(evidence: Evidence, arm: str) -> Iterator[Measurement]:
    """Under each corruption: mean accuracy over its levels, as it is and relative to clean accuracy."""
    families = evidence.plan.study.measures.corruptions
    if not families:
        return
    curves = {seed: evidence.robustness(arm, seed) for seed in evidence.seeds(arm)}
    for name, of in (("corrupted", _mean), (LEFT, _left)):
        for family in families:
            values = {seed: of([found[family]]) for seed, found in curves.items()}
            yield over_seeds(values, measure=f"{name}/{family}", arm=arm, split=PROBE_SPLIT)
    values = {seed: _left([found[family] for family in families]) for seed, found in curves.items()}
    yield over_seeds(values, measure=LEFT, arm=arm, split=PROBE_SPLIT)


def _mean(curves: list[list[float]]) -> float:
    return float(np.mean([levels[1:] for levels in curves]))


def _left(curves: list[list[float]]) -> float:
    clean = curves[0][0]
    return _mean(curves) / clean if clean else Undefined("the clean accuracy is 0")


def _speed(evidence: Evidence, arm: str) -> Iterator[Measurement]:
    """Epochs to the accuracy that the study names, and the mean accuracy over the epochs, on validation."""
    reach = evidence.plan.study.measures.reach
    if reach is None:
        return
    histories = {seed: evidence.history(arm, seed) for seed in evidence.seeds(arm)}
    measures: dict[str, Callable[[list[dict[str, float]]], float]] = {
        f"epochs_to/{reach:g}": lambda rows: epochs_to(rows, reach),
        "accuracy_while_training": lambda rows: float(np.mean([r["accuracy"] for r in rows if r["epoch"]])),
    }
    for name, of in measures.items():
        values = {seed: of(rows) for seed, rows in histories.items()}
        yield over_seeds(values, measure=name, arm=arm, split="validation")


def epochs_to(history: list[dict[str, float]], reach: float) -> float:
    """The first epoch after which validation accuracy is at least ``reach``; NaN with a reason if none is.

    >>> epochs_to([{"epoch": 0.0, "accuracy": 0.1}, {"epoch": 2.0, "accuracy": 0.6}], 0.5)
    2.0
    """
    for row in history:
        if row["accuracy"] >= reach:
            return float(row["epoch"])
    return Undefined(f"an accuracy of {reach:g} was not reached")


def _forgetting(evidence: Evidence, arm: str) -> Iterator[Measurement]:
    """Accuracy on the source task under its old head, and how much of it training lost."""
    if evidence.plan.study.source is None:
        return
    found = {seed: evidence.source(arm, seed) for seed in evidence.seeds(arm)}
    known = {seed: scores for seed, scores in found.items() if scores is not None}
    if not known:
        return
    after = {seed: scores["after"]["accuracy"] for seed, scores in known.items()}
    lost = {seed: scores["before"]["accuracy"] - after[seed] for seed, scores in known.items()}
    yield over_seeds(after, measure="source_accuracy", arm=arm, split="source")
    yield over_seeds(lost, measure="forgetting", arm=arm, split="source")
