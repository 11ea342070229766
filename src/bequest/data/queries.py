"""Sources of a student's inputs, and of the queries to its teachers."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor

from bequest.config import Config
from bequest.data.datasets import Split
from bequest.data.views import Identity, View

Generate = Callable[[int, torch.Generator], Tensor]
"""Makes inputs: ``generate(rows, generator)``; random numbers come from the generator alone."""


By = Literal[
    "divergence", "entropy", "disagreement", "random",
    "stratified", "far", "coverage", "coverage_inputs", "badge", "badge_clean",
]  # fmt: skip
SPREADING = frozenset({"coverage", "badge", "badge_clean"})
"""Designs that need :class:`bequest.data.designs.PoolFeatures` instead of one number per query."""

AMONG_VIEWS = frozenset({"far", "badge_clean"})
"""Designs that compare a view with its sample."""

TEACHERS_NEEDED = {"divergence": 1, "badge": 1, "disagreement": 2}
"""Rankings that need teachers, and how many. Teachers answer the whole pool before a query is chosen, so the
cost is the size of the pool; with any other ranking they answer the chosen queries only."""


BLIND = frozenset({"random", "stratified", "far", "coverage_inputs", "disagreement"})
"""Choices that do not depend on the student: rounds would only delay the queries."""


class ActiveSpec(Config):
    """The choice of queries from a pool, made in rounds while the student learns.

    Each round chooses among the rest of the pool and adds to the queries already chosen; the student is shown
    the chosen ones only. The pool is every sample in each of the source's views.

    Attributes:
        by: A ranking: ``divergence`` of the student from its teachers, KL(teacher ‖ student); ``entropy``
            of the student; ``disagreement`` of two or more teachers, their Jensen-Shannon divergence. Or a
            design: ``stratified``, each view and each sample equally often; ``far``, the same, but first
            the half of a sample's views that moves it most; ``coverage`` and ``coverage_inputs``, k-centre
            in the student's features or in the inputs; ``badge``, k-means++ on the gradients given the
            teacher's answers, and ``badge_clean`` given the student's own on the clean sample. Or
            ``random``, the control of the same size.
        budget: Queries chosen in all.
        rounds: Number of rounds, of equal size up to one query. Choices that do not depend on the student
            (``random``, ``stratified``, ``far``, ``coverage_inputs``, ``disagreement``) have one by default.
        every: Epochs between two rounds; default: the rounds are spread evenly over the run.
        temperature: Softens the probabilities that the ranking uses.
    """

    by: By = "divergence"
    budget: int = Field(ge=1)
    rounds: int = Field(8, ge=1)
    every: int | None = Field(None, ge=1)
    temperature: float = Field(1.0, gt=0)

    @model_validator(mode="before")
    @classmethod
    def _blind_at_once(cls, fields: object) -> object:
        # Before validation, while "not given" can be told from the default. Sorted into a list, since ``by``
        # has not been validated either and may have no hash.
        if isinstance(fields, Mapping) and "rounds" not in fields and fields.get("by") in sorted(BLIND):
            return {**fields, "rounds": 1}
        return fields

    @model_validator(mode="after")
    def _something_each_round(self) -> ActiveSpec:
        if self.budget < self.rounds:
            raise ValueError(f"a budget of {self.budget} cannot be spread over {self.rounds} rounds")
        return self

    @property
    def asks_teachers(self) -> bool:
        """True if teachers answer the whole pool before it can be ranked."""
        return self.by in TEACHERS_NEEDED

    def answers(self, pool: int) -> int:
        """Answers asked of each teacher in all, for a pool of this many queries.

        >>> ActiveSpec(by="coverage", budget=9).answers(1000), ActiveSpec(by="badge", budget=9).answers(1000)
        (9, 1000)
        """
        return pool if self.asks_teachers else self.budget

    def faults(self, *, plain: bool, view_count: int | None, samples: int | None = None) -> list[str]:
        """Reasons why this cannot choose from a pool; empty if it can.

        Args:
            plain: Whether the pool's samples are not augmented.
            view_count: The number of views of each sample; None for a new view every pass.
            samples: The number of samples, if known.

        >>> ActiveSpec(budget=70).faults(plain=True, view_count=None, samples=60)
        ['active.budget: 70 queries cannot be chosen from a pool of 60']
        """
        faults = []
        if not plain and view_count is None:
            faults.append("active: a pool of views is finite only with a view_count")
        if plain and self.by in AMONG_VIEWS:
            faults.append(f"active.by: {self.by!r} chooses among views of the samples, and there are none")
        size = None if samples is None else samples * (1 if plain else view_count or 1)
        if size is not None and self.budget > size:
            faults.append(f"active.budget: {self.budget} queries cannot be chosen from a pool of {size}")
        return faults

    def starts(self, *, steps: int, steps_per_epoch: int) -> list[int]:
        """The step before which each round chooses; rounds that the run does not reach are left out.

        >>> ActiveSpec(budget=9, rounds=4).starts(steps=100, steps_per_epoch=10)
        [0, 25, 50, 75]
        >>> ActiveSpec(budget=9, rounds=4, every=4).starts(steps=100, steps_per_epoch=10)
        [0, 40, 80]
        """
        if self.every is None:
            return [k * steps // self.rounds for k in range(self.rounds)]
        starts = [k * self.every * steps_per_epoch for k in range(self.rounds)]
        return [start for start in starts if start < max(1, steps)]

    def sizes(self) -> list[int]:
        """Queries added by each round.

        >>> ActiveSpec(budget=10, rounds=4).sizes()
        [2, 3, 2, 3]
        """
        # Differences of rounded edges, so that the sizes sum to the budget.
        edges = [k * self.budget // self.rounds for k in range(self.rounds + 1)]
        return [b - a for a, b in itertools.pairwise(edges)]


@dataclass(frozen=True)
class Source:
    """Samples that a student trains on, with their share of every batch.

    Attributes:
        name: The source's name, which seeds its order.
        split: The samples. Rows without labels are unlabelled queries.
        view: Augmentation of the samples; view ids count the passes over the source.
        share: Fraction of each batch's rows, in (0, 1].
        view_count: Epoch e shows view e modulo this count; None for a new view every epoch.
        view_seed: Seeds the views; None for the run's seed. A store of answers has its own.
        student_view: A further view for the student alone, such as a degraded image; teachers get the input
            that it is made from. There are as many as views; for chosen queries, a new one each pass.
        active: Ask about a chosen part only; needs a ``view_count`` unless samples are not augmented.
    """

    name: str
    split: Split
    view: View
    share: float = 1.0
    view_count: int | None = None
    view_seed: int | None = None
    active: ActiveSpec | None = None
    student_view: View | None = None

    @property
    def plain(self) -> bool:
        """True if the samples are not augmented."""
        return isinstance(self.view, Identity)

    @property
    def labelled(self) -> bool:
        """True if its rows have labels."""
        return self.split.y is not None


@dataclass(frozen=True)
class Generated:
    """An endless source of unlabelled inputs, generated for each step.

    Attributes:
        name: The source's name, which seeds the generator.
        generate: ``generate(rows, generator)`` makes ``rows`` inputs; the generator is seeded by (seed,
            name, step), so that a step's inputs never depend on the steps before it.
        share: Fraction of each batch's rows, in (0, 1].
        spec: A description of ``generate`` as plain values for records, if there is one.

    >>> noise = Generated("noise", lambda rows, generator: torch.rand(rows, 1, 8, 8, generator=generator))
    """

    name: str
    generate: Generate
    share: float = 1.0
    spec: Any = None

    @property
    def plain(self) -> bool:
        """False: no input is repeated, so no answer can be looked up."""
        return False

    @property
    def labelled(self) -> bool:
        """False: generated inputs have no labels."""
        return False


AnySource = Source | Generated
