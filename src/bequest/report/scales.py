"""Axes: from values to places on a panel, in percent, and the ticks between."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from bequest.report.numbers import Real, power_of_ten

_REACH = 0.75  # of the span of the values: how far beyond them an interval is drawn
_LEAST = 1e-200  # spans and logarithms below it are beyond what floats divide
_NEAR = 0.45  # of a tick's step: an end nearer to a tick than this is moved out to it


@dataclass(frozen=True)
class Tick:
    """A place on an axis, in percent of its length, and its text."""

    at: Real
    text: str


@dataclass(frozen=True)
class Scale:
    """An axis from ``low`` to ``high``, linear or logarithmic."""

    low: Real
    high: Real
    log: bool = False

    def at(self, value: Real) -> float:
        """The place of ``value`` in percent of the axis; outside of 0..100 where it lies beyond.

        >>> Scale(0, 4).at(1), Scale(1, 100, log=True).at(10)
        (25.0, 50.0)
        """
        low, high, here = (self._flat(x) for x in (self.low, self.high, value))
        return round(100 * (here - low) / (high - low), 2)

    def inside(self, value: Real) -> float:
        """The place of ``value``, or the end of the axis that it lies beyond."""
        return min(100.0, max(0.0, self.at(value)))

    def ticks(self, most: int = 6, *, whole: bool = False) -> list[Tick]:
        """Round values on the axis, about ``most`` of them at the most; ``whole`` ones where asked.

        >>> [tick.text for tick in Scale(0, 1).ticks()]
        ['0', '0.2', '0.4', '0.6', '0.8', '1']
        >>> [tick.text for tick in Scale(1e-4, 1, log=True).ticks()]
        ['10⁻⁴', '10⁻³', '0.01', '0.1', '1']
        """
        return [Tick(self.at(value), tick_text(value)) for value in self.stops(most, whole=whole)]

    def stops(self, most: int = 6, *, whole: bool = False) -> list[Real]:
        """Round values of the axis, where it is labelled."""
        return _decades(self.low, self.high, most) if self.log else _steps(self.low, self.high, most, whole)

    def _flat(self, value: Real) -> float:
        return math.log10(max(value, self.low * 1e-3)) if self.log else float(value)


def scale_over(values: Iterable[Real | None], *, log: bool = False, tight: bool = False) -> Scale:
    """The scale on which all ``values`` lie, its ends on a tick where one is near; ``tight`` adds nothing.

    >>> scale_over([0.07, 0.93])
    Scale(low=0.0, high=1.0, log=False)
    >>> scale_over([1, 60], tight=True)
    Scale(low=1.0, high=60.0, log=False)
    """
    finite = [value for value in values if value is not None and math.isfinite(value)]
    finite = [value for value in finite if value > _LEAST] if log else finite
    if not finite:
        return Scale(1.0, 10.0, log=True) if log else Scale(0.0, 1.0)
    low, high = float(min(finite)), float(max(finite))
    if high - low <= _LEAST:
        room = abs(low) / 3 if abs(low) > _LEAST else 1.0
        low, high = (low / 2, high * 2) if log else (low - room, high + room)
    if tight:
        return Scale(low, high, log)
    if log:
        margin = (high / low) ** 0.04
        return Scale(_clean(low / margin), _clean(high * margin), log=True)
    step = _step(low, high, 6)
    below, above = math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step
    room = 0.04 * (high - low)
    low = below if low - below <= _NEAR * step else low - room
    high = above if above - high <= _NEAR * step else high + room
    return Scale(_clean(low), _clean(high))


def scale_within(ends: Iterable[Real], values: Iterable[Real], *, log: bool = False) -> Scale:
    """The scale of all ``values``, and of their intervals' ``ends`` as far as these stay near.

    >>> scale_within([-0.2, 90.0], [0.0, 1.0])
    Scale(low=-0.278, high=1.828, log=False)
    """
    drawn = list(values)
    if not drawn or log:
        return scale_over([*drawn, *ends], log=log)
    reach = _REACH * ((max(drawn) - min(drawn)) or abs(drawn[0]) or 1.0)
    low, high = min(drawn) - reach, max(drawn) + reach
    return scale_over([*drawn, *(min(max(end, low), high) for end in ends)])


def looks_logarithmic(values: Iterable[Real]) -> bool:
    """Whether ``values`` were spaced by factors: positive, over a decade and more evenly so in logarithms.

    >>> looks_logarithmic([1e3, 3e3, 9e3, 32e3]), looks_logarithmic(range(1, 61))
    (True, False)
    """
    places = sorted(set(values))
    if len(places) < 4 or places[0] <= 0 or places[-1] / places[0] < 20:
        return False
    return _unevenness([math.log(value) for value in places]) < _unevenness(places)


def _unevenness(values: list[Real]) -> float:
    gaps = [after - before for before, after in pairwise(values)]
    mean = sum(gaps) / len(gaps)
    return sum((gap - mean) ** 2 for gap in gaps) / len(gaps) / mean**2


def _step(low: Real, high: Real, most: int) -> float:
    rough = (high - low) / max(1, most - 1)
    power = 10.0 ** math.floor(math.log10(rough))
    return next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * (1 - 1e-9))


def _steps(low: Real, high: Real, most: int, whole: bool) -> list[Real]:
    step = _step(low, high, most)
    step = max(1.0, round(step)) if whole and step < 10 else step
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [_clean(k * step) for k in range(first, last + 1)]


def _decades(low: Real, high: Real, most: int) -> list[Real]:
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    stride = max(1, math.ceil((last - first) / most))
    within = [10.0**k for k in range(first, last + 1, stride) if low * 0.999 <= 10.0**k <= high * 1.001]
    if len(within) >= 3:
        return within
    finer = [m * 10.0**k for k in range(first, last + 1) for m in (1, 2, 5)]
    return [value for value in finer if low * 0.999 <= value <= high * 1.001]


def _clean(value: Real) -> float:
    """Without the dust of binary arithmetic, so that 0.30000000000000004 is 0.3."""
    return float(f"{value:.12g}")


def tick_text(value: Real) -> str:
    """A round value as an axis shows it."""
    size = abs(value)
    if size == 0 or (1e-2 <= size < 1e6) or (size >= 2e-3 and round(value, 3) == value):
        return f"{value:,.10g}".replace("-", "−")
    exponent = math.floor(math.log10(size) + 1e-9)
    mantissa = f"{value / 10.0**exponent:.3g}"
    return power_of_ten(exponent, "" if mantissa == "1" else mantissa).replace("-", "−")
