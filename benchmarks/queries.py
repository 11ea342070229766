"""Seconds to choose 1,000 of 31,128 queries by each design, one torch thread: `python benchmarks/queries.py`.

The pool is every training digit in each of its 24 moves by up to 2 pixels; the student is the MLP of the
`digits` study, whose last hidden layer has 256 features, the teachers are MLPs too. ``asking`` is the time
that the networks need to answer the pool, ``choosing`` what the choice takes besides, in processor time.
Prints JSON.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Iterator
from typing import get_args

import torch
from torch import Tensor

from bequest.data import load_dataset
from bequest.data.batches import Batches
from bequest.data.designs import PoolFeatures
from bequest.data.queries import ActiveSpec, By, Source
from bequest.data.streams import Drawn
from bequest.data.views import ShiftEach
from bequest.distill.live import LiveTeachers
from bequest.distill.ranking import Ranking
from bequest.distill.teachers import Teacher
from bequest.models.catalogue import build_for

BUDGET = 1000
LIMIT = 1.0
"""Seconds that choosing may take."""


class Timed:
    """A ranking that notes how long the networks took."""

    def __init__(self, ranking: Ranking) -> None:
        self.ranking, self.seconds = ranking, 0.0

    def __call__(self, spec: ActiveSpec, pool: Iterator[Drawn]) -> Tensor | PoolFeatures:
        """What the ranking says."""
        begin = time.process_time()
        answer = self.ranking(spec, pool)
        self.seconds += time.process_time() - begin
        return answer


def timed(by: By, repeats: int) -> dict[str, float]:
    """The least time of a few turns, in seconds: asking the networks, and choosing."""
    data = load_dataset("digits")
    student, *teachers = (build_for("mlp", data, seed=seed, hidden=[256, 256]) for seed in range(3))
    best = {"asking": float("inf"), "choosing": float("inf")}
    for _ in range(repeats):
        active = ActiveSpec(by=by, budget=BUDGET, rounds=1)
        pool = data["train"].unlabelled()
        source = Source("pool", pool, ShiftEach(pixels=2), view_count=24, active=active)
        signal = LiveTeachers([Teacher(teacher) for teacher in teachers], (source,))
        rank = Timed(Ranking(student, signal, sources=(source,)))
        batches = Batches((source,), batch=64, seed=0, steps=100, rank=rank)
        begin = time.process_time()
        batches.at(0)
        seconds = time.process_time() - begin
        assert len(batches.state()["pool"][0].unique()) == BUDGET
        best["asking"] = min(best["asking"], rank.seconds)
        best["choosing"] = min(best["choosing"], seconds - rank.seconds)
    return {name: round(value, 3) for name, value in best.items()}


def main() -> None:
    """Time every design."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    seconds = {by: timed(by, options.repeats) for by in get_args(By)}
    slowest = max(each["choosing"] for each in seconds.values())
    print(
        json.dumps(
            {
                "machine": platform.machine(),
                "torch": torch.__version__,
                "pool": 31_128,
                "budget": BUDGET,
                "seconds": seconds,
                "slowest": slowest,
                "limit": LIMIT,
                "holds": slowest <= LIMIT,
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
