from __future__ import annotations

import json

import pytest

from bequest.errors import RunFolderError
from bequest.records import Curve, Measurement
from bequest.report import terminal_table, write_report
from bequest.report.folder import read_run


def test_everything_that_was_written_is_read(digits_folder, digits_study):
    run = read_run(digits_folder)
    assert run.study == digits_study.study
    assert run.config == digits_study.config
    assert list(run.measurements) == digits_study.measurements
    assert list(run.curves) == digits_study.curves
    assert list(run.verdicts) == digits_study.verdicts
    assert list(run.cells.values()) == digits_study.cells
    assert run.problems == ()


def test_files_that_a_study_does_not_have_are_left_out(digits_copy):
    for absent in ("measurements.json", "curves.json", "claims.json", "study.toml"):
        (digits_copy / absent).unlink()
        assert "</html>" in write_report(digits_copy).read_text()
    run = read_run(digits_copy)
    assert (run.measurements, run.curves, run.verdicts, run.config) == ((), (), (), None)


@pytest.mark.parametrize("read", [write_report, terminal_table])
def test_a_folder_without_a_study_is_refused_with_a_remedy(tmp_path, read):
    with pytest.raises(
        RunFolderError, match=r"is not a run folder[\s\S]*empty or foreign[\s\S]*run the study"
    ):
        read(tmp_path)
    with pytest.raises(RunFolderError, match="no such folder"):
        read(tmp_path / "absent")


def test_a_damaged_file_of_the_study_is_named(digits_copy, digits_study):
    folder = digits_copy
    (folder / "measurements.json").write_text("[{")
    with pytest.raises(RunFolderError, match=r"measurements\.json cannot be read as JSON"):
        write_report(folder)


def test_a_study_of_a_newer_bequest_is_refused(digits_copy, digits_study):
    folder = digits_copy
    content = json.loads((folder / "study.json").read_text())
    (folder / "study.json").write_text(json.dumps(content | {"version": 99}))
    with pytest.raises(RunFolderError, match="newer bequest"):
        write_report(folder)


def test_a_damaged_cell_hides_nothing_else(digits_copy, digits_study):
    folder = digits_copy
    cell = digits_study.study.cells[0]
    (folder / "cells" / cell.id / "record.json").write_text("{}")
    run = read_run(folder)
    assert len(run.cells) == len(digits_study.cells) - 1
    assert run.problems[0].startswith(f"{cell.arm}, seed {cell.seed}: ")
    (folder / "measurements.json").unlink()
    (folder / "curves.json").unlink()
    assert "Unreadable" in write_report(folder).read_text()


def test_cells_without_a_result_come_failed_ones_first(folder_of, partial_study):
    missing = read_run(folder_of(partial_study)).unfinished()
    assert [cell.status for cell in missing] == ["failed"] * 5 + ["waiting"]


def test_records_come_in_the_studys_order_of_splits(digits_folder, digits_study):
    run = read_run(digits_folder)
    places = list(digits_study.study.splits)
    splits = [m.split for m in run.by_split(reversed(run.measurements)) if m.split]
    assert splits == sorted(splits, key=places.index)
    further = [
        Measurement(measure="a", arm="b", value=1.0, n=1, split=split)
        for split in ("of no study", "rotated", "test")
    ]
    assert [m.split for m in run.by_split(further)] == ["test", "rotated", "of no study"]
    curves = [
        Curve(chart="c", arm="a", x_title="x", y_title="y", points=(), split=s) for s in ("scaled", "test")
    ]
    assert [curve.split for curve in run.by_split(curves)] == ["test", "scaled"]
