"""A number that does not exist, and why."""

from __future__ import annotations

import math

from bequest.measures import Reason


class Undefined(float):
    """NaN with a ``reason`` for readers and a ``code`` for programs: the result of a measure without a value.

    It is a float and behaves as NaN everywhere; :func:`reason_of` and :func:`code_of` read the two.

    >>> value = Undefined("no samples", code=Reason.NO_SAMPLES)
    >>> value != value, reason_of(value), code_of(value), reason_of(0.5)
    (True, 'no samples', <Reason.NO_SAMPLES: 'no_samples'>, None)
    """

    reason: str
    code: Reason

    def __new__(cls, reason: str, code: Reason = Reason.OTHER) -> Undefined:  # noqa: D102
        value = super().__new__(cls, math.nan)
        value.reason, value.code = reason, code
        return value

    def __repr__(self) -> str:
        return f"nan ({self.reason})"

    def __reduce__(self) -> tuple[type[Undefined], tuple[str, Reason]]:
        # float's own would pickle and copy the NaN alone, without its reason.
        return (Undefined, (self.reason, self.code))


def reason_of(value: float) -> str | None:
    """Why ``value`` is NaN, in words; None for a number."""
    if isinstance(value, Undefined):
        return value.reason
    return "the value is not a number" if math.isnan(value) else None


def code_of(value: float) -> Reason | None:
    """Why ``value`` is NaN, as a code; ``Reason.OTHER`` for a plain NaN, None for a number."""
    if isinstance(value, Undefined):
        return value.code
    return Reason.OTHER if math.isnan(value) else None


def no_samples(what: str = "samples") -> Undefined:
    """NaN for a mean over zero samples, seeds, pairs or batches."""
    return Undefined(f"no {what}", Reason.NO_SAMPLES)
