"""Records as a table."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from bequest.errors import MissingExtra
from bequest.record_table import SHOWN_ROWS, RecordTable
from bequest.records import Measurement

ROWS = [
    Measurement(measure="accuracy", arm="<b>", value=0.123456, n=3, per_seed={"0": 0.1}),
    Measurement(measure="accuracy", arm="mlp", value=None, n=1, reason="one seed", reason_code="one_seed"),
]


def test_it_is_a_tuple_that_gives_dictionaries_and_one_line():
    table = RecordTable(ROWS)
    assert tuple(table) == tuple(ROWS)
    assert [row["arm"] for row in table.to_dicts()] == ["<b>", "mlp"]
    assert table.to_dicts()[1]["value"] is None
    assert repr(table) == "RecordTable(2 Measurement)"
    assert repr(RecordTable()) == "RecordTable(0)"


def test_a_notebook_shows_the_columns_that_say_something():
    page = RecordTable(ROWS)._repr_html_()
    assert "<th>reason</th>" in page
    assert "<th>teacher</th>" not in page
    assert "<td>0.1235</td>" in page
    assert "<b>" not in page
    assert page.count("<tr>") == 3
    long = RecordTable(ROWS * SHOWN_ROWS)._repr_html_()
    assert long.count("<tr>") == SHOWN_ROWS + 1
    assert f"and {SHOWN_ROWS} more" in long
    assert RecordTable()._repr_html_() == "<table><tr></tr></table>"


def test_pandas_gets_the_dictionaries_and_is_named_where_it_is_absent(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", SimpleNamespace(DataFrame=lambda rows: ("frame", rows)))
    assert RecordTable(ROWS).to_pandas() == ("frame", RecordTable(ROWS).to_dicts())
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingExtra, match="a data frame needs pandas"):
        RecordTable(ROWS).to_pandas()
