from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bequest.errors import RunFolderError
from bequest.provenance import Provenance
from bequest.record_files import read_record, read_records, write_record, write_records
from bequest.records import Measurement, RunRecord

MEASUREMENT = Measurement(measure="accuracy", arm="mlp", value=0.9, n=5, per_seed={"0": 0.9})


def test_round_trips(tmp_path):
    write_records(tmp_path / "m.json", [MEASUREMENT])
    assert read_records(tmp_path / "m.json", Measurement) == [MEASUREMENT]
    record = RunRecord(id="a", arm="mlp", seed=0, status="done", config={}, provenance=Provenance.here())
    write_record(tmp_path / "r.json", record)
    assert read_record(tmp_path / "r.json", RunRecord) == record


@pytest.fixture(scope="module")
def listed(tmp_path_factory):
    return tmp_path_factory.mktemp("records") / "m.json"


@settings(deadline=None, max_examples=50)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=30))
def test_no_digit_of_a_number_is_lost(listed, values):
    per_seed = {str(seed): value for seed, value in enumerate(values)}
    record = MEASUREMENT.model_copy(update={"per_seed": per_seed})
    assert read_records(write_records(listed, [record]), Measurement) == [record]
    assert json.loads(listed.read_text())[0]["per_seed"] == per_seed


@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity"])
def test_a_number_that_json_lacks_is_read_as_undefined(tmp_path, word):
    (tmp_path / "m.json").write_text(
        f'[{{"measure": "a", "arm": "b", "n": 5, "value": {word}, "reason": "of another program"}}]'
    )
    assert read_records(tmp_path / "m.json", Measurement)[0].value is None


@pytest.mark.parametrize(
    ("fault", "key"),
    [({"value": "much"}, "value"), ({"per_seed": [1, 2]}, "per_seed"), ({"reasons": "none"}, "reasons")],
)
def test_what_does_not_fit_is_refused(tmp_path, fault, key):
    content = {"measure": "a", "arm": "b", "n": 5, "value": 1.0} | fault
    (tmp_path / "m.json").write_text(json.dumps([content]))
    with pytest.raises(RunFolderError, match=rf"(?s)is not a Measurement.*got: +{key}"):
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
