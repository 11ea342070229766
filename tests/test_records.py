from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from bequest.errors import RunFolderError
from bequest.provenance import Provenance
from bequest.records import (
    Measurement,
    Point,
    RunRecord,
    read_record,
    read_records,
    write_record,
    write_records,
)

MEASUREMENT = Measurement(measure="accuracy", arm="mlp", value=0.9, n=5, per_seed={"0": 0.9})


def test_round_trips(tmp_path):
    write_records(tmp_path / "m.json", [MEASUREMENT])
    assert read_records(tmp_path / "m.json", Measurement) == [MEASUREMENT]
    record = RunRecord(id="a", arm="mlp", seed=0, status="done", config={}, provenance=Provenance.here())
    write_record(tmp_path / "r.json", record)
    assert read_record(tmp_path / "r.json", RunRecord) == record


def test_an_undefined_number_is_none_and_needs_a_reason():
    with pytest.raises(ValidationError, match="needs a reason"):
        Measurement(measure="inheritance/accuracy", arm="mlp", value=float("nan"), n=5)
    kept = Measurement(measure="a", arm="b", value=float("nan"), n=5, reason="no gap")
    assert kept.value is None


def test_whole_numbers_are_numbers_and_words_are_refused_with_their_place(tmp_path):
    assert Measurement(measure="a", arm="b", value=1, n=5, per_seed={"0": 1}).value == 1.0
    assert Point(x=0, y=0, low=0, high=1).y == 0.0
    for fault in ({"value": "much"}, {"value": 1.0, "per_seed": [1, 2]}):
        (tmp_path / "m.json").write_text(json.dumps([{"measure": "a", "arm": "b", "n": 5} | fault]))
        with pytest.raises(RunFolderError, match="is not a Measurement"):
            read_records(tmp_path / "m.json", Measurement)


def test_a_newer_record_is_refused(tmp_path):
    (tmp_path / "r.json").write_text(json.dumps({"version": 99}))
    with pytest.raises(RunFolderError, match="newer bequest"):
        read_record(tmp_path / "r.json", RunRecord)


def test_a_foreign_file_is_named(tmp_path):
    (tmp_path / "m.json").write_text(json.dumps([{"measure": 3}]))
    with pytest.raises(RunFolderError, match="is not a Measurement"):
        read_records(tmp_path / "m.json", Measurement)


def test_a_version_that_is_no_number_is_one_message(tmp_path):
    (tmp_path / "record.json").write_text('{"version": "x"}')
    with pytest.raises(RunFolderError, match="has a damaged version"):
        read_record(tmp_path / "record.json", RunRecord)
