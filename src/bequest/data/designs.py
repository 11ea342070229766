"""Designs of queries: which of a pool a teacher is asked, all at once or in rounds.

Each design returns rows of the pool, int64 (count,), distinct and without those that were chosen before.
Budgets are counted in queries: each costs one answer of the teacher.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from bequest.errors import DataError
from bequest.seeding import torch_generator

Rows = Int[Tensor, " _"]


@dataclass(frozen=True)
class PoolFeatures:
    """What a network shows on each query of a pool, for designs that spread over it.

    Attributes:
        features: The student's last hidden layer (or the inputs), float (N, D).
        residuals: For ``badge``, (N, C): the student's probabilities minus the teacher's; for the
            teacher-free ``badge_clean`` minus its own on the clean sample.
    """

    features: Tensor
    residuals: Tensor | None = None


def highest(scores: Float[Tensor, " n"], count: int, *, chosen: Rows | None = None) -> Rows:
    """The ``count`` rows with the largest scores; of equal ones the first.

    Raises:
        DataError: If the pool has not so many rows left.

    >>> highest(torch.tensor([0.1, 0.9, 0.5]), 2)
    tensor([1, 2])
    """
    _check(len(scores), count, chosen)
    ranked = scores.double().cpu().clone()
    if chosen is not None:
        ranked[chosen.cpu()] = -torch.inf
    best: Tensor = ranked.argsort(descending=True, stable=True)[:count]
    return best


def stratified(samples: int, views: int, count: int, *, seed: int, chosen: Rows | None = None) -> Rows:
    """Queries that use each view equally often and each sample equally often, to within one.

    Query q is sample q mod ``samples`` in view q // ``samples``. Up to ``samples`` queries, no sample comes
    twice. A later round continues the earlier ones: the k-th query follows from (seed, k) alone.

    Args:
        samples: Samples in the pool.
        views: Views of each.
        count: Queries to choose.
        seed: Seeds the order of samples and of views.
        chosen: Those that earlier rounds chose by the same seed.

    Raises:
        DataError: If the pool has not so many queries left.
    """
    _check(samples * views, count, chosen)
    first = 0 if chosen is None else len(chosen)
    generator = torch_generator(seed, "stratified queries")
    sample_order = torch.randperm(samples, generator=generator)
    view_order = torch.randperm(views, generator=generator)
    k = torch.arange(first, first + count)
    # (k mod samples, k mod views) repeats after the least common multiple: one view on, no pair comes twice
    view = (k + k // math.lcm(samples, views)) % views
    rows: Tensor = view_order[view] * samples + sample_order[k % samples]
    return rows


def moves(shown: Tensor, clean: Tensor) -> Float[Tensor, " n"]:
    """How far each view moved its sample: the Euclidean distance of their inputs; the score of ``far``.

    Args:
        shown: (N, ...).
        clean: As ``shown``.
    """
    away: Tensor = (shown.double() - clean.double()).flatten(1).norm(dim=1)
    return away


def coverage(features: Float[Tensor, "n d"], count: int, *, chosen: Rows | None = None) -> Rows:
    """Greedy k-centre: each next row is the one farthest from all chosen so far.

    Its covering radius is at most twice the best possible. The first row, where none is chosen yet, is the
    one nearest to the mean.

    Raises:
        DataError: If the pool has not so many rows left, or features are not finite.

    Source: Gonzalez 1985, "Clustering to minimize the maximum intercluster distance"; as a choice of queries
    Sener & Savarese 2018, algorithm 1.

    >>> coverage(torch.tensor([[0.0], [1.0], [9.0], [4.0]]), 3)
    tensor([3, 2, 0])
    """
    _check(len(features), count, chosen)
    space = _Space(features)
    if chosen is None or not len(chosen):
        first = (features - features.mean(0)).square().sum(1).argmin()
        picked = [int(first)]
        nearest = space.squared_distances(picked[0])
    else:
        picked, nearest = [], space.nearest(chosen)
    nearest[[*picked, *([] if chosen is None else chosen.tolist())]] = -1.0  # a chosen row never wins a tie
    while len(picked) < count:
        row = int(nearest.argmax())
        picked.append(row)
        torch.minimum(nearest, space.squared_distances(row), out=nearest)
        nearest[row] = -1.0
    return torch.tensor(picked, dtype=torch.int64)


def badge(
    residuals: Float[Tensor, "m c"],
    features: Float[Tensor, "n d"],
    count: int,
    *,
    seed: int,
    chosen: Rows | None = None,
) -> Rows:
    """k-means++ on the gradients of the last layer, residual ⊗ features, which are never built.

    Each next row is drawn with a chance in proportion to its squared distance from the chosen; the first row
    is the longest gradient. Distances of outer products follow from the factors: ⟨r⊗h, s⊗g⟩ = ⟨r, s⟩⟨h, g⟩.

    Args:
        residuals: The student's probabilities minus the teacher's, or (teacher-free) minus those on the clean
            sample.
        features: The student's last hidden layer.
        count: Queries to choose.
        seed: Seeds the draws.
        chosen: Rows of earlier rounds.

    Raises:
        DataError: If the pool has not so many rows left, or numbers are not finite.

    Source: Ash et al. 2020, "Deep batch active learning by diverse, uncertain gradient lower bounds",
    algorithm 1.
    """
    _check(len(features), count, chosen)
    space = _Space(features, residuals)
    taken = [] if chosen is None else chosen.tolist()
    picked: list[int] = []
    if taken:
        nearest = space.nearest(torch.tensor(taken))
    else:
        picked = [int(space.norms.argmax())]
        nearest = space.squared_distances(picked[0])
    free = torch.ones(len(features), dtype=torch.bool)
    free[[*taken, *picked]] = False
    nearest[~free] = 0.0
    draws = torch.rand(count, generator=torch_generator(seed, "badge", len(taken)), dtype=torch.float64)
    while len(picked) < count:
        mass = nearest.cumsum(0)
        if float(mass[-1]) > 0:
            row = int(
                torch.searchsorted(mass, draws[len(picked)] * mass[-1], right=True).clamp(max=len(mass) - 1)
            )
        else:  # every free row equals a chosen one
            row = int(free.to(torch.uint8).argmax())
        picked.append(row)
        torch.minimum(nearest, space.squared_distances(row), out=nearest)
        free[row] = False
        nearest[row] = 0.0
    return torch.tensor(picked, dtype=torch.int64)


class _Space:
    """Squared distances between rows of one matrix, or between outer products of the rows of two."""

    def __init__(self, features: Tensor, residuals: Tensor | None = None) -> None:
        self._factors = [part.detach().cpu().double() for part in (features, residuals) if part is not None]
        if not all(bool(torch.isfinite(part).all()) for part in self._factors):
            raise DataError("queries cannot be spread over such features", got="NaN or infinity")
        if len({len(part) for part in self._factors}) > 1:
            raise DataError(
                "features and residuals are of different queries", got=[len(part) for part in self._factors]
            )
        # single precision is enough for distances and twice as fast; norms are summed in double
        self.norms = torch.stack([part.square().sum(1) for part in self._factors]).prod(0)
        self._narrow = [part.float() for part in self._factors]

    def squared_distances(self, row: int) -> Tensor:
        """From ``row`` to every row, (N,), in double precision."""
        products = [part @ part[row] for part in self._narrow]
        inner = products[0] if len(products) == 1 else products[0] * products[1]
        return (self.norms + self.norms[row] - 2 * inner.double()).clamp_(min=0.0)

    def nearest(self, rows: Tensor) -> Tensor:
        """The squared distance of every row to the nearest of ``rows``, (N,)."""
        nearest = torch.full((len(self.norms),), torch.inf, dtype=torch.float64)
        for row in rows.tolist():
            torch.minimum(nearest, self.squared_distances(row), out=nearest)
        return nearest


def _check(size: int, count: int, chosen: Rows | None) -> None:
    left = size - (0 if chosen is None else len(chosen))
    if not 0 <= count <= left:
        raise DataError("the pool has not so many queries left", expected=f"0..{left}", got=count)
