r"""Observables of a classifier of the solvable model on fresh samples, from its order parameters.

For a label τ = ±1 the margin τh on a fresh sample is normal with mean m + τb and variance Δq. Everything
here follows from that :class:`Law`, for order parameters of theory and of simulations.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.special import expit, logit, ndtr, owens_t

from bequest.theory.losses import softplus
from bequest.theory.parameters import Array, Numbers
from bequest.theory.quadrature import level, rules

ACCURACY = 1e-10
"""Absolute accuracy of the one-dimensional integrals, for integrands of size one."""

RARE = 1e-12
"""Expectations conditional on an event of lower probability than this are undefined."""

SURE = (6.0, 12.0, 25.0)
"""Logits at which the last bin of a reliability curve is divided: it reaches to infinity, and one rule for
all of it could miss the part where the confidence still changes."""


class Law(NamedTuple):
    """The law of a classifier's margins: mixture and order parameters, arrays that broadcast."""

    delta: Numbers
    rho: Numbers
    m: Numbers
    q: Numbers
    b: Numbers

    def split(self) -> tuple[Array, Array, Array]:
        """Label probabilities, means and standard deviation of the margin; labels (y = 1, y = 0) first."""
        delta, rho, m, q, b = np.broadcast_arrays(*(np.asarray(part, dtype=np.float64) for part in self))
        return np.stack([rho, 1.0 - rho]), np.stack([m + b, m - b]), np.asarray(np.sqrt(delta * q))


def error(law: Law) -> Float[np.ndarray, "*grid"]:
    r"""Test error ρH((m + b)/√(Δq)) + (1 − ρ)H((m − b)/√(Δq)) with H(x) = erfc(x/√2)/2, in [0, 1].

    >>> float(error(Law(delta=1.0, rho=0.5, m=0.0, q=1.0, b=0.0)))
    0.5
    """
    label, mean, width = law.split()
    return np.asarray((label * ndtr(-mean / width)).sum(axis=0))


def nll(law: Law) -> Float[np.ndarray, "*grid"]:
    """Test negative log-likelihood E[−log σ(τh)] in nats, ≥ 0.

    >>> float(nll(Law(1.0, 0.5, 0.0, 1e-12, 0.0)).round(6))  # log 2: it says one half to everything
    0.693147
    """
    return _mean_of_margin(lambda margin: softplus(-margin), law)


def brier(law: Law) -> Float[np.ndarray, "*grid"]:
    """Test Brier score E[Σ_c (p_c − 1[y = c])²] = 2 E[σ(−τh)²], in [0, 2].

    >>> float(brier(Law(1.0, 0.5, 0.0, 1e-12, 0.0)).round(6))
    0.5
    """
    return _mean_of_margin(lambda margin: 2.0 * expit(-margin) ** 2, law)


def calibrated(law: Law, probability: Numbers) -> Array:
    r"""P(y = 1 | the classifier says p): the reliability curve of the positive class.

    .. math:: \operatorname{logit} P = \operatorname{logit} ρ + \frac{2m}{Δq} (\operatorname{logit} p − b)

    so a classifier is calibrated exactly where m = Δq/2 and b = logit ρ.

    Args:
        law: Arrays of any grid shape.
        probability: p in (0, 1); broadcasts with the grid.

    >>> float(calibrated(Law(1.0, 0.3, 1.0, 2.0, float(logit(0.3))), 0.9).round(6))
    0.9
    """
    delta, rho, m, q, b = (np.asarray(part, dtype=np.float64) for part in law)
    logits = logit(np.asarray(probability, dtype=np.float64))
    return np.asarray(expit(logit(rho) + 2.0 * m / (delta * q) * (logits - b)))


class Reliability(NamedTuple):
    """A reliability diagram of infinitely many fresh samples: arrays (bins, *grid), edges (bins + 1,).

    ``mass`` sums to one over the bins; ``confidence`` and ``accuracy`` are means within a bin, NaN in a bin
    whose mass is below ``RARE``.
    """

    edges: Array
    mass: Array
    confidence: Array
    accuracy: Array

    @property
    def error(self) -> Array:
        """Expected calibration error Σ mass |accuracy − confidence|, in [0, 1]."""
        gap = np.nan_to_num(np.abs(self.accuracy - self.confidence))
        return np.asarray((self.mass * gap).sum(axis=0))


