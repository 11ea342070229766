"""Calibration: reliability tables and calibration errors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from bequest.measure.arrays import (
    Array,
    Booleans,
    Floats,
    Integers,
    at_least,
    bin_count,
    classes,
    one_of,
    precision,
    probabilities,
    same_length,
    share,
)
from bequest.measure.bins import bin_of, edges
from bequest.measure.intervals import Estimate, without_interval
from bequest.measure.undefined import no_samples
from bequest.measures import Reason
from bequest.seeding import numpy_generator

Binning = Literal["width", "mass"]
BINNINGS = ("width", "mass")


@dataclass(frozen=True, slots=True)
class ReliabilityTable:
    """A reliability diagram as data: one entry per bin, all arrays (B,).

    Attributes:
        low: Lower edge of the bin; for equal mass, the lowest confidence in it.
        high: Upper edge of the bin; for equal mass, the highest confidence in it.
        count: Samples in the bin.
        confidence: Mean confidence in the bin; NaN if it is empty.
        accuracy: Share of right answers in the bin; NaN if it is empty.
    """

    low: Float[np.ndarray, " b"]
    high: Float[np.ndarray, " b"]
    count: Int[np.ndarray, " b"]
    confidence: Float[np.ndarray, " b"]
    accuracy: Float[np.ndarray, " b"]

    @property
    def error(self) -> float:
        """Σ_b (n_b / N) |accuracy_b − confidence_b|: the expected calibration error."""
        held = self.count > 0
        if not held.any():
            return no_samples()
        gaps = np.abs(self.accuracy[held] - self.confidence[held])
        return float((self.count[held] * gaps).sum() / self.count.sum())

    @property
    def largest_gap(self) -> float:
        """max_b |accuracy_b − confidence_b|: the maximum calibration error, dominated by small bins."""
        gaps = np.abs(self.accuracy - self.confidence)
        return float(np.nanmax(gaps)) if self.count.any() else no_samples()


def reliability(
    probs: Array, labels: Array, *, bins: int = 15, binning: Binning = "width"
) -> ReliabilityTable:
    """Sort samples into bins by the confidence max_k p_k and compare confidence with accuracy.

    ``"width"``: bin b is (b/B, (b+1)/B], so that a confidence of exactly 1 is in the last bin (Guo et al.
    2017, section 2). ``"mass"``: as equal counts as possible without separating equal confidences, so that
    the order of the samples does not matter: a sample with r less confident ones is in bin ⌊B·r/N⌋; empty
    bins are dropped.

    Args:
        probs: (N, C), probabilities.
        labels: int, (N,), class indices.
        bins: Number of bins, B.
        binning: ``"width"`` or ``"mass"``.

    Raises:
        DataError: If ``probs`` are no distributions or labels do not fit.

    >>> table = reliability(np.array([[0.95, 0.05], [1.0, 0.0]]), np.array([0, 1]), bins=2)
    >>> table.count.tolist(), table.accuracy.tolist(), table.confidence.round(3).tolist()
    ([0, 2], [nan, 0.5], [nan, 0.975])
    """
    confidence, correct = _answers(probs, labels)
    return _table(confidence, correct, bins, binning, precision(probs))


def expected_calibration_error(
    probs: Array, labels: Array, *, bins: int = 15, binning: Binning = "width"
) -> float:
    """ECE = Σ_b (n_b / N) |accuracy_b − confidence_b|, in [0, 1]; 0 is calibrated.

    Guo et al. (2017), section 2, over :func:`reliability`. It is biased upwards on few samples and depends on
    the bins: report it with its table. As B grows it becomes :func:`mean_confidence_gap`, which does not
    measure calibration.

    Args:
        probs: (N, C), probabilities.
        labels: int, (N,), class indices.
        bins: Number of bins, B.
        binning: ``"width"`` (equal width) or ``"mass"`` (equal counts).

    Returns:
        NaN with a reason where there are no samples.

    Raises:
        DataError: If ``probs`` are no distributions or labels do not fit.

    >>> round(expected_calibration_error(np.array([[0.95, 0.05], [1.0, 0.0]]), np.array([0, 1])), 3)
    0.475
    """
    return reliability(probs, labels, bins=bins, binning=binning).error


def calibration_interval(
    probs: Array,
    labels: Array,
    *,
    bins: int = 15,
    binning: Binning = "width",
    level: float = 0.95,
    draws: int = 999,
    seed: int = 0,
) -> Estimate:
    """:func:`expected_calibration_error`, marked as biased, with an interval over resamples of the samples.

    On few samples even a calibrated model has an ECE above 0: the reason gives the ECE that it would have
    with these confidences. A resample is biased once more than the samples are; its percentiles are moved
    back by that bias, so that they lie around the value.

    Args:
        probs: (N, C), probabilities.
        labels: int, (N,), class indices.
        bins: Number of bins.
        binning: ``"width"`` or ``"mass"``.
        level: Confidence level.
        draws: Resamples.
        seed: Seed of the resamples.

    Returns:
        ``code`` is ``Reason.BIASED`` if there are samples.

    >>> estimate = calibration_interval(np.array([[0.75, 0.25]] * 40), np.array([0, 0, 0, 1] * 10), draws=99)
    >>> estimate.value, estimate.low, estimate.high < 0.2, estimate.n
    (0.0, 0.0, True, 40)
    """
    confidence, correct = _answers(probs, labels)
    one_of(binning, BINNINGS, "binning")
    bin_count(bins)
    share(level, "level")
    at_least(draws, 1, "draws")
    count = len(confidence)
    if not count:
        return without_interval(no_samples(), 0, level, "bootstrap")
    spacing = precision(probs)

    def error(sure: Floats, right: Booleans) -> float:
        return _table(sure, right, bins, binning, spacing).error

    value = error(confidence, correct)
    generator = numpy_generator(seed, "calibration")
    resampled, calibrated = np.empty(draws), np.empty(draws)
    for draw in range(draws):
        rows = generator.integers(0, count, size=count)
        resampled[draw] = error(confidence[rows], correct[rows])
        # The null of a calibrated model: each answer is right with exactly the probability that it claims.
        calibrated[draw] = error(confidence, generator.random(count) < confidence)
    ends = np.quantile(resampled, [(1 - level) / 2, (1 + level) / 2]) - (resampled.mean() - value)
    low, high = np.clip(ends, 0.0, 1.0)
    reason = f"biased upwards: a calibrated model of these confidences would have {calibrated.mean():.3f}"
    return Estimate(
        value, count, float(low), float(high), level, "bootstrap, bias removed", reason, Reason.BIASED
    )


def mean_confidence_gap(probs: Array, labels: Array) -> float:
    """(1/N) Σ_i |confidence_i − correct_i|, in [0, 1]; 0 means certain and right, not calibrated.

    The limit of the ECE for ever more bins, which Abnar et al. (2020) report as ECE: a perfectly calibrated
    model of confidence c has 2c(1 − c), not 0.

    >>> import numpy as np
    >>> round(mean_confidence_gap(np.array([[0.75, 0.25]] * 4), np.array([0, 0, 0, 1])), 3)
    0.375
    """
    confidence, correct = _answers(probs, labels)
    return float(np.abs(confidence - correct).mean()) if len(confidence) else no_samples()


def classwise_calibration_error(
    probs: Array, labels: Array, *, bins: int = 15, binning: Binning = "width"
) -> float:
    """The mean over classes k of the calibration error of p_k against [label = k], in [0, 1].

    Kull et al. (2019): every class has the same weight, and probabilities other than the highest count too.

    Args:
        probs: (N, C), probabilities.
        labels: int, (N,), class indices.
        bins: Number of bins for each class.
        binning: ``"width"`` or ``"mass"``, as in :func:`reliability`.

    >>> classwise_calibration_error(np.array([[0.5, 0.5], [0.5, 0.5]]), np.array([0, 1]))
    0.0
    """
    table = probabilities(probs)
    truth = classes(labels, "labels", count=table.shape[1])
    if not same_length(probs=table, labels=truth):
        return no_samples()
    spacing = precision(probs)
    errors = [_table(table[:, k], truth == k, bins, binning, spacing).error for k in range(table.shape[1])]
    return float(np.mean(errors))


def _answers(probs: Array, labels: Array) -> tuple[Floats, Booleans]:
    """Confidence and correctness of each sample."""
    table = probabilities(probs)
    truth = classes(labels, "labels", count=table.shape[1])
    same_length(probs=table, labels=truth)
    return table.max(axis=1), table.argmax(axis=1) == truth


def _table(
    confidence: Floats, correct: Booleans, bins: int, binning: str, spacing: float
) -> ReliabilityTable:
    bin_count(bins)
    by_width = one_of(binning, BINNINGS, "binning") == "width"
    place = bin_of(confidence, bins, precision=spacing) if by_width else _by_mass(confidence, bins)
    count = np.bincount(place, minlength=bins)
    with np.errstate(invalid="ignore"):
        mean = np.bincount(place, confidence, bins) / count
        right = np.bincount(place, correct, bins) / count
    if by_width:
        ends = edges(bins)
        return ReliabilityTable(ends[:-1], ends[1:], count, mean, right)
    low, high = np.full(bins, np.inf), np.full(bins, -np.inf)
    np.minimum.at(low, place, confidence)
    np.maximum.at(high, place, confidence)
    held = count > 0
    return ReliabilityTable(low[held], high[held], count[held], mean[held], right[held])


def _by_mass(confidence: Floats, bins: int) -> Integers:
    # Equal confidences have one rank, and so one bin.
    less = np.searchsorted(np.sort(confidence), confidence, side="left")
    return (less * bins // max(len(confidence), 1)).astype(np.int64)
