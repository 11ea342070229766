"""Whether two arms' solutions lie in one basin: the loss along the line between them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import ClassVar

import torch
from torch import nn
from typing_extensions import override

from bequest.distill.score import score
from bequest.evidence.estimates import over_seeds, points, ring
from bequest.evidence.kind import Kind
from bequest.evidence.readings import Readings
from bequest.measure import barrier, match_weights, seed_values
from bequest.measure.basins import Barrier
from bequest.measure.symmetries import Place, Symmetry, heads
from bequest.measures import add
from bequest.models.devices import to_device
from bequest.models.transformer import Block, Transformer
from bequest.records import Curve, Measurement, SectionRecord
from bequest.studies.datasets import PROBE_SPLIT
from bequest.studies.faults import not_known
from bequest.studies.kind import KindSpec
from bequest.studies.spec import StudySpec

POINTS = 11
NORM_SAMPLES = 1000
"""Training inputs on which BatchNorm's statistics are estimated anew at every point."""

FORMS = {"barrier": False, "barrier/matched": True}
"""Measure names, and whether hidden units are matched first."""

add("barrier", "barrier", "nats above the chord", "lower", needs=("split", "teacher"), parametric=True)


class Barriers(Kind):
    """The height of the loss barrier in nats between the solutions of arms, before and after weight matching.

    Attributes:
        pairs: Arms of one architecture; an arm with itself stands for neighbouring seeds.
    """

    key = "barriers"
    list_field = "pairs"
    section: ClassVar[SectionRecord | None] = SectionRecord(
        title="Barriers",
        intro="The loss on the straight line between two solutions: a ridge means two basins.",
        place=46,
        charts=("barrier", "barrier_after_matching"),
    )

    pairs: tuple[tuple[str, str], ...]

    @override
    def faults(self, study: StudySpec) -> Iterator[str]:
        for pair in self.pairs:
            missing = [arm for arm in pair if arm not in study.arms]
            for arm in missing:
                yield f"measures.barriers: {not_known('arm', arm, study.arms)}"
            if missing:
                continue
            students = {study.arms[arm].student for arm in pair}
            if len(students) > 1:
                yield f"measures.barriers: {pair[0]} and {pair[1]} are not of one architecture"
            elif any(study.model(student).data is not None for student in students):
                yield f"measures.barriers: {pair[0]} is trained on other data than the splits have"

    @override
    def restricted(self, arms: Collection[str]) -> KindSpec | None:
        remaining = tuple(pair for pair in self.pairs if set(pair) <= set(arms))
        return self.model_copy(update={"pairs": remaining}) if remaining else None

    @override
    def measurements(self, readings: Readings) -> Iterator[Measurement]:
        for first, second in self.pairs:
            for name, matched in FORMS.items():
                by_seed = {
                    seed: line.height for seed, line in _lines(readings, first, second, matched).items()
                }
                values = seed_values(by_seed, ring=first == second)
                yield over_seeds(values, measure=name, arm=first, teacher=second, split=PROBE_SPLIT)

    @override
    def curves(self, readings: Readings, measurements: Sequence[Measurement]) -> Iterator[Curve]:
        for first, second in self.pairs:
            for matched in FORMS.values():
                lines = list(_lines(readings, first, second, matched).values())
                if lines:
                    yield Curve(
                        chart="barrier_after_matching" if matched else "barrier",
                        arm=first,
                        teacher=second,
                        split=PROBE_SPLIT,
                        x_title="share of the second solution",
                        y_title="negative log-likelihood (nats)",
                        points=points(lines[0].shares.tolist(), [line.losses.tolist() for line in lines]),
                    )


def _lines(readings: Readings, first: str, second: str, matched: bool) -> dict[int, Barrier]:
    """The line of each seed; an arm with itself goes from each seed to the next."""
    by_pair = readings.shared(_lines_by_pair)
    key = (first, second, matched)
    if key not in by_pair:
        seeds = readings.seeds(first, second)
        partners = ring(seeds) if first == second else dict(zip(seeds, seeds, strict=True))
        by_pair[key] = {
            seed: _line(readings, (first, seed), (second, partner), matched)
            for seed, partner in partners.items()
        }
    return by_pair[key]


def _lines_by_pair(readings: Readings) -> dict[tuple[str, str, bool], dict[int, Barrier]]:
    """The lines of every pair, filled as they are asked for."""
    del readings
    return {}


def _line(readings: Readings, one: tuple[str, int], other: tuple[str, int], matched: bool) -> Barrier:
    start, end = readings.network(*one), readings.network(*other)
    if matched:
        end = match_weights(end, start, symmetries=_written(end)).model
    start, end = start.to(readings.device), end.to(readings.device)  # units are matched on the CPU
    inputs = torch.split(
        to_device(readings.data["train"].x[:NORM_SAMPLES], readings.device), NORM_SAMPLES // 4
    )
    test, padding = readings.data[PROBE_SPLIT], readings.data.padding

    def loss(model: nn.Module) -> float:
        return float(score(model, test, padding=padding)["nll"])

    return barrier(start, end, loss, points=POINTS, batches=inputs)


def _written(model: nn.Module) -> tuple[Symmetry, ...] | None:
    """The symmetries of a network whose modules do not show them; None for those that do."""
    if not isinstance(model, Transformer):
        return None
    symmetries: list[Symmetry] = []
    for place, block in enumerate(model.blocks):
        assert isinstance(block, Block)
        name = f"blocks.{place}"
        width, units = block.mix.in_features // block.heads, block.expand.out_features
        stacked = (f"{name}.attend.weight", f"{name}.attend.bias")
        symmetries.append(heads(name, block.heads, width, stacked=stacked, output=f"{name}.mix.weight"))
        inner = (Place(f"{name}.expand.weight", 0), Place(f"{name}.expand.bias", 0))
        symmetries.append(Symmetry(f"{name}.expand", units, (*inner, Place(f"{name}.contract.weight", 1))))
    return tuple(symmetries)