def reliability(law: Law, bins: int = 15) -> Reliability:
    """Confidence max(p, 1 − p) against accuracy, in ``bins`` equal bins of [0, 1].

    >>> table = reliability(Law(1.0, 0.5, 1.0, 2.0, 0.0))
    >>> float(table.mass.sum().round(9)), float(table.error.round(9))  # a calibrated classifier
    (1.0, 0.0)
    """
    label, mean, width = law.split()
    edges = np.linspace(0.0, 1.0, bins + 1)
    # A confidence is at least one half: bins below have equal cuts, and stay empty.
    cuts = logit(np.maximum(edges, 0.5))
    parts = [np.array([low, *(s for s in SURE if low < s < high), high]) for low, high in pairwise(cuts)]
    totals = [
        sum(
            (_within(label, mean, width, a, b) for a, b in pairwise(part) if a < b),
            np.zeros((3, *width.shape)),
        )
        for part in parts
    ]
    mass, correct, confident = np.stack(totals, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        held = np.where(mass > RARE, mass, np.nan)
        return Reliability(edges, mass, confident / held, correct / held)


def calibration_error(law: Law, bins: int = 15) -> Float[np.ndarray, "*grid"]:
    """Expected calibration error of infinitely many fresh samples, in [0, 1]; see :func:`reliability`.

    As ``bequest.measure.expected_calibration_error`` with equal widths, without its bias on few samples.
    """
    return reliability(law, bins).error


def agreement(one: Law, other: Law, overlap: Numbers) -> Float[np.ndarray, "*grid"]:
    """P(both decide alike) on fresh samples, in [0, 1].

    Args:
        one: A classifier.
        other: Another, of the same mixture.
        overlap: w·w'/N.

    >>> law = Law(1.0, 0.5, 1.0, 2.0, 0.0)
    >>> float(agreement(law, law, 2.0).round(6))
    1.0
    """
    label, wrong, wrong_too, both = _joint(one, other, overlap)
    return np.asarray((label * (1.0 - wrong - wrong_too + 2.0 * both)).sum(axis=0))


def agreement_on_errors(one: Law, other: Law, overlap: Numbers) -> Float[np.ndarray, "*grid"]:
    """P(the other decides alike | the first is wrong): how far errors are handed over.

    NaN if the first errs with a probability below ``RARE``: there is no error to hand over.

    >>> law = Law(1.0, 0.5, 1.0, 2.0, 0.0)
    >>> float(agreement_on_errors(law, law, 0.0).round(4)), float(error(law).round(4))
    (0.2398, 0.2398)
    """
    label, wrong, _, both = _joint(one, other, overlap)
    errors = (label * wrong).sum(axis=0)
    return np.asarray((label * both).sum(axis=0) / np.where(errors > RARE, errors, np.nan))


def cosine(one: Law, other: Law, overlap: Numbers) -> Array:
    """w·w'/(|w||w'|), in [−1, 1]."""
    return np.asarray(np.asarray(overlap) / np.sqrt(np.multiply(one.q, other.q)))


def alignment(law: Law) -> Array:
    """v·w/(|v||w|) = m/√q: the cosine with the clusters' centre, in [−1, 1]."""
    return np.asarray(np.asarray(law.m) / np.sqrt(law.q))


def _joint(one: Law, other: Law, overlap: Numbers) -> tuple[Array, Array, Array, Array]:
    """By label: its probability, P(one wrong), P(other wrong), P(both wrong)."""
    label, mean, width = one.split()
    _, mean_too, width_too = other.split()
    correlation = np.asarray(one.delta) * np.asarray(overlap) / (width * width_too)
    limit, limit_too = -mean / width, -mean_too / width_too
    both = _both_below(limit, limit_too, np.asarray(correlation))
    return label, np.asarray(ndtr(limit)), np.asarray(ndtr(limit_too)), both


def _both_below(h: Array, k: Array, r: Array) -> Array:
    """P(x < h, y < k) of two standard normals of correlation r, by Owen (1956), equation 2.3."""
    # The formula divides by √(1 − r²), h and k: limits are taken by moving off them by less than rounding.
    r = np.clip(r, -1.0 + 1e-15, 1.0 - 1e-15)
    h, k = (np.where(np.abs(x) < 1e-150, 1e-150, x) for x in (h, k))
    root = np.sqrt((1.0 - r) * (1.0 + r))
    wedge = owens_t(h, (k / h - r) / root) + owens_t(k, (h / k - r) / root)
    return np.asarray(0.5 * (ndtr(h) + ndtr(k)) - wedge - 0.5 * ((h < 0) != (k < 0)))


def _mean_of_margin(function: Callable[[Array], Array], law: Law) -> Array:
    """E[function(τh)] for functions analytic within π of the real axis, grouped by the nodes needed."""
    label, mean, width = law.split()
    flat_label, flat_mean, flat_width = label.reshape(2, -1), mean.reshape(2, -1), width.ravel()
    result = np.full(flat_width.shape, np.nan)
    ladder = rules(ACCURACY)
    defined = np.isfinite(flat_mean).all(axis=0) & (flat_width > 0)
    levels = level(np.pi / np.where(defined, flat_width, 1.0), ACCURACY)
    for chosen in np.unique(levels[defined]):
        points = np.flatnonzero(defined & (levels == chosen))
        rule = ladder[chosen]
        margin = flat_mean[:, points] + rule.nodes[:, None, None] * flat_width[points]
        inner = np.tensordot(rule.weights, function(margin), axes=1)
        result[points] = (flat_label[:, points] * inner).sum(axis=0)
    return result.reshape(width.shape)


@cache
def _legendre() -> tuple[Array, Array]:
    """Nodes and weights on [−1, 1]; cached, since computing them takes longer than using them."""
    return np.polynomial.legendre.leggauss(48)


def _within(label: Array, mean: Array, width: Array, low: float, high: float) -> Array:
    """Mass, mass that is right, and summed confidence of samples with low < |h| ≤ high, (3, *grid)."""
    unit, weights = _legendre()
    total = np.zeros((3, *width.shape))
    # Right answers have a margin in (low, high], wrong ones in its mirror image.
    for right, (start, stop) in ((1.0, (low, high)), (0.0, (-high, -low))):
        # Beyond nine standard deviations there is a mass of 1e-19.
        ends = [np.clip((end - mean) / width, -9.0, 9.0) for end in (start, stop)]
        middle, half = (ends[0] + ends[1]) / 2.0, (ends[1] - ends[0]) / 2.0
        z = middle + half * unit.reshape(-1, *(1,) * middle.ndim)
        density = np.exp(-0.5 * z**2) / np.sqrt(2.0 * np.pi)
        confidence = np.tensordot(weights, density * expit(np.abs(mean + width * z)), axes=1) * half
        mass = (label * (ndtr(ends[1]) - ndtr(ends[0]))).sum(axis=0)
        total += np.stack([mass, right * mass, (label * confidence).sum(axis=0)])
    return total
