"""Designs of queries: which rows of a pool a teacher is asked about, at once or in rounds.

Each design returns rows of the pool, int64 (count,), distinct and without those chosen before. Budgets are
counted in queries: each costs one answer of the teacher.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from bequest.data.spreading import Frontier, Space, farthest_first, in_proportion
from bequest.errors import DataError
from bequest.seeding import torch_generator

Rows = Int[Tensor, " _"]


@dataclass(frozen=True)
class PoolFeatures:
    """Features of each query of a pool, for designs that spread over it.

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
        DataError: If the pool has fewer rows left.

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

    Query q is sample q mod ``samples`` in view q // ``samples``. No sample is repeated within ``samples``
    queries. A later round continues the earlier ones: the k-th query depends on (seed, k) alone.

    Args:
        samples: Samples in the pool.
        views: Views of each.
        count: Queries to choose.
        seed: Seeds the order of samples and of views.
        chosen: Queries that earlier rounds chose with the same seed.

    Raises:
        DataError: If more queries are asked for than the pool has left.
    """
    _check(samples * views, count, chosen)
    first = 0 if chosen is None else len(chosen)
    generator = torch_generator(seed, "stratified queries")
    sample_order = torch.randperm(samples, generator=generator)
    view_order = torch.randperm(views, generator=generator)
    k = torch.arange(first, first + count)
    # (k mod samples, k mod views) repeats after their least common multiple; shifting the view by one after
    # each repetition visits every pair once.
    view = (k + k // math.lcm(samples, views)) % views
    rows: Tensor = view_order[view] * samples + sample_order[k % samples]
    return rows


def far(moved: Float[Tensor, "v n"], count: int, *, seed: int, chosen: Rows | None = None) -> Rows:
    """Queries that move their sample more than its median view does, each view and sample equally often.

    The order is that of :func:`stratified`, far queries first, so that a later round continues the earlier
    ones. The longest moves by themselves would be the same few views of the same few samples.

    Args:
        moved: How far each view moves each sample; see :func:`moves`.
        count: Queries to choose.
        seed: Seeds the order.
        chosen: Queries that earlier rounds chose with the same seed.

    Raises:
        DataError: If more queries are asked for than the pool has left.
    """
    views, samples = moved.shape
    _check(samples * views, count, chosen)
    order = stratified(samples, views, samples * views, seed=seed)
    is_far = (moved > moved.median(0).values).flatten().cpu()[order]
    first = 0 if chosen is None else len(chosen)
    return torch.cat([order[is_far], order[~is_far]])[first : first + count]


def moves(shown: Tensor, clean: Tensor) -> Float[Tensor, " n"]:
    """The Euclidean distance of each view from its sample, for :func:`far`.

    Args:
        shown: (N, ...).
        clean: As ``shown``.
    """
    away: Tensor = (shown.double() - clean.double()).flatten(1).norm(dim=1)
    return away


def coverage(features: Float[Tensor, "n d"], count: int, *, chosen: Rows | None = None) -> Rows:
    """Greedy k-centre: each next row is the one farthest from all chosen so far.

    Its covering radius is at most twice the smallest possible. The very first row is the one nearest to the
    mean.

    Raises:
        DataError: If the pool has fewer rows left, or features are not finite.

    Source: Gonzalez 1985, "Clustering to minimize the maximum intercluster distance"; as a choice of queries
    Sener & Savarese 2018, algorithm 1.

    >>> coverage(torch.tensor([[0.0], [1.0], [9.0], [4.0]]), 3)
    tensor([3, 2, 0])
    """
    _check(len(features), count, chosen)
    frontier = Frontier(Space(features), [] if chosen is None else chosen.tolist())
    first: list[int] = []
    if count and (chosen is None or not len(chosen)):
        first = [int((features - features.mean(0)).square().sum(1).argmin())]
        frontier.take(first[0])
    return torch.tensor(first + farthest_first(frontier, count - len(first)), dtype=torch.int64)


def badge(
    residuals: Float[Tensor, "m c"],
    features: Float[Tensor, "n d"],
    count: int,
    *,
    seed: int,
    chosen: Rows | None = None,
) -> Rows:
    """k-means++ on the gradients of the last layer, residual ⊗ features, which are never built.

    Each next row is drawn with probability proportional to its squared distance from the chosen rows; the
    first row is the longest gradient. Distances of outer products are computed from the factors:
    ⟨r⊗h, s⊗g⟩ = ⟨r, s⟩⟨h, g⟩.

    Args:
        residuals: The student's probabilities minus the teacher's, or (teacher-free) minus those on the clean
            sample.
        features: The student's last hidden layer.
        count: Queries to choose.
        seed: Seeds the draws.
        chosen: Rows of earlier rounds.

    Raises:
        DataError: If the pool has fewer rows left, or numbers are not finite.

    Source: Ash et al. 2020, "Deep batch active learning by diverse, uncertain gradient lower bounds",
    algorithm 1.
    """
    _check(len(features), count, chosen)
    earlier = [] if chosen is None else chosen.tolist()
    frontier = Frontier(Space(features, residuals), earlier)
    first: list[int] = []
    if count and not earlier:
        first = [int(frontier.space.norms.argmax())]
        frontier.take(first[0])
    generator = torch_generator(seed, "badge", len(earlier))
    return torch.tensor(first + in_proportion(frontier, count - len(first), generator), dtype=torch.int64)


def _check(size: int, count: int, chosen: Rows | None) -> None:
    left = size - (0 if chosen is None else len(chosen))
    if not 0 <= count <= left:
        raise DataError("more queries are asked for than the pool has left", expected=f"0..{left}", got=count)
