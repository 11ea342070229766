from __future__ import annotations

import ast
import copy
import math
import pickle
from pathlib import Path

import bequest.measure
from bequest.measure import Undefined, code_of, reason_of
from bequest.measures import Reason


def test_undefined_is_nan_with_a_reason_that_survives_copies():
    value = Undefined("no samples", code=Reason.NO_SAMPLES)
    assert math.isnan(value)
    assert math.isnan(value + 1)
    assert repr(value) == "nan (no samples)"
    for again in (pickle.loads(pickle.dumps(value)), copy.deepcopy(value)):
        assert (reason_of(again), code_of(again)) == ("no samples", Reason.NO_SAMPLES)


def test_reasons_of_plain_floats():
    assert reason_of(0.5) is None
    assert reason_of(math.nan) == "the value is not a number"
    assert (code_of(0.5), code_of(math.nan), code_of(Undefined("why not"))) == (
        None,
        Reason.OTHER,
        Reason.OTHER,
    )


def test_every_undefined_value_of_the_measures_has_a_code():
    folder = Path(bequest.measure.__file__).parent
    calls = [
        (path.name, node)
        for path in folder.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Undefined"
    ]
    bare = [f"{name}:{node.lineno}" for name, node in calls if len(node.args) + len(node.keywords) < 2]
    assert len(calls) > 20
    assert bare == []
