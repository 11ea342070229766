"""The training of each arm: its curve, speed and duration, and how much of the source task it forgot."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import ClassVar

import numpy as np
from pydantic import Field
from typing_extensions import override

from bequest.evidence.estimates import over_seeds, point
from bequest.evidence.kind import Kind, cells_of
from bequest.evidence.reading import Reading, SourceAccuracy
from bequest.evidence.readings import Readings
from bequest.measure import Undefined
from bequest.measures import Reason, add
from bequest.records import Curve, Measurement, SectionRecord
from bequest.studies.cell import Cell
from bequest.studies.plan import Plan

VALIDATION = "validation"

add("epochs_to", "epochs to an accuracy of", "validation", "lower", needs=(), parametric=True)
add("accuracy_while_training", "accuracy while training", "mean over epochs, validation", "higher", needs=())
add("training_seconds", "time of training", "seconds", "lower", needs=())
add("preparation_seconds", "time before training, stores included", "seconds", "lower", needs=())
add("source_accuracy", "accuracy on the source task", "under its old head", "higher", needs=("source_task",))
add("forgetting", "accuracy lost on the source task", "share", "lower", needs=("source_task",))


class Training(Kind):
    """Validation accuracy over epochs.

    Attributes:
        reach: A validation accuracy; the number of epochs until an arm reaches it is measured.
    """

    key = "training"
    always = True
    section: ClassVar[SectionRecord | None] = SectionRecord(
        title="Training", intro="How each arm learned, epoch by epoch.", place=90, charts=("training",)
    )

    reach: float | None = Field(None, gt=0, lt=1)

    @override
    def measurements(self, readings: Readings) -> Iterator[Measurement]:
        """Epochs to the accuracy that the study names, and the mean accuracy over the epochs."""
        if self.reach is None:
            return
        reach = self.reach
        measures: dict[str, Callable[[list[dict[str, float]]], float]] = {
            f"epochs_to/{reach:g}": lambda rows: epochs_to(rows, reach),
            # Without epoch 0, the network before training.
            "accuracy_while_training": lambda rows: float(
                np.mean([r["accuracy"] for r in rows if r["epoch"]])
            ),
        }
        for arm in readings.arms.shown:
            histories = {seed: readings.history(arm, seed) for seed in readings.seeds(arm)}
            for name, measure in measures.items():
                by_seed = {seed: measure(rows) for seed, rows in histories.items()}
                yield over_seeds(by_seed, measure=name, arm=arm, split=VALIDATION)

    @override
    def curves(self, readings: Readings, measurements: Sequence[Measurement]) -> Iterator[Curve]:
        for arm in readings.arms.charted:
            accuracies: dict[int, list[float]] = {}
            for seed in readings.seeds(arm):
                for row in readings.history(arm, seed):
                    accuracies.setdefault(int(row["epoch"]), []).append(row["accuracy"])
            if accuracies:
                yield Curve(
                    chart="training",
                    arm=arm,
                    split=VALIDATION,
                    x_title="epoch",
                    y_title="validation accuracy",
                    points=tuple(point(epoch, accuracies[epoch]) for epoch in sorted(accuracies)),
                )


def epochs_to(history: list[dict[str, float]], reach: float) -> float:
    """The first epoch with a validation accuracy of at least ``reach``; NaN with a reason if there is none.

    >>> epochs_to([{"epoch": 0.0, "accuracy": 0.1}, {"epoch": 2.0, "accuracy": 0.6}], 0.5)
    2.0
    """
    for row in history:
        if row["accuracy"] >= reach:
            return float(row["epoch"])
    return Undefined(f"an accuracy of {reach:g} was not reached", Reason.NOT_REACHED)


class Forgetting(Kind):
    """Accuracy on the source task under its old head, and how much of it training lost."""

    key = "forgetting"
    always = True

    @override
    def readings(self, plan: Plan) -> Iterator[tuple[Cell, Reading]]:
        for arm in plan.arms.shown if plan.study.source is not None else ():
            for cell in cells_of(plan, arm):
                if cell.training.start is not None and plan.study.source is not None:
                    yield cell, SourceAccuracy(task=plan.study.source)

    @override
    def measurements(self, readings: Readings) -> Iterator[Measurement]:
        study = readings.study
        for arm in readings.arms.shown if study.source is not None else ():
            if study.model(study.arms[arm].student).start is None:
                continue
            by_seed = {seed: readings.source_accuracy(arm, seed) for seed in readings.seeds(arm)}
            # A reading is empty if the start had no old head to answer the source task with.
            scored = {seed: accuracy for seed, accuracy in by_seed.items() if accuracy}
            if not scored:
                continue
            after = {seed: accuracy["after"] for seed, accuracy in scored.items()}
            lost = {seed: accuracy["before"] - accuracy["after"] for seed, accuracy in scored.items()}
            yield over_seeds(after, measure="source_accuracy", arm=arm, split="source")
            yield over_seeds(lost, measure="forgetting", arm=arm, split="source")


class Seconds(Kind):
    """Wall time of every arm's training, and of its preparation: loading data and teachers, building a store.

    Only if a study asks for it, since no two runs agree on it. Of arms that share a store, the one that built
    it has the time of the build; the others only read it.
    """

    key = "seconds"

    @override
    def measurements(self, readings: Readings) -> Iterator[Measurement]:
        for arm in readings.arms.shown:
            durations = {seed: readings.record(arm, seed).durations for seed in readings.seeds(arm)}
            for part in ("training", "preparation"):
                by_seed = {seed: parts[part] for seed, parts in durations.items() if part in parts}
                yield over_seeds(by_seed, measure=f"{part}_seconds", arm=arm)
