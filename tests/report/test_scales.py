from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bequest.report.scales import Scale, looks_logarithmic, scale_over

QUICK = settings(max_examples=50, deadline=None)

VALUES = st.lists(st.floats(-1e6, 1e6).map(lambda x: round(x, 6)), min_size=1, max_size=12)
POSITIVE = st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=12)


@QUICK
@given(VALUES, st.booleans())
def test_every_value_lies_on_its_scale(values, tight):
    scale = scale_over(values, tight=tight)
    assert all(-1e-6 <= scale.at(value) <= 100 + 1e-6 for value in values)


@QUICK
@given(POSITIVE)
def test_every_positive_value_lies_on_a_logarithmic_scale(values):
    scale = scale_over(values, log=True)
    assert all(-1e-6 <= scale.at(value) <= 100 + 1e-6 for value in values)


@QUICK
@given(VALUES, st.integers(3, 8), st.booleans())
def test_ticks_are_few_ordered_evenly_spaced_and_on_the_axis(values, most, whole):
    ticks = scale_over(values).ticks(most, whole=whole)
    places = [tick.at for tick in ticks]
    assert len(ticks) <= most + 1
    assert places == sorted(set(places))
    assert all(-0.01 <= place <= 100.01 for place in places)
    gaps = [after - before for before, after in pairwise(places)]
    assert all(gap == pytest.approx(gaps[0], abs=0.02) for gap in gaps)


@QUICK
@given(POSITIVE, st.integers(3, 8))
def test_logarithmic_ticks_say_where_they_are(values, most):
    powers = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")
    scale = scale_over(values, log=True)
    for tick in scale.ticks(most):
        mantissa, ten, power = (
            tick.text.replace(",", "").rpartition("10") if "×10" in tick.text else ("", "", "")
        )
        if ten and "×" in mantissa:
            value = float(mantissa.rstrip("×")) * 10.0 ** int(power.translate(powers))
        elif any(sign in tick.text for sign in "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"):
            value = 10.0 ** int(tick.text.removeprefix("10").translate(powers))
        else:
            value = float(tick.text.replace(",", ""))
        assert scale.at(value) == pytest.approx(tick.at, abs=0.02)


def test_whole_ticks_are_whole():
    assert [tick.text for tick in Scale(0, 9).ticks(5, whole=True)] == ["0", "2", "4", "6", "8"]


def test_a_scale_over_nothing_is_the_unit():
    assert scale_over([None, math.nan]) == Scale(0.0, 1.0)
    assert scale_over([-1.0, None], log=True).log


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("values", [[1e-320], [0.0, 1e-320], [5e-324, 1e-310], [1e100, -1e100], [1e100]])
def test_the_smallest_and_the_largest_numbers_have_a_scale_with_ticks(values, log):
    scale = scale_over(values, log=log)
    assert scale.low < scale.high
    assert scale.ticks()


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([10.0**k for k in range(-4, 2)], True),
        ([1, 2, 4, 8, 16, 32], True),
        (list(range(1, 200)), False),
        ([0, 1, 10, 100], False),
        ([1, 10], False),
        ([5, 5, 5, 5], False),
    ],
)
def test_spacing_by_factors_is_told_from_spacing_by_steps(values, expected):
    assert looks_logarithmic(values) is expected
