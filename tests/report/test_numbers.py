from __future__ import annotations

import math
import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bequest.report import numbers

QUICK = settings(max_examples=50, deadline=None)

VALUES = st.floats(min_value=-1e9, max_value=1e9, allow_nan=False)
_POWERS = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")


def read(text: str) -> float:
    """What a reader takes a printed number for."""
    mantissa, _, power = text.replace("−", "-").replace(",", "").partition("×10")
    return float(mantissa) * (10.0 ** int(power.translate(_POWERS)) if power else 1.0)


def significant_digits(text: str) -> int:
    """Significant digits of a printed number; zeros that end a whole number only place the point."""
    mantissa = text.partition("×")[0].strip("−").replace(",", "")
    digits = mantissa.replace(".", "").lstrip("0")
    return len(digits if "." in mantissa else digits.rstrip("0"))


@QUICK
@given(VALUES)
@example(0.9995)
@example(0.99949)
@example(0.0099999)
@example(999.9)
def test_a_number_has_three_significant_digits_at_most_and_is_right_in_them(value):
    text = numbers.number(value)
    assert significant_digits(text) <= 3
    # two digits are sure: plain numbers below 0.1 stop after three or four decimals
    assert read(text) == pytest.approx(value, rel=0.051, abs=5e-4 if abs(value) >= 0.01 else 5e-5)
    if abs(value) >= 0.1:
        assert read(text) == pytest.approx(value, rel=0.0051)


@pytest.mark.parametrize("value", [None, math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_a_dash(value):
    assert numbers.number(value) == "—"


@QUICK
@given(VALUES, st.floats(0, 1e3), st.floats(0, 1e3))
def test_an_interval_is_printed_around_its_value(value, below, above):
    low, high = value - below, value + above
    text, bracket = numbers.pair(value, low, high)
    found = re.fullmatch(r"\[(\S+), (\S+)\]", bracket)
    assert found is not None
    for shown, true in ((text, value), (found[1], low), (found[2], high)):
        assert significant_digits(shown) <= 3
        scale = max(abs(value), abs(low), abs(high))
        assert read(shown) == pytest.approx(true, abs=0.051 * scale + 1e-12)


def test_half_an_interval_shows_which_half_is_missing():
    assert numbers.pair(0.5, 0.4, None) == ("0.500", "[0.400, —]")
    assert numbers.pair(None, 0.1, 0.2) == ("—", "[0.100, 0.200]")


def test_negative_zero_has_no_sign():
    assert numbers.pair(-1e-5, -0.011, 0.02)[0] == "0.000"
    assert numbers.number(-0.0) == "0"


def test_minus_signs_are_typographic_everywhere():
    texts = [
        numbers.number(-1.5),
        numbers.number(-1e-9),
        numbers.as_written(-0.5),
        *numbers.pair(-1, -2, -0.5),
    ]
    assert not any("-" in text for text in texts)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(59.6, "1 min 00 s"), (59.4, "59 s"), (3599.7, "1 h 00 min"), (0, "0.0 s"), (math.nan, "—")],
)
def test_durations_round_into_the_next_unit(seconds, text):
    assert numbers.duration(seconds) == text
