"""CKA of activations that arrive in batches and are not stored."""

from __future__ import annotations

from collections.abc import Iterable
from typing import final

import numpy as np

from bequest.errors import DataError
from bequest.measure.alignment import (
    CANCELLED,
    ROUNDING,
    centred,
    hsic,
    self_hsic,
    squared_product,
    unbiased_hsic,
)
from bequest.measure.arrays import Array, Floats, matrix, not_finite, same_length
from bequest.measure.undefined import Undefined, no_samples, reason_of
from bequest.measures import Reason


@final
class CkaStream:
    """Exact CKA in one pass over batches; memory depends on the number of features alone.

    Equal to :func:`~bequest.measure.cka` of all rows at once: sums are float64, taken around the first
    batch's mean, so that large offsets cost no digits.

    >>> x = np.random.default_rng(0).normal(size=(60, 3))
    >>> stream = CkaStream()
    >>> for start in range(0, 60, 20):
    ...     stream.update(x[start : start + 20], 3 * x[start : start + 20])
    >>> round(stream.value(), 12), stream.count
    (1.0, 60)
    """

    def __init__(self) -> None:
        self.count = 0
        self._sides: tuple[_Side, _Side] | None = None
        self._product: Floats = np.zeros((0, 0))
        self._both = 0.0

    def update(self, x: Array, y: Array) -> None:
        """Add samples: x (B, ...) and y (B, ...), rows paired.

        Raises:
            DataError: If lengths differ, features are not as many as before, or a number is not finite.
        """
        one, other = matrix(x, "x"), matrix(y, "y")
        if not same_length(x=one, y=other):
            return
        if self._sides is None:
            self._sides = _Side.around("x", one), _Side.around("y", other)
            self._product = np.zeros((one.shape[1], other.shape[1]))
        left, right = self._sides
        a, b = left.shifted(one), right.shifted(other)
        k, l = np.einsum("ij,ij->i", a, a), np.einsum("ij,ij->i", b, b)
        left.take(a, k, l)
        right.take(b, l, k)
        self._product += a.T @ b
        self._both += float(k @ l)
        self.count += len(a)

    def value(self, *, unbiased: bool = True) -> float:
        """CKA of all samples so far; NaN with a reason where it is undefined."""
        least = 4 if unbiased else 2
        if self._sides is None or self.count < least:
            return Undefined(f"{self.count} samples; CKA needs {least} or more", Reason.TOO_FEW)
        left, right = self._sides
        selves = [side.hsic(self.count, unbiased) for side in (left, right)]
        for self_value in selves:
            if np.isnan(self_value):
                return self_value
        shared = _from_sums(left, right, self._product, self._both, self.count, unbiased)
        return float(shared / np.sqrt(selves[0] * selves[1]))


@final
class _Side:
    """Running sums of one representation around a fixed point near its mean."""

    def __init__(self, name: str, shift: Floats) -> None:
        self.name, self.shift = name, shift
        self.total = np.zeros_like(shift)
        self.square = np.zeros((len(shift), len(shift)))
        self.norms = self.norms_squared = 0.0
        # Σ k·a and Σ l·a, with k and l the two sides' squared norms, to move these to the true mean.
        self.by_own, self.by_other = np.zeros_like(shift), np.zeros_like(shift)

    @classmethod
    def around(cls, name: str, rows: np.ndarray) -> _Side:
        if not np.isfinite(rows).all():
            raise not_finite(name)
        return cls(name, rows.mean(axis=0, dtype=np.float64))

    def shifted(self, rows: np.ndarray) -> Floats:
        if rows.shape[1] != len(self.shift):
            raise DataError(
                f"the number of features of {self.name} changed",
                expected=len(self.shift),
                got=rows.shape[1],
            )
        if not np.isfinite(rows).all():
            raise not_finite(self.name)
        moved: Floats = rows - self.shift
        return moved

    def take(self, rows: Floats, norms: Floats, other_norms: Floats) -> None:
        self.total += rows.sum(axis=0)
        self.square += rows.T @ rows
        self.norms += float(norms.sum())
        self.norms_squared += float(norms @ norms)
        self.by_own += norms @ rows
        self.by_other += other_norms @ rows

    def hsic(self, count: int, unbiased: bool) -> float:
        spread = self.norms - float(self.total @ self.total) / count
        mean = self.shift + self.total / count
        value = _from_sums(self, self, self.square, self.norms_squared, count, unbiased)
        if spread <= ROUNDING * count * float(mean @ mean) or value <= CANCELLED * spread**2:
            reason = f"the features of {self.name} are constant, or differ in one sample only"
            return Undefined(reason, Reason.CONSTANT)
        return value


def _from_sums(left: _Side, right: _Side, product: Floats, both: float, count: int, unbiased: bool) -> float:
    """HSIC around the true means, from sums around the shifts.

    With m and h the means of the shifted rows a and b: ‖a − m‖² = ‖a‖² − 2 a·m + ‖m‖², and the same for b;
    the sum of their products is multiplied out.
    """
    m, h = left.total / count, right.total / count
    by_other, by_own = (left.by_own, right.by_own) if left is right else (left.by_other, right.by_other)
    mm, hh = float(m @ m), float(h @ h)
    centred_product = product - count * np.outer(m, h)
    squared = float(np.vdot(centred_product, centred_product))
    if not unbiased:
        return squared
    cross = both - 2 * float(by_own @ h) - 2 * float(by_other @ m) + 4 * float(m @ product @ h)
    cross += hh * (left.norms - 2 * count * mm) + mm * (right.norms - 2 * count * hh) + count * mm * hh
    return unbiased_hsic(count, squared, left.norms - count * mm, right.norms - count * hh, cross)


def minibatch_cka(batches: Iterable[tuple[Array, Array]], *, unbiased: bool = True) -> float:
    """CKA from HSICs that are averaged over batches before the ratio is taken (Nguyen et al. 2021).

    Only one batch is in memory. Unbiased: expected HSICs equal those of all samples, so that independent
    noise stays at 0 for any batch size. Biased: small batches are far too high.

    Args:
        batches: Pairs x (B, ...), y (B, ...), rows paired; 4 samples or more in each.
        unbiased: Which estimator of HSIC.

    Raises:
        DataError: If a batch is too small, or as :func:`~bequest.measure.cka`.

    >>> x = np.random.default_rng(0).normal(size=(60, 3))
    >>> round(minibatch_cka((x[k : k + 20], x[k : k + 20]) for k in (0, 20, 40)), 12)
    1.0
    """
    sums, seen = np.zeros(3), 0
    for x, y in batches:
        one, other = centred(x, "x"), centred(y, "y")
        count = same_length(x=one.x, y=other.x)
        if count < 4:
            raise DataError(
                "a batch is too small for CKA", expected="4 samples or more", got=count, remedy="drop it"
            )
        # The factors that `hsic` leaves out: batches of different sizes must be averaged on one scale.
        weight = count * (count - 3) if unbiased else (count - 1) ** 2
        shared = hsic(squared_product(one, other), one.norms, other.norms, unbiased)
        # A batch with constant features adds nothing to its HSIC with itself.
        selves = [
            0.0 if reason_of(self_value := self_hsic(side, unbiased)) else self_value for side in (one, other)
        ]
        sums += np.array([shared, *selves]) / weight
        seen += 1
    if not seen:
        return no_samples("batches")
    for name, own_sum in (("x", sums[1]), ("y", sums[2])):
        if own_sum <= 0:
            return Undefined(f"the features of {name} are constant in every batch", Reason.CONSTANT)
    return float(sums[0] / np.sqrt(sums[1] * sums[2]))
