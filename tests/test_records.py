from __future__ import annotations

import pytest
from pydantic import ValidationError

from bequest.records import Measurement, Point


def test_an_undefined_number_is_none_and_needs_a_reason():
    with pytest.raises(ValidationError, match="needs a reason"):
        Measurement(measure="inheritance/accuracy", arm="mlp", value=float("nan"), n=5)
    kept = Measurement(measure="a", arm="b", value=float("nan"), n=5, reason="no gap")
    assert kept.value is None


def test_whole_numbers_are_numbers():
    assert Measurement(measure="a", arm="b", value=1, n=5, per_seed={"0": 1}).value == 1.0
    assert Point(x=0, y=0, low=0, high=1).y == 0.0
