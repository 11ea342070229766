"""Choose rows far from each other: farthest-first and k-means++ with bounds that are tightened in blocks.

Each pick may shorten the distance of every row to the nearest pick, and updating all rows after each pick is
expensive. Distances never grow, so those to earlier picks are upper bounds: both searches compare a few rows
with the latest picks, and all rows once per block of picks, by one matrix product. Both are exact.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from bequest.errors import DataError

BLOCK = 32
"""Most picks between updates of all rows."""

CANDIDATES = 1024
"""Rows that the farthest-first search keeps exact between updates of all rows."""

REJECTIONS = 16
"""Most draws that k-means++ rejects between updates of all rows."""


class Space:
    """Squared distances between rows of one matrix, or between outer products of the rows of two.

    ⟨r⊗h, s⊗g⟩ = ⟨r, s⟩⟨h, g⟩, so that no outer product is built.

    Args:
        features: (N, D).
        residuals: (N, C), or None.

    Raises:
        DataError: If they are not finite, or not of the same rows.
    """

    def __init__(self, features: Tensor, residuals: Tensor | None = None) -> None:
        factors = [part.detach().cpu().double() for part in (features, residuals) if part is not None]
        if not all(bool(torch.isfinite(part).all()) for part in factors):
            raise DataError("queries cannot be spread over such features", got="NaN or infinity")
        if len({len(part) for part in factors}) > 1:
            raise DataError(
                "features and residuals belong to different queries", got=[len(part) for part in factors]
            )
        # Single precision is enough for products and twice as fast; norms are summed in double.
        self.norms = torch.stack([part.square().sum(1) for part in factors]).prod(0)
        self._factors = [part.float() for part in factors]

    def nearest(self, picks: Sequence[int], rows: Tensor | None = None) -> Tensor:
        """The squared distance of ``rows`` (default: every row) to the nearest of ``picks``, in double."""
        norms = self.norms if rows is None else self.norms[rows]
        nearest = torch.full_like(norms, torch.inf)
        for block in torch.split(torch.tensor(picks, dtype=torch.int64), BLOCK):
            inner: Tensor | None = None
            for factor in self._factors:
                product = (factor if rows is None else factor[rows]) @ factor[block].T
                inner = product if inner is None else inner.mul_(product)
            assert inner is not None
            # |x|² is the same for all picks, so the smallest |p|² − 2⟨x, p⟩ decides.
            least = torch.add(self.norms[block].float(), inner, alpha=-2).amin(1)
            torch.minimum(nearest, norms + least.double(), out=nearest)
        return nearest.clamp_(min=0.0)


class Frontier:
    """Each row's squared distance to the nearest pick: exact at the last update, an upper bound since.

    Args:
        space: The distances.
        picks: Rows that were picked before.
    """

    def __init__(self, space: Space, picks: Sequence[int]) -> None:
        self.space = space
        self.bounds = torch.full_like(space.norms, torch.inf)
        self.free = torch.ones(len(space.norms), dtype=torch.bool)
        self.latest: list[int] = []
        self._add(picks)

    def take(self, row: int) -> None:
        """Add ``row`` to the picks."""
        self.latest.append(row)
        self.free[row] = False

    def look(self) -> None:
        """Make all distances exact."""
        picks, self.latest = self.latest, []
        self._add(picks)

    def distances(self, rows: Tensor) -> Tensor:
        """The squared distances of ``rows`` to the nearest pick, exact."""
        if not self.latest:
            return self.bounds[rows]
        return torch.minimum(self.bounds[rows], self.space.nearest(self.latest, rows))

    def _add(self, picks: Sequence[int]) -> None:
        if len(picks):
            self.free[list(picks)] = False
            torch.minimum(self.bounds, self.space.nearest(picks), out=self.bounds)


def farthest_first(frontier: Frontier, count: int) -> list[int]:
    """``count`` free rows, each the farthest from all picks before it; of equal ones the first.

    A candidate that is farther than the bound of every other row is the farthest row.
    """
    picked: list[int] = []
    while len(picked) < count:
        frontier.look()
        bounds = torch.where(frontier.free, frontier.bounds, -1.0)
        # The bound of one row beyond the candidates limits the distance of all others.
        size = min(CANDIDATES + 1, len(bounds))
        rows = bounds.topk(size).indices
        limit = float(bounds[rows[-1]]) if size < len(bounds) else -torch.inf
        rows = rows[bounds[rows] > limit].sort().values if size < len(bounds) else rows.sort().values
        if not len(rows):  # more rows are tied than there are candidates
            rows = torch.tensor([int(bounds.argmax())])
        picked += _among(frontier, rows, limit, min(BLOCK, count - len(picked)))
    return picked


def _among(frontier: Frontier, rows: Tensor, limit: float, most: int) -> list[int]:
    """Up to ``most`` picks among the candidates ``rows``; the first needs no comparison with ``limit``."""
    distances = torch.where(frontier.free[rows], frontier.bounds[rows], -1.0)
    picked: list[int] = []
    while len(picked) < most:
        best = int(distances.argmax())
        beaten = bool(picked) and float(distances[best]) <= limit
        if beaten or not bool(frontier.free[rows[best]]):
            break
        row = int(rows[best])
        frontier.take(row)
        picked.append(row)
        torch.minimum(distances, frontier.space.nearest([row], rows), out=distances)
        distances[best] = -1.0
    return picked


def in_proportion(frontier: Frontier, count: int, generator: torch.Generator) -> list[int]:
    """``count`` free rows, each drawn in proportion to its squared distance from all picks before it.

    Rejection sampling: draws are proportional to the bounds, and accepted with probability distance / bound.
    If every free row equals a pick, the first ones are taken.
    """
    picked: list[int] = []
    while len(picked) < count:
        frontier.look()
        bounds = torch.where(frontier.free, frontier.bounds, 0.0)
        mass = bounds.cumsum(0)
        if not float(mass[-1]) > 0:
            rest = frontier.free.nonzero()[: count - len(picked), 0].tolist()
            for row in rest:
                frontier.take(row)
            return picked + rest
        # The first picks shorten most bounds a lot: an update is then cheaper than rejections.
        most = min(max(1, len(picked)), BLOCK, count - len(picked))
        picked += _accepted(frontier, bounds, mass, most, generator)
    return picked


def _accepted(
    frontier: Frontier, bounds: Tensor, mass: Tensor, most: int, generator: torch.Generator
) -> list[int]:
    """Up to ``most`` accepted draws; the first is always accepted, as its bound is exact."""
    picked: list[int] = []
    draws = torch.rand(most + REJECTIONS, 2, generator=generator, dtype=torch.float64)
    rows = torch.searchsorted(mass, draws[:, 0] * mass[-1], right=True).clamp_(max=len(mass) - 1)
    for row, chance in zip(rows.tolist(), draws[:, 1].tolist(), strict=True):
        if len(picked) == most:
            break
        if not bool(frontier.free[row]):
            continue
        distance = float(frontier.distances(torch.tensor([row])))
        if chance * float(bounds[row]) < distance:
            frontier.take(row)
            picked.append(row)
    return picked
