"""Proper scoring rules, which judge whole distributions instead of their argmax."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from bequest.measure.arrays import (
    Array,
    Floats,
    bin_count,
    classes,
    log_probabilities,
    precision,
    probabilities,
    same_length,
)
from bequest.measure.bins import bin_of
from bequest.measure.undefined import no_samples


def nll(log_probs: Array, labels: Array) -> float:
    """Negative log-likelihood −(1/N) Σ log p(label), in nats; 0 is perfect, log C is a uniform guess.

    Args:
        log_probs: (N, C), log-probabilities.
        labels: int, (N,), class indices.

    Returns:
        inf if a label had probability zero; NaN with a reason if there are no samples.

    Raises:
        DataError: If rows of ``log_probs`` are no log-distributions, such as logits or probabilities.

    >>> round(nll(np.log([[0.5, 0.5], [0.9, 0.1]]), np.array([0, 0])), 4)
    0.3993
    """
    table = log_probabilities(log_probs)
    truth = classes(labels, "labels", count=table.shape[1])
    if not same_length(log_probs=table, labels=truth):
        return no_samples()
    return float(-np.take_along_axis(table, truth[:, None], axis=1).mean())


def brier(probs: Array, labels: Array) -> float:
    """Brier score (1/N) Σ_i Σ_k (p_ik − [k = label_i])², in [0, 2]; 0 is perfect.

    The form of Brier (1950), summed over classes: for two classes it is twice the one-column form.

    >>> round(brier(np.array([[0.8, 0.2], [0.4, 0.6]]), np.array([0, 0])), 12)
    0.4
    """
    table, hits = _outcomes(probs, labels)
    return float(((table - hits) ** 2).sum(axis=1).mean()) if len(table) else no_samples()


@dataclass(frozen=True, slots=True)
class BrierParts:
    """The Brier score decomposed: ``score = reliability − resolution + uncertainty + within``.

    Attributes:
        score: The Brier score.
        reliability: Distance of forecasts from the observed frequencies; 0 is calibrated.
        resolution: How much those frequencies differ from the base rate; higher is better.
        uncertainty: The Brier score of the base rates.
        within: The part inside the bins; 0 if each bin holds one forecast.
    """

    score: float
    reliability: float
    resolution: float
    uncertainty: float
    within: float


def brier_parts(probs: Array, labels: Array, *, bins: int = 15) -> BrierParts:
    """Decompose the Brier score, class by class, over ``bins`` equal-width bins of the forecast.

    Murphy (1973) for forecasts that take few values; the term ``within`` (Stephenson, Coelho & Jolliffe 2008:
    variance within bins minus twice the covariance within bins) makes the sum exact for any forecast.

    >>> parts = brier_parts(np.array([[0.8, 0.2], [0.4, 0.6]]), np.array([0, 0]))
    >>> round(parts.reliability - parts.resolution + parts.uncertainty + parts.within, 12)
    0.4
    """
    bin_count(bins)
    table, hits = _outcomes(probs, labels)
    if not len(table):
        return BrierParts(*[no_samples()] * 5)
    reliability, resolution, within = np.sum(
        [_class_parts(table[:, k], hits[:, k], bins, precision(probs)) for k in range(table.shape[1])], axis=0
    )
    base = hits.mean(axis=0)
    return BrierParts(
        score=float(((table - hits) ** 2).sum(axis=1).mean()),
        reliability=float(reliability),
        resolution=float(resolution),
        uncertainty=float((base * (1 - base)).sum()),
        within=float(within),
    )


def entropy(probs: Array) -> Float[np.ndarray, " n"]:
    """The entropy −Σ_k p_k log p_k of each row, in nats, (N,); in [0, log C].

    >>> entropy(np.array([[1.0, 0.0], [0.5, 0.5]])).round(4)
    array([0.    , 0.6931])
    """
    table = probabilities(probs)
    logs = np.log(table, out=np.zeros_like(table), where=table > 0)
    entropies: Floats = np.maximum(-(table * logs).sum(axis=1), 0.0)
    return entropies


def _outcomes(probs: Array, labels: Array) -> tuple[Floats, Floats]:
    """Forecasts and one-hot outcomes, both (N, C)."""
    table = probabilities(probs)
    truth = classes(labels, "labels", count=table.shape[1])
    same_length(probs=table, labels=truth)
    return table, (truth[:, None] == np.arange(table.shape[1])).astype(np.float64)


def _class_parts(forecast: Floats, hit: Floats, bins: int, spacing: float) -> tuple[float, float, float]:
    """(reliability, resolution, within) of one class."""
    place = bin_of(forecast, bins, precision=spacing)
    count = np.bincount(place, minlength=bins).astype(np.float64)
    held = np.maximum(count, 1)
    mean_forecast = np.bincount(place, forecast, bins) / held
    mean_hit = np.bincount(place, hit, bins) / held
    spread, off = forecast - mean_forecast[place], hit - mean_hit[place]
    reliability = (count * (mean_forecast - mean_hit) ** 2).sum() / len(hit)
    resolution = (count * (mean_hit - hit.mean()) ** 2).sum() / len(hit)
    return reliability, resolution, float((spread**2 - 2 * spread * off).mean())
