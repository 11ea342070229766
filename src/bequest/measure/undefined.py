"""A number that does not exist, and why."""

from __future__ import annotations

import math


class Undefined(float):
    """NaN with a ``reason``: what a measure returns where its formula has no value.

    It is a float and behaves as NaN everywhere; :func:`reason_of` reads the reason.

    >>> value = Undefined("no samples")
    >>> value != value, reason_of(value), reason_of(0.5)
    (True, 'no samples', None)
    """

    reason: str

    def __new__(cls, reason: str) -> Undefined:  # noqa: D102
        value = super().__new__(cls, math.nan)
        value.reason = reason
        return value

    def __repr__(self) -> str:
        return f"nan ({self.reason})"

    def __reduce__(self) -> tuple[type[Undefined], tuple[str]]:
        return (Undefined, (self.reason,))


def reason_of(value: float) -> str | None:
    """Why ``value`` is NaN; None for a number that exists."""
    if isinstance(value, Undefined):
        return value.reason
    return "the value is not a number" if math.isnan(value) else None
