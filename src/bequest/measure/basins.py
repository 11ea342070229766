"""Basins of attraction: losses and answers between solutions of one architecture."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm as BatchNorm

from bequest.errors import DataError, ModelError
from bequest.measure.agreement import agreement
from bequest.measure.arrays import Array, Floats, Values, at_least, same_length, vector
from bequest.measure.undefined import Undefined
from bequest.measures import Reason

T = TypeVar("T")

ONE_LINE = 1e-5
"""A third solution nearer to the line through two others than this share of its distance lies on that line,
up to the precision of float32."""

Batches = Iterable[Any]
"""Inputs (B, ...) that can be iterated repeatedly, such as a list; labels are not needed."""


def interpolated(
    first: nn.Module, second: nn.Module, share: float, *, batches: Batches | None = None
) -> nn.Module:
    """A copy of ``first`` in eval mode with weights (1 − share)·first + share·second.

    Running statistics of BatchNorm cannot be interpolated. They are re-estimated from ``batches``, also at
    the ends: plain averages over all batches, with everything else in eval mode.

    Args:
        first: A network; it is not changed.
        second: Another of the same architecture.
        share: 0 is ``first``, 1 is ``second``.
        batches: Inputs for BatchNorm, of the training set; needed if there is any BatchNorm.

    Raises:
        ModelError: If architectures differ, buffers differ that are no BatchNorm's, or batches are missing.
        DataError: If there is no batch, or they can be read only once.

    >>> a, b = nn.Linear(2, 2), nn.Linear(2, 2)
    >>> torch.equal(interpolated(a, b, 1.0).weight, b.weight)
    True
    """
    return _mixed([first, second], [1 - share, share], batches)


def along(
    first: nn.Module,
    second: nn.Module,
    evaluate: Callable[[nn.Module], T],
    *,
    points: int = 11,
    batches: Batches | None = None,
) -> list[T]:
    """``evaluate`` of the networks at ``points`` equal steps from ``first`` to ``second``, ends included.

    >>> along(nn.Linear(1, 1), nn.Linear(1, 1), lambda model: model.training, points=3)
    [False, False, False]
    """
    with torch.no_grad():
        return [evaluate(interpolated(first, second, t, batches=batches)) for t in _shares(points)]


@dataclass(frozen=True, slots=True)
class Barrier:
    """The loss along the straight line between two solutions.

    Attributes:
        shares: (P,), 0 at the first network, 1 at the second.
        losses: (P,), at each share.
        height: The most that the loss rises above the straight line between its ends; 0 if it never does.
        at: The share at which it rises most.
    """

    shares: Float[np.ndarray, " p"]
    losses: Float[np.ndarray, " p"]
    height: float
    at: float


def barrier(
    first: nn.Module,
    second: nn.Module,
    loss: Callable[[nn.Module], float],
    *,
    points: int = 11,
    batches: Batches | None = None,
) -> Barrier:
    """The barrier max_t [L(t) − (1 − t)·L(0) − t·L(1)] between two solutions; 0: they share a basin.

    Entezari et al. (2022), definition 1. Match their hidden units first
    (:func:`~bequest.measure.match_weights`), or the barrier may come from their order alone.

    Args:
        first: A network; it is not changed.
        second: Another of the same architecture.
        loss: Maps a network in eval mode to a number that is lower for better networks, such as its error or
            NLL on the test split.
        points: Points on the line, ends included.
        batches: Inputs for BatchNorm; see :func:`interpolated`.

    Raises:
        ModelError: As :func:`interpolated`.
        DataError: As :func:`interpolated`.

    >>> model = nn.Linear(1, 1)
    >>> barrier(model, model, lambda m: float(m.weight) ** 2).height < 1e-12
    True
    """
    losses = np.array(along(first, second, lambda model: float(loss(model)), points=points, batches=batches))
    shares = np.array(_shares(points))
    height = barrier_height(shares, losses)
    undefined = np.isnan(height)
    at = height if undefined else float(shares[_rise(shares, losses).argmax()])
    return Barrier(shares, losses, height, at)


def barrier_height(shares: Values, losses: Values) -> float:
    """The most that ``losses`` (P,) at ``shares`` (P,) rise above the straight line between first and last.

    NaN with a reason if a loss is not finite.

    >>> barrier_height([0.0, 0.5, 1.0], [1.0, 4.0, 3.0])
    2.0
    """
    t, heights = vector(shares, "shares"), vector(losses, "losses")
    at_least(same_length(shares=t, losses=heights), 2, "the number of points")
    if not np.isfinite(heights).all():
        reason = f"the loss is not finite at share {t[~np.isfinite(heights)][0]:g}"
        return Undefined(reason, Reason.NOT_FINITE)
    return float(max(_rise(t, heights).max(), 0.0))


@dataclass(frozen=True, slots=True)
class FunctionPath:
    """Predictions of the networks between two solutions.

    Attributes:
        shares: (P,), 0 at the first network, 1 at the second.
        to_first: (P,), agreement with the first network's answers.
        to_second: (P,), agreement with the second's.
    """

    shares: Float[np.ndarray, " p"]
    to_first: Float[np.ndarray, " p"]
    to_second: Float[np.ndarray, " p"]


def function_path(
    first: nn.Module,
    second: nn.Module,
    predict: Callable[[nn.Module], Array],
    *,
    points: int = 11,
    batches: Batches | None = None,
) -> FunctionPath:
    """Function-space similarity along the straight line: agreement with both ends.

    In one basin agreement moves from one end to the other; across a barrier it falls to chance in between.

    Args:
        first: A network; it is not changed.
        second: Another of the same architecture.
        predict: Maps a network in eval mode to its predicted classes, int (N,).
        points: Points on the line, ends included.
        batches: Inputs for BatchNorm; see :func:`interpolated`.
    """
    answers = along(first, second, predict, points=points, batches=batches)
    to_first, to_second = (np.array([agreement(a, answers[end]) for a in answers]) for end in (0, -1))
    return FunctionPath(np.array(_shares(points)), to_first, to_second)


@dataclass(frozen=True, slots=True)
class Plane:
    """The loss on the plane through three solutions.

    Attributes:
        x: (S,), coordinates along the way from the first to the second, in units of weight distance.
        y: (S,), coordinates at right angles to it.
        losses: (S, S), rows along y.
        corners: (3, 2), coordinates of the three solutions.
    """

    x: Float[np.ndarray, " s"]
    y: Float[np.ndarray, " s"]
    losses: Float[np.ndarray, "s s"]
    corners: Float[np.ndarray, "3 2"]


def plane(
    models: Sequence[nn.Module],
    loss: Callable[[nn.Module], float],
    *,
    steps: int = 11,
    margin: float = 0.2,
    batches: Batches | None = None,
) -> Plane:
    """The loss on a grid over the plane through three solutions of one architecture (Garipov et al. 2018).

    Args:
        models: Three networks; they are not changed.
        loss: Maps a network in eval mode to a number.
        steps: Grid points on each side.
        margin: How far the grid reaches beyond the solutions, as a share of their extent.
        batches: Inputs for BatchNorm; see :func:`interpolated`.

    Raises:
        ModelError: If they are not three, of one architecture and not on one line.
    """
    at_least(steps, 2, "steps")
    corners = _corners(models)
    low, high = corners.min(axis=0), corners.max(axis=0)
    reach = margin * (high - low)
    x, y = (np.linspace(low[k] - reach[k], high[k] + reach[k], steps) for k in (0, 1))
    losses = np.empty((steps, steps))
    for i, j in np.ndindex(steps, steps):
        # Barycentric coordinates: the first network is the origin, and the second lies on the x-axis.
        third = y[i] / corners[2, 1]
        second = (x[j] - third * corners[2, 0]) / corners[1, 0]
        with torch.no_grad():
            losses[i, j] = loss(_mixed(models, [1 - second - third, second, third], batches))
    return Plane(x, y, losses, corners)


def same_architecture(first: nn.Module, second: nn.Module) -> None:
    """Refuse two networks whose tensors differ in name, shape or type.

    Raises:
        ModelError: Names the first difference.
    """
    one, other = (
        {name: (tuple(t.shape), t.dtype) for name, t in m.state_dict().items()} for m in (first, second)
    )
    for name in sorted(set(one) | set(other)):
        if one.get(name) != other.get(name):
            raise ModelError(
                "the two networks have different architectures",
                expected=f"{name} {one.get(name, 'absent')}",
                got=f"{name} {other.get(name, 'absent')}",
            )


def _mixed(models: Sequence[nn.Module], weights: Sequence[float], batches: Batches | None) -> nn.Module:
    """A copy of the first model with the weighted sum of all their parameters; the weights sum to one."""
    for other in models[1:]:
        same_architecture(models[0], other)
        _same_buffers(models[0], other)
    mixed = copy.deepcopy(models[0]).eval()
    sources = [dict(model.named_parameters()) for model in models]
    with torch.no_grad():
        for name, parameter in mixed.named_parameters():
            # In float64 and without networks of weight 0: ends are exact copies.
            parts = [w * s[name].double() for w, s in zip(weights, sources, strict=True) if w != 0]
            parameter.copy_(torch.stack(parts).sum(dim=0))
    _renormalise(mixed, batches)
    return mixed


@torch.no_grad()
def _renormalise(model: nn.Module, batches: Batches | None) -> None:
    """Re-estimate BatchNorm's running statistics as plain averages over all batches."""
    layers = [layer for layer in _norms(model) if layer.track_running_stats]
    if not layers:
        return
    if batches is None:
        raise ModelError(
            "BatchNorm between two networks needs inputs to estimate its statistics from",
            remedy="pass batches=[inputs, ...] of the training set",
        )
    if isinstance(batches, Iterator):
        raise DataError("the batches can be read only once", expected="a list", got=type(batches).__name__)
    # momentum=None is PyTorch's cumulative average, in which every batch counts the same.
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None
        layer.train()
    seen = 0
    for batch in batches:
        if not isinstance(batch, Tensor):
            raise DataError(
                "a batch is not a tensor of inputs", expected="inputs alone", got=type(batch).__name__
            )
        if len(batch) < 2:
            continue  # one row has no variance; the last batch of a loader may be that small
        model(batch)
        seen += 1
    if not seen:
        raise DataError(
            "there is no batch to estimate BatchNorm's statistics from",
            expected="one or more, of two rows or more",
        )
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
        layer.eval()


