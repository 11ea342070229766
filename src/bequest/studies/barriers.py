"""Whether two arms' solutions lie in one basin: the loss along the line between them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import nn

from bequest.distill.score import score
from bequest.measure import barrier, match_weights, seed_interval
from bequest.measure.basins import Barrier
from bequest.measure.symmetries import Place, Symmetry, heads
from bequest.models.transformer import Block, Transformer
from bequest.records import Curve, Measurement, Point
from bequest.studies.cells import PROBE_SPLIT
from bequest.studies.estimates import over_seeds
from bequest.studies.evidence import Evidence

POINTS = 11
NORM_SAMPLES = 1000
"""Training inputs on which BatchNorm's statistics are estimated anew at every point."""

FORMS = {"barrier": False, "barrier/matched": True}
"""Measure names, and whether hidden units are matched first."""


def measure_barriers(evidence: Evidence) -> list[Measurement]:
    """The barrier height in nats of every pair, before and after weight matching."""
    return [
        over_seeds(
            {seed: found.height for seed, found in lines(evidence, first, second, matched).items()},
            measure=name,
            arm=first,
            teacher=second,
            split=PROBE_SPLIT,
        )
        for first, second in evidence.plan.study.measures.barriers
        for name, matched in FORMS.items()
    ]


def barrier_curves(evidence: Evidence) -> Iterator[Curve]:
    """The loss along the way, mean and interval over seeds."""
    for first, second in evidence.plan.study.measures.barriers:
        for matched in FORMS.values():
            found = list(lines(evidence, first, second, matched).values())
            if not found:
                continue
            losses = [seed_interval(column) for column in np.stack([line.losses for line in found]).T]
            yield Curve(
                chart="barrier_after_matching" if matched else "barrier",
                arm=first,
                teacher=second,
                split=PROBE_SPLIT,
                x_title="share of the second solution",
                y_title="negative log-likelihood (nats)",
                points=tuple(
                    Point(x=float(x), y=y.value, low=y.low, high=y.high, n=y.n)
                    for x, y in zip(found[0].shares, losses, strict=True)
                ),
            )


def lines(evidence: Evidence, first: str, second: str, matched: bool) -> dict[int, Barrier]:
    """The line of each seed; an arm with itself goes from each seed to the next."""
    known: dict[tuple[str, str, bool], dict[int, Barrier]] = evidence.kept.setdefault("lines", {})
    key = (first, second, matched)
    if key not in known:
        seeds = _seeds(evidence, first, second)
        known[key] = {seed: _line(evidence, first, second, seed, matched) for seed in seeds}
    return known[key]


def _seeds(evidence: Evidence, first: str, second: str) -> list[int]:
    seeds = evidence.seeds(first, second)
    return seeds if first != second or len(seeds) > 1 else []


def _line(evidence: Evidence, first: str, second: str, seed: int, matched: bool) -> Barrier:
    seeds = evidence.seeds(first, second)
    other = seed if first != second else seeds[(seeds.index(seed) + 1) % len(seeds)]
    start, end = evidence.network(first, seed), evidence.network(second, other)
    if matched:
        end = match_weights(end, start, symmetries=_written(end)).model
    inputs = torch.split(evidence.data["train"].x[:NORM_SAMPLES], NORM_SAMPLES // 4)
    return barrier(start, end, lambda model: _loss(evidence, model), points=POINTS, batches=inputs)


def _written(model: nn.Module) -> tuple[Symmetry, ...] | None:
    """The symmetries of a network whose modules do not tell them; None for those that do."""
    if not isinstance(model, Transformer):
        return None
    found: list[Symmetry] = []
    for place, block in enumerate(model.blocks):
        assert isinstance(block, Block)
        name = f"blocks.{place}"
        width, units = block.mix.in_features // block.heads, block.expand.out_features
        stacked = (f"{name}.attend.weight", f"{name}.attend.bias")
        found.append(heads(name, block.heads, width, stacked=stacked, output=f"{name}.mix.weight"))
        inner = (Place(f"{name}.expand.weight", 0), Place(f"{name}.expand.bias", 0))
        found.append(Symmetry(f"{name}.expand", units, (*inner, Place(f"{name}.contract.weight", 1))))
    return tuple(found)


def _loss(evidence: Evidence, model: nn.Module) -> float:
    return score(model, evidence.data[PROBE_SPLIT])["nll"]
