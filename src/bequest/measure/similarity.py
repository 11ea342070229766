"""Similarity of representations: RSA, Procrustes, between layers, with a null and a ceiling."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float
from scipy import linalg

from bequest.measure.alignment import ROUNDING, Centred, centred, cka, cka_matrix, cross_product
from bequest.measure.arrays import Array, Floats, at_least, features, matrix, one_of, same_length
from bequest.measure.undefined import Undefined, no_samples
from bequest.measures import Reason
from bequest.seeding import numpy_generator

Measure = Callable[[Array, Array], float]
Between = Literal["pearson", "cosine"]
BETWEEN = ("pearson", "cosine")
Comparison = Literal["spearman", "pearson", "cosine"]
COMPARISONS = ("spearman", "pearson", "cosine")
DECIMALS = 12
"""Cosines that agree to so many decimals are tied: the difference is rounding."""


def rsa(x: Array, y: Array, *, between: Between = "pearson", comparison: Comparison = "spearman") -> float:
    """Representational similarity analysis: whether the same samples are alike in both, in [−1, 1].

    Each representation gives the similarities of all pairs of samples (``between``); the two lists of
    N(N−1)/2 numbers are then correlated (``comparison``). The defaults are those of Kriegeskorte et al.
    (2008): correlation of patterns, ranks of dissimilarities. Memory grows with N²: 400 MB per list at 10,000
    samples.

    Args:
        x: (N, ...), features of N samples; further axes are flattened.
        y: (N, ...), other features of the same samples in the same order.
        between: ``"pearson"`` (each sample's features centred) or ``"cosine"``.
        comparison: ``"spearman"``, ``"pearson"`` or ``"cosine"`` of the two lists.

    Returns:
        NaN with a reason for fewer than 3 samples, a sample without a direction, or equal similarities
        throughout.

    Raises:
        DataError: If lengths differ or a number is not finite.

    >>> x = np.random.default_rng(0).normal(size=(20, 5))
    >>> round(rsa(x, 3 * x + 1), 12)
    1.0
    """
    one_of(between, BETWEEN, "between")
    one_of(comparison, COMPARISONS, "comparison")
    one, other = features(x, "x"), features(y, "y")
    if same_length(x=one, y=other) < 3:
        return Undefined(f"{len(one)} samples; RSA needs 3 or more", Reason.TOO_FEW)
    first = _pairs(one, "x", between, comparison)
    second = _pairs(other, "y", between, comparison)
    if isinstance(first, Undefined):
        return first
    return second if isinstance(second, Undefined) else rsa_of_pairs(first, second)


def rsa_pairs(x: Array) -> Floats | None:
    """One side of :func:`rsa`, so that a network in many pairs is ranked only once; None if undefined.

    Args:
        x: (N, ...), features of N samples.

    Returns:
        (N(N−1)/2,), centred ranks of the correlations of all pairs of samples.

    >>> x = np.random.default_rng(0).normal(size=(20, 5))
    >>> rsa_of_pairs(rsa_pairs(x), rsa_pairs(x[:, :3])) == rsa(x, x[:, :3])
    True
    """
    side = features(x, "x")
    pairs = _pairs(side, "x", "pearson", "spearman") if len(side) >= 3 else None
    return None if isinstance(pairs, Undefined) else pairs


def rsa_of_pairs(one: Floats, other: Floats) -> float:
    """The correlation of two lists of :func:`rsa_pairs`, in [−1, 1]."""
    # Clipped, since rounding may exceed ±1.
    return float(np.clip(one @ other / (np.linalg.norm(one) * np.linalg.norm(other)), -1.0, 1.0))


def cosine_of_cosines(x: Array, y: Array) -> float:
    """The mean over samples of the cosine between their rows of cosine similarities, in [−1, 1].

    The form of Abnar et al. (2020): B × B cosine matrices, compared row by row. Rows contain the sample's
    similarity with itself, which is 1 on both sides, and activations after a ReLU have cosines above 0
    throughout: its null is far from 0, so that it says little without an untrained pair for comparison.

    Args:
        x: (N, ...), features of N samples; further axes are flattened.
        y: (N, ...), other features of the same samples in the same order.

    Returns:
        NaN with a reason without samples, or if one has no direction.

    Raises:
        DataError: If lengths differ or a number is not finite.

    >>> x = np.random.default_rng(0).normal(size=(20, 5))
    >>> round(cosine_of_cosines(x, 3 * x), 12)
    1.0
    """
    one, other = features(x, "x"), features(y, "y")
    if not same_length(x=one, y=other):
        return no_samples()
    rows = []
    for name, side in (("x", one), ("y", other)):
        similar = _similarities(side, name, "cosine")
        if isinstance(similar, Undefined):
            return similar
        rows.append(similar / np.linalg.norm(similar, axis=1, keepdims=True))
    return float(np.einsum("ij,ij->i", rows[0], rows[1]).mean())


def procrustes(x: Array, y: Array) -> float:
    """How well rotation, shift and scale map one representation to the other: ‖xᵀy‖∗ / (‖x‖·‖y‖), in [0, 1].

    x and y are centred; ‖·‖∗ is the sum of singular values. 1: equal up to rotation, shift and common scale.
    The squared Procrustes distance of unit-norm representations (Ding, Denain & Steinhardt 2021) is 2 −
    2·this. Like biased CKA it is high for unrelated data with more features than samples: compare it with its
    null.

    Args:
        x: (N, ...), features of N samples; further axes are flattened.
        y: (N, ...), other features of the same samples in the same order.

    Returns:
        NaN with a reason for fewer than 2 samples or constant features.

    Raises:
        DataError: If lengths differ or a number is not finite.

    >>> x = np.random.default_rng(0).normal(size=(20, 5))
    >>> round(procrustes(x, -2 * x[:, ::-1] + 1), 12)
    1.0
    """
    one, other = centred(x, "x"), centred(y, "y")
    if same_length(x=one.x, y=other.x) < 2:
        return Undefined(f"{len(one.x)} samples; Procrustes needs 2 or more", Reason.TOO_FEW)
    for side in (one, other):
        if side.norms.sum() <= ROUNDING * len(side.x) * float(side.mean @ side.mean):
            return Undefined(f"the features of {side.name} are constant", Reason.CONSTANT)
    # With fewer samples than features an N × N product of triangular factors has the same singular values.
    wide = len(one.x) < min(one.x.shape[1], other.x.shape[1])
    product = _reduced(one).T @ _reduced(other) if wide else cross_product(one, other)
    total = np.sqrt(one.norms.sum() * other.norms.sum())
    return float(min(linalg.svdvals(product).sum() / total, 1.0))


def similarity_matrix(
    xs: Sequence[Array], ys: Sequence[Array] | None = None, *, measure: Measure = cka
) -> Float[np.ndarray, "r c"]:
    """``measure`` of each of ``xs`` with each of ``ys`` (with each other if None), (R, C).

    Between layers, between models or between checkpoints; all are features of the same samples in the same
    order (see :func:`~bequest.measure.pair`). NaN where the measure is undefined.

    >>> x = np.random.default_rng(0).normal(size=(30, 4))
    >>> similarity_matrix([x, x[:, :2]], [2 * x], measure=procrustes).shape
    (2, 1)
    """
    if measure is cka:
        return cka_matrix(xs, ys)
    return np.array([[measure(x, y) for y in (xs if ys is None else ys)] for x in xs])


@dataclass(frozen=True, slots=True)
class Similarity:
    """A similarity with its reference values.

    Attributes:
        value: The similarity of the pair.
        null: That of a pair that has learnt nothing in common, such as the two networks before training.
        ceiling: That of a pair as alike as can be expected, such as two seeds of the teacher's family; NaN if
            unknown.
    """

    value: float
    null: float
    ceiling: float

    @property
    def rescaled(self) -> float:
        """(value − null) / (ceiling − null): 0 at the null, 1 at the ceiling; NaN if these are equal."""
        gap = self.ceiling - self.null
        if np.isnan(gap) or gap == 0:
            return Undefined("the ceiling does not differ from the null", Reason.NO_GAP)
        return (self.value - self.null) / gap


def referenced(
    measure: Measure,
    pair: tuple[Array, Array],
    *,
    null: tuple[Array, Array],
    ceiling: tuple[Array, Array] | None = None,
) -> Similarity:
    """``measure`` of a pair of representations, with that of a null pair and of a ceiling pair.

    >>> rng = np.random.default_rng(0)
    >>> x, noise = rng.normal(size=(200, 5)), rng.normal(size=(200, 5))
    >>> result = referenced(cka, (x, x + noise), null=(noise, x))
    >>> result.value > 0.4 > result.null
    True
    """
    top = Undefined("no ceiling was given", Reason.NOT_MEASURED) if ceiling is None else measure(*ceiling)
    return Similarity(measure(*pair), measure(*null), top)


def shuffled_null(
    measure: Measure, x: Array, y: Array, *, draws: int = 20, seed: int = 0
) -> Float[np.ndarray, " d"]:
    """``measure`` of ``x`` with the rows of ``y`` in random order, (draws,): that of unpaired samples.

    It keeps each representation and breaks their pairing. An untrained pair is a stricter null, since two
    random networks see the same inputs.

    >>> x = np.random.default_rng(0).normal(size=(200, 5))
    >>> bool(abs(shuffled_null(cka, x, x).mean()) < 0.02)
    True
    """
    at_least(draws, 1, "draws")
    one, other = matrix(x, "x"), matrix(y, "y")
    same_length(x=one, y=other)
    generator = numpy_generator(seed, "shuffled null")
    return np.array([measure(one, other[generator.permutation(len(other))]) for _ in range(draws)])


def _similarities(side: Floats, name: str, between: str) -> Floats | Undefined:
    """The similarities of all pairs of rows, (N, N)."""
    if between == "pearson":
        scale = np.abs(side).max(axis=1, initial=0.0)
        side = side - side.mean(axis=1, keepdims=True)
        # What is left of a constant row is rounding, and has no direction.
        side[np.abs(side).max(axis=1, initial=0.0) <= 1e-12 * scale] = 0
    norms: Floats = np.sqrt((side**2).sum(axis=1, keepdims=True))
    if not norms.all():
        row = int(np.flatnonzero(norms[:, 0] == 0)[0])
        what = "constant" if between == "pearson" else "zero"
        reason = f"the features of {name} are {what} in sample {row}, which has no direction"
        return Undefined(reason, Reason.CONSTANT)
    directions = side / norms
    similar: Floats = directions @ directions.T
    return similar


def _pairs(side: Floats, name: str, between: str, comparison: str) -> Floats | Undefined:
    """The similarities of all pairs of rows as a list, ranked and centred as ``comparison`` says."""
    similar = _similarities(side, name, between)
    if isinstance(similar, Undefined):
        return similar
    values: Floats = similar[np.triu_indices(len(side), 1)]
    if np.ptp(values) < 10.0**-DECIMALS:
        return Undefined(f"the samples of {name} are all equally similar", Reason.CONSTANT)
    if comparison == "spearman":
        from scipy.stats import rankdata  # slow to import, and needed here alone

        values = rankdata(values.round(DECIMALS))
    # Centred, so that the correlation is a cosine in all three cases.
    return values if comparison == "cosine" else np.subtract(values, values.mean())


def _reduced(side: Centred) -> Floats:
    """(N, N) coordinates with the same inner products as the rows of centred ``side``, transposed for xᵀy."""
    rows = side.rows(slice(None))
    (triangle,) = linalg.qr(rows.T, mode="r")
    return np.asarray(triangle[: len(rows)].T, dtype=np.float64)