def _norms(model: nn.Module) -> Iterator[BatchNorm]:
    return (layer for layer in model.modules() if isinstance(layer, BatchNorm))


def _same_buffers(first: nn.Module, second: nn.Module) -> None:
    """Refuse buffers that differ, except BatchNorm's statistics: they cannot be interpolated in general."""
    owned = {id(buffer) for layer in _norms(first) for buffer in layer.buffers()}
    others = dict(second.named_buffers())
    for name, buffer in first.named_buffers():
        if id(buffer) not in owned and not torch.equal(buffer, others[name]):
            raise ModelError(f"the networks differ in the buffer {name!r}", expected="equal buffers")


def _corners(models: Sequence[nn.Module]) -> Floats:
    """Coordinates of three models in their plane, (3, 2): the first at 0, the second on the axis."""
    if len(models) != 3:
        raise ModelError("a plane needs three networks", expected=3, got=len(models))
    for other in models[1:]:
        same_architecture(models[0], other)
    flat = [torch.cat([p.detach().double().flatten() for p in model.parameters()]) for model in models]
    along_x, out = flat[1] - flat[0], flat[2] - flat[0]
    width = float(along_x.norm())
    x = float(out @ along_x) / width if width > 0 else 0.0
    height = float((out - x / width * along_x).norm()) if width > 0 else 0.0
    if height <= ONE_LINE * max(width, float(out.norm())):
        raise ModelError("the three networks lie on one line", expected="three different solutions")
    return np.array([[0.0, 0.0], [width, 0.0], [x, height]])


def _shares(points: int) -> list[float]:
    at_least(points, 2, "points")
    return [k / (points - 1) for k in range(points)]


def _rise(shares: Floats, losses: Floats) -> Floats:
    line = (1 - shares) * losses[0] + shares * losses[-1]
    rise: Floats = losses - line
    return rise
