"""Temperature scaling: one number that calibrates a network's confidence."""

from __future__ import annotations

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtri, softmax

from bequest.errors import DataError
from bequest.measure.arrays import Array, Floats, classes, refuse_probabilities, same_length, scores, share
from bequest.measure.intervals import Estimate, without_interval
from bequest.measure.undefined import Undefined, no_samples
from bequest.measures import Reason


def fit_temperature(logits: Array, labels: Array) -> float:
    """The temperature T that minimises the NLL of softmax(logits / T) (Guo et al. 2017, section 4.2).

    The NLL is convex in 1/T. Fit T on the validation split and divide test logits by it: the accuracy does
    not change. Above 1 the model was overconfident.

    Args:
        logits: (N, C), finite; probabilities are refused.
        labels: int, (N,), class indices.

    Returns:
        NaN with a reason if there is no best temperature: no samples, all answers right (T → 0), logits
        without information about the labels (T → ∞).

    >>> logits = np.array([[2.0, 0.0]] * 4)
    >>> round(fit_temperature(logits, np.array([0, 0, 0, 1])), 3)  # log 3 = 2 / T
    1.82
    """
    lead, unit = _leads(logits, labels)
    missing = _no_temperature(lead)
    return missing if missing is not None else _inverse(unit, _best_inverse(lead))


def temperature_interval(logits: Array, labels: Array, *, level: float = 0.95) -> Estimate:
    """:func:`fit_temperature` with an interval for other samples.

    The inverse temperature β = 1/T solves Σ_i g_i(β) = 0, g_i the derivative of sample i's NLL; its variance
    is var(g)/(N·h²), h the mean of dg_i/dβ, whether or not the model is right (Huber 1967).
    The interval is normal on log T, so that it stays above 0.

    Args:
        logits: (N, C), finite.
        labels: int, (N,), class indices.
        level: Confidence level.

    Returns:
        NaN with a reason if there is no best temperature.

    >>> logits = np.array([[2.0, 0.0]] * 400)
    >>> estimate = temperature_interval(logits, np.array([0, 0, 0, 1] * 100))
    >>> round(estimate.value, 3), estimate.low < estimate.value < estimate.high
    (1.82, True)
    """
    share(level, "level")
    lead, unit = _leads(logits, labels)
    missing = _no_temperature(lead)
    if missing is not None:
        return without_interval(missing, len(lead), level, "sandwich, log")
    inverse = _best_inverse(lead)
    probs = softmax(inverse * lead, axis=1)
    slopes = (probs * lead).sum(axis=1)
    curvature = float(((probs * lead**2).sum(axis=1) - slopes**2).mean())
    value = _inverse(unit, inverse)
    if len(lead) < 2 or curvature <= 0:
        few = Undefined("too few samples for an interval", Reason.TOO_FEW)
        return without_interval(value, len(lead), level, "sandwich, log", few)
    # The sandwich estimator of β, divided by β: the standard error of log β, and so of log T.
    error = slopes.std(ddof=1) / np.sqrt(len(lead)) / curvature / inverse
    factor = float(np.exp(ndtri((1 + level) / 2) * error))
    return Estimate(value, len(lead), value / factor, value * factor, level, "sandwich, log")


def _leads(logits: Array, labels: Array) -> tuple[Floats, float]:
    """The lead of each logit over that of the label, (N, C), and its unit.

    Raises:
        DataError: If logits are not finite, are probabilities, or labels do not fit.
    """
    table = scores(logits, "logits", columns=1)
    refuse_probabilities(table, "logits")
    truth = classes(labels, "labels", count=table.shape[1])
    if not same_length(logits=table, labels=truth):
        return table, 1.0
    if not np.isfinite(table).all():
        raise DataError("logits holds -inf", expected="finite logits")
    largest = float(np.abs(table).max())
    unit = largest if largest > 0 else 1.0  # differences of logits near the largest float must not overflow
    lead = table / unit - np.take_along_axis(table, truth[:, None], axis=1) / unit
    # In units of the largest lead the best inverse is of order 1 for logits of any scale.
    scale = float(np.abs(lead).max())
    return (lead / scale, unit * scale) if scale > 0 else (lead, unit)


def _no_temperature(lead: Floats) -> Undefined | None:
    if not len(lead):
        return no_samples()
    # The slope of the NLL at 1/T = 0, where all classes are equally likely: the NLL only grows from there.
    if lead.mean() >= 0:
        reason = "no temperature is best: the logits say nothing about the labels"
        return Undefined(reason, Reason.NO_SOLUTION)
    if lead.max() <= 0:
        return Undefined("no temperature is best: every answer is right", Reason.NO_ERRORS)
    return None


def _best_inverse(lead: Floats) -> float:
    """1/T where the derivative of the NLL by it is 0."""

    def slope(inverse: float) -> float:
        """The derivative of the NLL by 1/T, in units of the largest lead; it grows with 1/T."""
        return float((softmax(inverse * lead, axis=1) * lead).sum(axis=1).mean())

    # The slope increases with 1/T: doubling ends at a bracket, which `_no_temperature` made sure exists.
    high = 1.0
    while slope(high) < 0:
        high *= 2
    return float(brentq(slope, 0.0, high, xtol=1e-12, rtol=1e-12))


def _inverse(unit: float, inverse: float) -> float:
    return unit / inverse
