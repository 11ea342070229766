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
from bequest.measure.symmetries import Place, Symmetry, heads, recurrent_units
from bequest.measures import add
from bequest.models.devices import to_device
from bequest.models.lstm import LSTM
from bequest.models.sequence import TiedHead
from bequest.models.transformer import Block, Transformer
from bequest.records import Curve, Measurement, SectionRecord
from bequest.studies.datasets import PROBE_SPLIT, load
from bequest.studies.faults import not_known
from bequest.studies.kind import KindSpec
from bequest.studies.spec import StudySpec

POINTS = 11
NORM_SAMPLES = 1000
"""Training inputs on which BatchNorm's statistics are re-estimated at every point of the line."""

FORMS = {"barrier": False, "barrier/matched": True}
"""Measure names, and whether hidden units are matched first."""

add("barrier", "barrier", "nats above the chord", "lower", needs=("split", "teacher"), parametric=True)


class Barriers(Kind):
    """The height of the loss barrier in nats between the solutions of arms, before and after weight matching.

    Attributes:
        pairs: Pairs of arms of one architecture; an arm with itself means neighbouring seeds.
    """

    key = "barriers"
    on_study_data = True
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
            if len({study.arms[arm].student for arm in pair}) > 1:
                yield f"measures.barriers: {pair[0]} and {pair[1]} have different architectures"

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
                # Neighbouring seeds share a network, so that their heights are not independent.
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
    """The line of each seed; for an arm with itself, from each seed to the next."""
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
    """The lines of every pair, filled when first needed: measurements and curves show the same ones."""
    del readings
    return {}


def _line(readings: Readings, one: tuple[str, int], other: tuple[str, int], matched: bool) -> Barrier:
    start, end = readings.network(*one), readings.network(*other)
    if matched:
        end = match_weights(end, start, symmetries=written_symmetries(end)).model
    start, end = start.to(readings.device), end.to(readings.device)  # matching is on the CPU
    # A language model's loss is that of the texts it was trained on, not of the study's classes.
    data = load(readings.study.data_of(readings.study.arms[one[0]].student))
    inputs = torch.split(to_device(data["train"].x[:NORM_SAMPLES], readings.device), NORM_SAMPLES // 4)
    test, padding = data[PROBE_SPLIT], data.padding

    def loss(model: nn.Module) -> float:
        return float(score(model, test, padding=padding)["nll"])

    return barrier(start, end, loss, points=POINTS, batches=inputs)


def written_symmetries(model: nn.Module) -> tuple[Symmetry, ...] | None:
    """The symmetries of a network for sentences, which its modules do not show; None for other networks.

    For a Transformer these are the features of its residual stream, the heads of each block and the units of
    its feed-forward layer; for an LSTM the features of the embedding and the units of each layer.
    """
    if isinstance(model, Transformer):
        return (_stream(model), *(each for k in range(len(model.blocks)) for each in _of_block(model, k)))
    if isinstance(model, LSTM):
        tied = isinstance(model.head, TiedHead)
        reader = Place("head.project.weight" if tied else "head.weight", 1)
        projected = [Place("head.project.weight", 0), Place("head.project.bias", 0)] if tied else []
        features = (*_embedded(model.head), *projected, Place("states.weight_ih_l0", 1))
        embedding = Symmetry("embedding", model.embedding.embedding_dim, features)
        return (embedding, *recurrent_units("states", model.states, [reader]))
    return None


def _stream(model: Transformer) -> Symmetry:
    """The features of the residual stream: LayerNorm treats all alike, so that they may be permuted."""
    norms = ["norm"]
    places = [*_embedded(model.head), Place("positions.weight", 1)]
    places += [] if model.first is None else [Place("first", 0)]
    for k in range(len(model.blocks)):
        name = f"blocks.{k}"
        norms += [f"{name}.norm1", f"{name}.norm2"]
        places += [Place(f"{name}.{reader}.weight", 1) for reader in ("attend", "expand")]
        writers = (f"{name}.{writer}.{part}" for writer in ("mix", "contract") for part in ("weight", "bias"))
        places += [Place(tensor, 0) for tensor in writers]
    places += [Place(f"{norm}.{part}", 0) for norm in norms for part in ("weight", "bias")]
    places += [] if isinstance(model.head, TiedHead) else [Place("head.weight", 1)]
    return Symmetry("stream", model.embedding.embedding_dim, tuple(places))


def _embedded(head: nn.Module) -> list[Place]:
    """The features of the embedding; the state dict has a tied head's weights under a second name too."""
    names = ["embedding.weight", *(["head.tokens.weight"] if isinstance(head, TiedHead) else [])]
    return [Place(name, 1) for name in names]


def _of_block(model: Transformer, place: int) -> tuple[Symmetry, Symmetry]:
    """The heads of a block, and the units of its feed-forward layer."""
    block, name = model.blocks[place], f"blocks.{place}"
    assert isinstance(block, Block)
    width, units = block.mix.in_features // block.heads, block.expand.out_features
    stacked = (f"{name}.attend.weight", f"{name}.attend.bias")
    inner = (Place(f"{name}.expand.weight", 0), Place(f"{name}.expand.bias", 0))
    return (
        heads(name, block.heads, width, stacked=stacked, output=f"{name}.mix.weight"),
        Symmetry(f"{name}.expand", units, (*inner, Place(f"{name}.contract.weight", 1))),
    )
