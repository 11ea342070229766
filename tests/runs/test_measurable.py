"""What fails of some readings keeps nothing else from being measured."""

from __future__ import annotations

import pytest

import bequest as bq
from bequest import parts
from bequest.files import read_json
from bequest.runs.measurable import measurable
from bequest.runs.planning import planned

pytestmark = pytest.mark.usefixtures("one_worker_here")

PARTS = """
from bequest.data.corruptions import CORRUPTIONS
from bequest.data.transforms import Transform
from bequest.evidence.kind import Kind, cells_of
from bequest.evidence.reading import Reading
from bequest.variants import strict

@strict
class Broken(Transform, name="broken"):
    def __call__(self, x):
        raise ValueError("mine")

class Unreadable(Reading):
    what = "unreadable"
    def read(self, network):
        raise ZeroDivisionError("ours")

class Unread(Kind):
    key = "unread"
    def readings(self, plan):
        for cell in cells_of(plan, "mlp"):
            yield cell, Unreadable()
    def measurements(self, readings):
        raise AssertionError("nobody has its readings")
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(PARTS)
    yield str(path)
    for module in [name for name in parts._contents if name.startswith(parts.PREFIX)]:
        parts._forget(str(path.resolve()), module)


def test_a_split_that_raises_is_left_out_and_the_others_are_measured(tiny, file, tmp_path):
    tiny["use"], tiny["seeds"] = [file], 2
    tiny["arms"] = {name: tiny["arms"][name] for name in ("cnn", "mlp")}
    tiny["claims"] = [{**tiny["claims"][0], "arm": "cnn", "against": "mlp"}]
    del tiny["answer"]
    tiny["splits"]["bad"] = {"description": "never made", "variants": [{"name": "broken"}]}
    tiny["measures"] = {
        "groups": {"both": ["test", "bad"], "fine": ["test", "moved"]},
        "splits": ["test", "bad"],
        "unread": True,
    }
    run = tmp_path / "run"
    result = bq.run(tiny, out=run, workers=1)
    assert (result.study.status, result.trained) == ("partial", 4)
    assert {cell.error.split(":")[0] for cell in result.failed} == {
        "1 of 3 readings could not be made",
        "2 of 4 readings could not be made",
    }
    assert result.read == 4 * 2
    assert result.study.notes[:2] == (
        "the split 'bad' could not be made and is left out: ValueError: mine",
        "the evidence 'unread' could not be read and is left out",
    )
    values = {
        (m["arm"], m["split"]): m["n"]
        for m in read_json(run / "measurements.json")
        if m["measure"] == "accuracy"
    }
    assert values == dict.fromkeys(
        [(arm, split) for arm in ("cnn", "mlp") for split in ("test", "moved", "fine")], 2
    )
    (verdict,) = read_json(run / "claims.json")
    assert verdict["n"] == 2
    del tiny["splits"]["bad"], tiny["measures"]
    mended = bq.run(tiny, out=run, workers=1)
    assert (mended.trained, mended.read, mended.study.status, mended.failed) == (0, 0, "complete", ())


def test_without_failures_all_is_measured(tiny, tmp_path):
    plan = planned(tiny)
    part = measurable(plan, tmp_path, {})
    assert (part.plan, part.without, part.notes) == (plan, frozenset(), ())
