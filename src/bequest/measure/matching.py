"""Weight matching: the order of hidden units in which two networks' weights are most alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

from bequest.errors import ModelError
from bequest.measure.arrays import Floats
from bequest.measure.basins import same_architecture
from bequest.measure.symmetries import Place, Symmetry, check_places, permuted, reordered, symmetries_of
from bequest.seeding import numpy_generator

SWEEPS = 100
"""A bound on the rounds; each improves the inner product, so that they end by themselves much earlier."""


@dataclass(frozen=True, slots=True)
class Matched:
    """A network with its hidden units in the order of another's.

    Attributes:
        model: A copy that computes the same function as the original.
        orders: For each symmetry, the original's unit at each position.
        before: Inner product of the two networks' permutable weights before.
        after: The same after; never below ``before``.
        sweeps: Rounds over all symmetries until nothing changed.
    """

    model: nn.Module
    orders: dict[str, Tensor]
    before: float
    after: float
    sweeps: int


def match_weights(
    model: nn.Module, reference: nn.Module, *, symmetries: Sequence[Symmetry] | None = None, seed: int = 0
) -> Matched:
    """``model`` with its hidden units in the order in which its weights are most like ``reference``'s.

    Coordinate ascent on the inner product of weights (Ainsworth, Hayase & Srinivasa 2023, weight matching):
    one symmetry at a time is solved exactly as an assignment problem while the others are fixed, in an order
    drawn from ``seed``, until a whole round changes nothing. The optimum is local. Units that act on two axes
    of one tensor, as those of a recurrent layer do, make a quadratic assignment: its linear part at the
    current order is solved, and the new order is accepted only if weights become more alike.

    Args:
        model: The network to permute; it is not changed.
        reference: Another of the same architecture.
        symmetries: Its interchangeable units; None derives them (:func:`~bequest.measure.symmetries_of`).
            Check your own with :func:`~bequest.measure.check_symmetries`.
        seed: Seed of the order of rounds.

    Raises:
        ModelError: If the architectures differ, or no symmetry is known.

    >>> model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    >>> shuffled = permuted(model, symmetries_of(model), {"0": torch.randperm(8)})
    >>> torch.equal(match_weights(shuffled, model).model[0].weight, model[0].weight)
    True
    """
    same_architecture(model, reference)
    groups = tuple(symmetries_of(model) if symmetries is None else symmetries)
    if not groups:
        raise ModelError("no symmetries were given", expected="one Symmetry or more")
    check_places(model, groups)
    weights, goal = _weights(model), _weights(reference)
    orders = {group.name: torch.arange(group.size) for group in groups}
    generator = numpy_generator(seed, "weight matching")
    before = _product(weights, goal, groups, orders)
    sweeps, moved = 0, True
    while moved and sweeps < SWEEPS:
        order = generator.permutation(len(groups))
        moved = sum(_improve(groups[k], groups, weights, goal, orders) for k in order) > 0
        sweeps += 1
    after = _product(weights, goal, groups, orders)
    return Matched(permuted(model, groups, orders), orders, before, after, sweeps)


def _weights(model: nn.Module) -> dict[str, Tensor]:
    """The tensors that are compared: parameters, not running statistics."""
    # In float64: gains are compared up to 1e-12 of their sum.
    return {name: tensor.detach().double() for name, tensor in model.named_parameters()}


def _improve(
    group: Symmetry,
    groups: Sequence[Symmetry],
    weights: dict[str, Tensor],
    goal: dict[str, Tensor],
    orders: dict[str, Tensor],
) -> bool:
    """Solve one symmetry exactly with the others fixed; returns whether its order changed."""
    gains = np.zeros((group.size, group.size))
    for place in group.places:
        if place.tensor in weights:
            other = _arranged(place.tensor, weights, groups, orders, without=place)
            gains += _by_unit(goal[place.tensor], place, group.size) @ _by_unit(other, place, group.size).T
    now = orders[group.name].numpy()
    _, best = linear_sum_assignment(gains, maximize=True)
    rows = np.arange(group.size)
    # An improvement by rounding alone must not count: equal orders would alternate until SWEEPS is reached.
    margin = 1e-12 * np.abs(gains).sum()
    if gains[rows, best].sum() <= gains[rows, now].sum() + margin:
        return False
    changed = {**orders, group.name: torch.from_numpy(best.astype(np.int64))}
    # With two axes in one tensor only the linear part was solved: the product itself must grow too.
    twice = len({place.tensor for place in group.places}) < len(group.places)
    if twice and _product(weights, goal, groups, changed) <= _product(weights, goal, groups, orders) + margin:
        return False
    orders[group.name] = changed[group.name]
    return True


def _arranged(
    name: str,
    weights: dict[str, Tensor],
    groups: Sequence[Symmetry],
    orders: dict[str, Tensor],
    *,
    without: Place | None = None,
) -> Tensor:
    """One tensor under the current orders of all its places except one."""
    tensor = weights[name]
    for group in groups:
        for place in group.places:
            if place.tensor == name and place != without:
                tensor = reordered(tensor, place, orders[group.name])
    return tensor


def _by_unit(tensor: Tensor, place: Place, size: int) -> Floats:
    """The numbers of each unit, (size, ...)."""
    blocks = tensor.movedim(place.axis, 0).reshape(place.outer, size, place.inner, -1)
    units: Floats = blocks.transpose(0, 1).reshape(size, -1).numpy()
    return units


def _product(
    weights: dict[str, Tensor], goal: dict[str, Tensor], groups: Sequence[Symmetry], orders: dict[str, Tensor]
) -> float:
    """The inner product of all weights that an order permutes."""
    names = sorted({place.tensor for group in groups for place in group.places if place.tensor in weights})
    return float(sum((_arranged(name, weights, groups, orders) * goal[name]).sum() for name in names))
