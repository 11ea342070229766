from __future__ import annotations

import copy
import math
import pickle

from bequest.measure import Undefined, reason_of


def test_undefined_is_nan_with_a_reason_that_survives_copies():
    value = Undefined("no samples")
    assert math.isnan(value)
    assert math.isnan(value + 1)
    assert repr(value) == "nan (no samples)"
    for again in (pickle.loads(pickle.dumps(value)), copy.deepcopy(value)):
        assert reason_of(again) == "no samples"


def test_reasons_of_plain_floats():
    assert reason_of(0.5) is None
    assert reason_of(math.nan) == "the value is not a number"
