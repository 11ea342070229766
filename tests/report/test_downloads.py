from __future__ import annotations

import base64
import csv
import io
import json
import re

import pytest

from bequest.records import Measurement
from bequest.report import downloads
from bequest.report.folder import read_run
from bequest.report.palette import styles
from bequest.report.tables import arms_tables


@pytest.fixture
def run(digits_folder):
    return read_run(digits_folder)


def drawn(run):
    return arms_tables(run, styles(run.study.arms))


def decoded(download) -> str:
    return base64.b64decode(download.href.partition("base64,")[2]).decode()


def test_downloads_hold_the_records_whole(run):
    files, left = downloads.downloads(run, drawn(run), room=1_000_000)
    content = {file.name: decoded(file) for file in files}
    assert left == ()
    assert set(content) == {"arms.csv", "arms.json", "measurements.json", "claims.json", "curves.json"}
    assert [Measurement(**m) for m in json.loads(content["measurements.json"])] == list(run.measurements)
    assert all(file.size == len(content[file.name].encode()) for file in files)


def test_the_csv_and_the_json_of_the_arms_agree_with_the_measurements(run):
    files, _ = downloads.downloads(run, drawn(run), room=1_000_000)
    content = {file.name: decoded(file) for file in files}
    at = {(m.measure, m.arm, m.split): m for m in run.measurements}
    lines = list(csv.DictReader(io.StringIO(content["arms.csv"])))
    assert len(lines) == 3 * len(run.study.arms) * len(run.study.splits)
    for line in (*lines, *json.loads(content["arms.json"])):
        m = at[line["measure"], line["arm"], line["split"]]
        assert [float(line[key]) for key in ("value", "low", "high")] == [m.value, m.low, m.high]
        assert int(line["n"]) == m.n


def test_what_is_too_large_stays_in_the_run_folder(run):
    files, left = downloads.downloads(run, drawn(run), room=300_000)
    assert left == ("curves.json",)
    assert sum(len(file.href) for file in files) <= 300_000
    nothing, all_left = downloads.downloads(run, drawn(run), room=-5)
    assert (nothing, len(all_left)) == ((), 5)


@pytest.mark.parametrize("formula", ['=HYPERLINK("x")', "+1", "-1", "@SUM(1)", "\t=1", " =1", "\r=1", "\n=1"])
def test_no_cell_of_the_csv_is_a_formula(folder_of, digits_study, formula):
    digits_study.measurements = [
        Measurement(measure="accuracy", arm=formula, split=formula, value=-0.5, low=-1.0, high=0.0, n=2),
        Measurement(measure="accuracy", arm="cnn", split=formula, value=None, n=0, reason=formula),
    ]
    run = read_run(folder_of(digits_study))
    tables = arms_tables(run, styles(run.study.arms, [formula]))
    lines = list(csv.DictReader(io.StringIO(downloads.arms_csv(tables), newline="")))
    shown = "'" + re.sub(r"\s", " ", formula)
    (line,) = [line for line in lines if line["value"]]
    assert (line["arm"], line["split"], line["value"]) == (shown, shown, "-0.5")
    assert shown in {line["reason"] for line in lines}
    assert {cell["arm"] for cell in json.loads(downloads.arms_json(tables))} >= {formula}
