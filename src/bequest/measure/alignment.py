"""Linear centred kernel alignment in blocks: cost grows with the smaller of samples and features."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from bequest.measure.arrays import Array, Floats, matrix, not_finite, same_length
from bequest.measure.undefined import Undefined
from bequest.measures import Reason

BLOCK = 1 << 19
"""Numbers per block that are converted to float64 at once: 4 MiB."""

ROWS = 1024
"""The least rows of a block of products, unless that is larger than the product itself: with few rows most of
the time would go into adding products up."""

ROUNDING = 1e-24
"""Squared deviations below this share of the squared mean are rounding errors: the features are constant. It
is the square of 1e-12, some thousand times the precision of float64."""

CANCELLED = 1e-12
"""An HSIC below this share of the squared variance is zero up to rounding."""


def cka(x: Array, y: Array, *, unbiased: bool = True) -> float:
    """How alike two representations of the same samples are: HSIC(x, y) / √(HSIC(x, x)·HSIC(y, y)).

    Linear CKA, invariant to rotation, shift and common scale of the features. 1: equal up to these. Unbiased,
    in [−1, 1]: unrelated representations have an expected HSIC of 0 (Song et al. 2012; Nguyen et al. 2021).
    Biased, in [0, 1]: the form of Kornblith et al. (2019), high for unrelated data with more features than
    samples. Compare it with an untrained pair (null) and two seeds of one family (ceiling).

    Sums are float64, over blocks of rows (feature space) or of columns (sample space), whichever needs fewer
    operations; the data may be memory-mapped and are never copied whole.

    Args:
        x: (N, ...), features of N samples; further axes are flattened.
        y: (N, ...), other features of the same samples in the same order.
        unbiased: Which estimator of HSIC.

    Returns:
        NaN with a reason where features are constant, or with fewer than 4 samples (2 if biased).

    Raises:
        DataError: If lengths differ or a number is not finite.

    >>> x = np.random.default_rng(0).normal(size=(50, 3))
    >>> round(cka(x, -2 * x[:, ::-1] + 1), 12)
    1.0
    """
    one, other = centred(x, "x"), centred(y, "y")
    same_length(x=one.x, y=other.x)
    return _alignment(one, other, self_hsic(one, unbiased), self_hsic(other, unbiased), unbiased)


def cka_matrix(
    xs: Sequence[Array], ys: Sequence[Array] | None = None, *, unbiased: bool = True
) -> Float[np.ndarray, "r c"]:
    """CKA of each of ``xs`` with each of ``ys`` (with each other if None), (R, C); NaN where it is undefined.

    All are features of the same samples in the same order. The HSIC of each with itself is computed once.

    >>> x = np.random.default_rng(0).normal(size=(50, 3))
    >>> cka_matrix([x, 2 * x]).round(12).tolist()
    [[1.0, 1.0], [1.0, 1.0]]
    """
    rows = [centred(x, f"xs[{k}]") for k, x in enumerate(xs)]
    columns = rows if ys is None else [centred(y, f"ys[{k}]") for k, y in enumerate(ys)]
    if rows and columns:
        same_length(**{side.name: side.x for side in (*rows, *columns)})
    own_rows = [self_hsic(side, unbiased) for side in rows]
    own_columns = own_rows if ys is None else [self_hsic(side, unbiased) for side in columns]
    table = np.empty((len(rows), len(columns)))
    for i, row in enumerate(rows):
        for j, column in enumerate(columns):
            mirrored = ys is None and j < i
            table[i, j] = (
                table[j, i] if mirrored else _alignment(row, column, own_rows[i], own_columns[j], unbiased)
            )
    return table


@dataclass(frozen=True, slots=True)
class Centred:
    """Features and what centring them needs.

    Attributes:
        name: Their name in error messages.
        x: (N, D), as given.
        mean: (D,), float64.
        norms: (N,), squared norms of the centred rows.
    """

    name: str
    x: NDArray[Any]
    mean: Floats
    norms: Floats

    def rows(self, part: slice) -> Floats:
        """Rows of one block with the mean taken off, float64."""
        centred_rows: Floats = np.subtract(self.x[part], self.mean, dtype=np.float64)
        return centred_rows

    def columns(self, part: slice) -> Floats:
        """Columns of one block with the mean taken off, float64."""
        centred_columns: Floats = np.subtract(self.x[:, part], self.mean[part], dtype=np.float64)
        return centred_columns


def centred(array: Array, name: str) -> Centred:
    """Means and row norms, in two passes over blocks of rows.

    Raises:
        DataError: If a number is not finite.
    """
    x = matrix(array, name)
    total, norms = np.zeros(x.shape[1]), np.empty(len(x))
    for part in blocks(len(x), x.shape[1]):
        total += x[part].sum(axis=0, dtype=np.float64)
    # A number that is not finite makes its column's sum so too: no pass of its own is needed.
    if not np.isfinite(total).all():
        raise not_finite(name)
    # A second pass over the centred rows: squares less the squared mean would cancel for features far from 0.
    side = Centred(name, x, total / max(len(x), 1), norms)
    for part in blocks(len(x), x.shape[1]):
        rows = side.rows(part)
        norms[part] = np.einsum("ij,ij->i", rows, rows)
    return side


def squared_product(one: Centred, other: Centred) -> float:
    """‖xᵀy‖² of centred data = Σ (xxᵀ)∘(yyᵀ): over features or over samples, whichever is cheaper."""
    count, p, q = len(one.x), one.x.shape[1], other.x.shape[1]
    # xᵀy takes N·P·Q multiplications, the two Gram matrices N²·(P + Q).
    if count * (p + q) >= p * q:
        product = cross_product(one, other)
        return float(np.vdot(product, product))
    left = _gram(one)
    return float(np.vdot(left, left if other is one else _gram(other)))


def cross_product(one: Centred, other: Centred) -> Float[np.ndarray, "p q"]:
    """xᵀy of centred data, (P, Q), over blocks of rows."""
    product = np.zeros((one.x.shape[1], other.x.shape[1]))
    for part in blocks(len(one.x), max(product.shape), least=min(ROWS, *product.shape)):
        left = one.rows(part)
        product += left.T @ (left if other is one else other.rows(part))
    return product


def self_hsic(side: Centred, unbiased: bool) -> float:
    """HSIC(x, x); NaN with a reason for constant features or too few samples."""
    count, least = len(side.x), 4 if unbiased else 2  # n − 3 is a factor of the unbiased estimator
    if count < least:
        return Undefined(f"{count} samples; CKA needs {least} or more", Reason.TOO_FEW)
    spread, offset = float(side.norms.sum()), count * float(side.mean @ side.mean)
    value = hsic(squared_product(side, side), side.norms, side.norms, unbiased)
    if spread <= ROUNDING * offset or value <= CANCELLED * spread**2:
        reason = f"the features of {side.name} are constant, or differ in one sample only"
        return Undefined(reason, Reason.CONSTANT)
    return value


def hsic(squared: float, x_norms: Floats, y_norms: Floats, unbiased: bool) -> float:
    """Linear HSIC up to a factor that depends on N, from ‖xᵀy‖² and squared row norms of centred data."""
    if not unbiased:
        return squared
    return unbiased_hsic(len(x_norms), squared, x_norms.sum(), y_norms.sum(), float(x_norms @ y_norms))


def unbiased_hsic(n: int, squared: float, x_total: float, y_total: float, both: float) -> float:
    """The U-statistic of linear HSIC, times n(n − 3), from sums over centred data.

    HSIC₁ of Song et al. (2012) with K = xxᵀ, L = yyᵀ, diagonals removed. Centred rows sum to zero, which
    leaves ‖xᵀy‖² + (Σk)(Σl) / ((n−1)(n−2)) − n/(n−2) Σ kl, with k and l the squared row norms.
    """
    return float(squared + x_total * y_total / ((n - 1) * (n - 2)) - n / (n - 2) * both)


def blocks(count: int, width: int, *, least: int = 1) -> Iterator[slice]:
    """Slices of ``count`` rows of ``width`` numbers, each of at most BLOCK numbers, or of ``least`` rows."""
    step = max(BLOCK // max(width, 1), least, 1)
    return (slice(start, start + step) for start in range(0, count, step))


def _alignment(one: Centred, other: Centred, one_self: float, other_self: float, unbiased: bool) -> float:
    for self_value in (one_self, other_self):
        if np.isnan(self_value):
            return self_value
    shared = hsic(squared_product(one, other), one.norms, other.norms, unbiased)
    return float(shared / np.sqrt(one_self * other_self))


def _gram(side: Centred) -> Floats:
    gram = np.zeros((len(side.x),) * 2)
    for part in blocks(side.x.shape[1], len(side.x)):
        columns = side.columns(part)
        gram += columns @ columns.T
    return gram
