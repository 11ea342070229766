"""Numbers as a reader wants them: at most three significant digits, intervals in brackets."""

from __future__ import annotations

import math

Real = float | int
ABSENT = "—"
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def number(value: Real | None) -> str:
    """``value`` with at most three significant digits; powers of ten where plain digits would mislead.

    >>> [number(x) for x in (0.93127, 0.0874, 0.00421, 1, 12.345, 1797, -0.2, 4.2e-7, None)]
    ['0.931', '0.087', '0.0042', '1.00', '12.3', '1,800', '−0.200', '4.20×10⁻⁷', '—']
    """
    if value is None or not math.isfinite(value):
        return ABSENT
    return _scientific(value) if _is_extreme(value) else _fixed(value, _decimals(value))


def pair(value: Real | None, low: Real | None, high: Real | None) -> tuple[str, str]:
    """A value and its interval in brackets, to decimals that suit all three; no interval is ``""``.

    >>> pair(0.9731, 0.9012, 1.0391), pair(-0.003, -0.011, 0.005), pair(0.5, None, None)
    (('0.973', '[0.901, 1.04]'), ('−0.003', '[−0.011, 0.005]'), ('0.500', ''))
    """
    if low is None and high is None:
        return number(value), ""
    finite = [x for x in (value, low, high) if x is not None and math.isfinite(x)]
    largest = max((abs(x) for x in finite), default=0.0)
    if _is_extreme(largest):
        return number(value), f"[{number(low)}, {number(high)}]"
    most = 3 if largest >= 0.01 else 4
    bounds_most = min(most, _decimals(value)) if value else most

    def text(x: Real | None, limit: int) -> str:
        return ABSENT if x is None else _fixed(x, min(limit, _decimals(x or largest)))

    return text(value, most), f"[{text(low, bounds_most)}, {text(high, bounds_most)}]"


def with_interval(value: Real | None, low: Real | None, high: Real | None) -> str:
    """A value and its interval.

    >>> with_interval(0.9731, 0.9012, 1.0391)
    '0.973 [0.901, 1.04]'
    """
    return " ".join(part for part in pair(value, low, high) if part)


def as_written(value: Real) -> str:
    """A number that somebody chose, without zeros that it did not have.

    >>> as_written(0.8), as_written(-0.05), as_written(2000)
    ('0.8', '−0.05', '2,000')
    """
    return number(value) if _is_extreme(value) else f"{float(f'{value:.3g}'):,g}".replace("-", "−")


def count(value: Real) -> str:
    """A count, in full.

    >>> count(32425)
    '32,425'
    """
    return f"{value:,.0f}" if float(value).is_integer() else number(value)


def duration(seconds: Real | None) -> str:
    """A duration with its unit.

    >>> [duration(x) for x in (0.42, 75.2, 7300, None)]
    ['0.4 s', '1 min 15 s', '2 h 01 min', '—']
    """
    if seconds is None or not math.isfinite(seconds):
        return ABSENT
    if seconds < 59.5:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def power_of_ten(exponent: int, mantissa: str = "") -> str:
    """``10`` to an integer power, with a mantissa.

    >>> power_of_ten(-4), power_of_ten(3, "2")
    ('10⁻⁴', '2×10³')
    """
    power = f"10{str(exponent).translate(_SUPERSCRIPT)}"
    return f"{mantissa}×{power}" if mantissa else power


def _is_extreme(value: Real) -> bool:
    return value != 0 and not 1e-3 <= abs(value) < 1e6


def _decimals(value: Real) -> int:
    """Decimals that leave at most three significant digits, and never more than four."""
    size = abs(float(f"{value:.3g}"))
    if size == 0:
        return 0
    return 4 if size < 0.01 else max(0, min(3, 2 - math.floor(math.log10(size))))


def _fixed(value: Real, decimals: int) -> str:
    text = f"{float(f'{value:.3g}'):,.{decimals}f}"
    zero = not any(digit in text for digit in "123456789")
    return (text.removeprefix("-") if zero else text).replace("-", "−")


def _scientific(value: Real) -> str:
    mantissa, exponent = f"{value:.2e}".split("e")
    return power_of_ten(int(exponent), mantissa).replace("-", "−")
