"""Robustness: scores on corrupted images, compared with clean ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

from bequest.data.corruptions import MNIST_C, Corruption
from bequest.errors import DataError
from bequest.measure.accuracy import accuracy
from bequest.measure.arrays import Array
from bequest.measure.undefined import Undefined, code_of, no_samples, reason_of
from bequest.measures import Reason

Answer = Callable[[Tensor], Array]
"""Maps images (N, C, H, W) in [0, 1] to scores (N, K): a model in eval mode with its normalisation."""

Score = Callable[[Array, Array], float]
"""(scores, labels) -> a number that is higher for better models, such as accuracy."""


@dataclass(frozen=True, slots=True)
class SeverityCurve:
    """A score at each level of a corruption.

    Attributes:
        name: The corruption.
        levels: (L,), 0 is clean.
        values: (L,), the score at each level.
    """

    name: str
    levels: Int[np.ndarray, " l"]
    values: Float[np.ndarray, " l"]

    @property
    def relative(self) -> float:
        """The mean over levels above 0 of value / clean value; NaN with a reason if it is undefined."""
        clean, corrupted = float(self.values[0]), self.values[1:]
        if (missing := _no_share(clean)) is not None:
            return missing
        if np.isnan(corrupted).any():
            level = int(self.levels[1:][np.isnan(corrupted)][0])
            return Undefined(f"{self.name} is undefined at level {level}", Reason.UNDEFINED_PART)
        return float(corrupted.mean()) / clean


def severity_curve(
    answer: Answer,
    images: Tensor,
    ids: Tensor,
    labels: Array,
    corruption: Corruption,
    *,
    score: Score = accuracy,
    seed: int = 0,
) -> SeverityCurve:
    """``score`` of a model on clean images and at every level of ``corruption``.

    All levels share their random numbers, and all models with the same ids and seed see the same images.

    Args:
        answer: Maps images to scores.
        images: float32 (N, C, H, W) in [0, 1].
        ids: int64 (N,), sample ids.
        labels: int (N,).
        corruption: One of :data:`bequest.data.corruptions.FAMILIES`.
        score: Maps (scores, labels) to a number.
        seed: Seed of the corruption.

    Raises:
        DataError: As the corruption and the score.

    >>> import torch
    >>> from bequest.data.corruptions import brightness
    >>> x, labels = torch.tensor([0.0, 1.0]).view(2, 1, 1, 1), torch.tensor([0, 1])
    >>> def answer(images):
    ...     white = images.flatten(1)
    ...     return torch.cat([1 - white, white], 1)
    >>> severity_curve(answer, x, torch.arange(2), labels, brightness).values.tolist()
    [1.0, 1.0, 1.0, 1.0, 1.0, 1.0]
    """
    levels = range(1, len(corruption.levels) + 1)
    values = [score(answer(images), labels)]
    values += [score(answer(corruption(images, ids, level, seed=seed)), labels) for level in levels]
    return SeverityCurve(corruption.name, np.arange(len(values)), np.array(values, dtype=np.float64))


@dataclass(frozen=True, slots=True)
class Robustness:
    """Scores under several corruptions, with the clean one.

    Attributes:
        clean: The score on clean images.
        values: The score under each corruption.
        mean: The unweighted mean over corruptions.
        relative: mean / clean: the share of the clean score that is left.
    """

    clean: float
    values: dict[str, float]
    mean: float
    relative: float


def relative_to_clean(clean: float, corrupted: Mapping[str, float]) -> Robustness:
    """The mean over corruptions, as it is and relative to the clean score.

    Compare two models of different clean scores by ``relative``, and report ``clean`` with it.

    Returns:
        Means are NaN with a reason if there is no corruption, one is undefined, or the clean score is 0.

    >>> result = relative_to_clean(0.8, {"fog": 0.6, "scale": 0.2})
    >>> round(result.mean, 3), round(result.relative, 3)
    (0.4, 0.5)
    """
    values = dict(corrupted)
    lost = [name for name, value in values.items() if np.isnan(value)]
    if not values or lost:
        missing = no_samples("corruptions")
        if lost:
            missing = Undefined(f"undefined under {', '.join(lost)}", Reason.UNDEFINED_PART)
        return Robustness(clean, values, missing, missing)
    mean = float(np.mean(list(values.values())))
    no_share = _no_share(clean)
    return Robustness(clean, values, mean, mean / clean if no_share is None else no_share)


def corruption_robustness(
    answer: Answer,
    images: Tensor,
    ids: Tensor,
    labels: Array,
    *,
    corruptions: Sequence[Corruption] = MNIST_C,
    score: Score = accuracy,
    seed: int = 0,
) -> Robustness:
    """``score`` on clean images and under each of ``corruptions`` at its published level.

    Args:
        answer: Maps images to scores.
        images: float32 (N, C, H, W) in [0, 1].
        ids: int64 (N,), sample ids.
        labels: int (N,).
        corruptions: The 15 of MNIST-C, or others that have a published level.
        score: Maps (scores, labels) to a number.
        seed: Seed of the corruptions.

    Raises:
        DataError: If a corruption has no published level, or as the corruption and the score.
    """
    for corruption in corruptions:
        if corruption.published is None:
            raise DataError(
                f"the corruption {corruption.name!r} has no published level",
                expected="one of MNIST_C",
                remedy="use severity_curve, which goes over all levels",
            )
    clean = score(answer(images), labels)
    by_corruption = {c.name: score(answer(c(images, ids, seed=seed)), labels) for c in corruptions}
    return relative_to_clean(clean, by_corruption)


def _no_share(clean: float) -> Undefined | None:
    """Why a share of the clean score is undefined; None if it is defined."""
    if np.isnan(clean):
        return Undefined(f"the clean score is undefined: {reason_of(clean)}", code_of(clean) or Reason.OTHER)
    return Undefined("the clean score is 0", Reason.ZERO_REFERENCE) if clean == 0 else None
