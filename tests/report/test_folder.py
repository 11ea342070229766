from __future__ import annotations

import io
import json
import re
from dataclasses import fields

import pytest
from rich.console import Console

from bequest.errors import RunFolderError
from bequest.files import read_sealed
from bequest.records import Curve, Measurement
from bequest.report import terminal_table, write_report
from bequest.report.folder import read_run


def test_everything_that_was_written_is_read(digits_folder, digits_study):
    run = read_run(digits_folder)
    assert run.study.files.keys() == {"measurements.json", "curves.json", "claims.json"}
    assert run.study.model_copy(update={"files": {}}) == digits_study.study
    assert run.config == digits_study.config
    assert list(run.measurements) == digits_study.measurements
    assert list(run.curves) == digits_study.curves
    assert list(run.verdicts) == digits_study.verdicts
    assert list(run.cells) == [record.id for record in digits_study.cells]
    for facts, record in zip(run.cells.values(), digits_study.cells, strict=True):
        assert {f.name: getattr(facts, f.name) for f in fields(facts)} == {
            f.name: getattr(record, f.name) for f in fields(facts)
        }
    assert run.problems == ()


def without_digests(folder):
    """The folder as version 1 left it: study.json names no file."""
    content = read_sealed(folder / "study.json")
    (folder / "study.json").write_text(json.dumps(content | {"files": {}, "version": 1}))
    return folder


def test_files_that_a_study_does_not_have_are_left_out(digits_copy):
    without_digests(digits_copy)
    for absent in ("measurements.json", "curves.json", "claims.json", "study.toml"):
        (digits_copy / absent).unlink()
        assert "</html>" in write_report(digits_copy).read_text()
    run = read_run(digits_copy)
    assert (run.measurements, run.curves, run.verdicts, run.config) == ((), (), (), None)


@pytest.mark.parametrize("read", [write_report, terminal_table])
def test_a_folder_without_a_study_is_refused_with_a_remedy(tmp_path, read):
    with pytest.raises(RunFolderError, match=r"is not a run folder[\s\S]*without study[\s\S]*run the study"):
        read(tmp_path)
    with pytest.raises(RunFolderError, match="no such folder"):
        read(tmp_path / "absent")


RESULTS = ("measurements.json", "curves.json", "claims.json")


@pytest.mark.parametrize("name", RESULTS)
def test_a_file_with_another_digest_is_named_and_nothing_is_to_be_deleted(digits_copy, name):
    path = digits_copy / name
    path.write_bytes(path.read_bytes().replace(b"0.9", b"0.8", 1) + b" ")
    with pytest.raises(
        RunFolderError,
        match=rf"{name} is damaged, or was changed after the run[\s\S]*repeat the command that wrote",
    ) as caught:
        write_report(digits_copy)
    assert "--fresh" not in str(caught.value)


@pytest.mark.parametrize("name", RESULTS)
def test_a_missing_file_and_a_folder_in_its_place_are_named(digits_copy, name):
    (digits_copy / name).unlink()
    with pytest.raises(
        RunFolderError, match=rf"{name} is missing[\s\S]*repeat the command that wrote this folder"
    ):
        read_run(digits_copy)
    (digits_copy / name).mkdir()
    with pytest.raises(RunFolderError, match=rf"{name} is not a file[\s\S]*a folder[\s\S]*move it away"):
        read_run(digits_copy)
    with pytest.raises(RunFolderError, match=f"{name} is not a file"):
        read_run(without_digests(digits_copy))
    (digits_copy / name).rmdir()
    (digits_copy / name).symlink_to("nowhere")
    with pytest.raises(RunFolderError, match=rf"{name} is not a file[\s\S]*a broken link"):
        read_run(digits_copy)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[{", r"measurements\.json cannot be read as JSON"),
        ("7", r"measurements\.json does not hold records"),
        ("[" * 100_000, r"measurements\.json cannot be read as JSON"),
        ('[{"measure": 1}]', r"measurements\.json is not a Measurement"),
        (f'[{{"measure": "a", "arm": "b", "value": {10**400}, "n": 1}}]', "does not hold records"),
    ],
)
def test_damage_without_digests_never_leads_to_starting_over(digits_copy, content, message):
    (without_digests(digits_copy) / "measurements.json").write_text(content)
    with pytest.raises(RunFolderError, match=message) as caught:
        read_run(digits_copy)
    assert "repeat the command that wrote this folder" in str(caught.value)
    assert "--fresh" not in str(caught.value)


@pytest.mark.parametrize("number", ["Infinity", "-Infinity", "NaN", "1e308"])
@pytest.mark.parametrize(("name", "key"), [("curves.json", "x"), ("claims.json", "low")])
def test_numbers_that_cannot_be_drawn_are_refused(digits_copy, name, key, number):
    path = without_digests(digits_copy) / name
    path.write_text(re.sub(rf'"{key}": [-\d.]+', f'"{key}": {number}', path.read_text(), count=1))
    with pytest.raises(RunFolderError, match=rf"{name} holds a number that cannot be drawn"):
        read_run(digits_copy)


def test_an_id_that_no_file_system_takes_is_a_problem(digits_copy):
    content = read_sealed(digits_copy / "study.json")
    content["cells"][0]["id"] = "x" * 5000
    (digits_copy / "study.json").write_text(json.dumps(content))
    (problem,) = read_run(digits_copy).problems
    assert "name too long" in problem.lower()


def test_a_damaged_study_record_is_made_again_by_the_same_command(digits_copy):
    (digits_copy / "study.json").write_text('{"name": 3}')
    with pytest.raises(
        RunFolderError, match=r"is not a StudyRecord[\s\S]*repeat the command that wrote this folder"
    ):
        read_run(digits_copy)


def test_the_record_of_another_cell_and_an_id_that_leads_outside_are_problems(digits_copy, digits_study):
    one, other = digits_study.study.cells[:2]
    cells = digits_copy / "cells"
    (cells / one.id / "record.json").write_text((cells / other.id / "record.json").read_text())
    content = read_sealed(digits_copy / "study.json")
    content["cells"][2]["id"] = "../cells"
    (digits_copy / "study.json").write_text(json.dumps(content))
    belongs, outside = read_run(digits_copy).problems
    assert f"that of another cell, {other.id}" in belongs
    assert "is not the name of a folder" in outside


def test_a_study_of_a_newer_bequest_is_refused(digits_copy, digits_study):
    folder = digits_copy
    content = read_sealed(folder / "study.json")
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
    assert "1 unreadable cell record" in write_report(folder).read_text()
    assert str(folder) not in run.problems[0]


def test_cells_without_a_result_come_failed_ones_first(folder_of, partial_study):
    missing = read_run(folder_of(partial_study)).unfinished()
    assert [cell.status for cell in missing] == ["failed"] * 5 + ["waiting"]


def test_how_many_seeds_there_are(folder_of, digits_study, study_in_rounds, theory_study):
    assert read_run(folder_of(digits_study)).seeds_text() == "5 seeds"
    one = digits_study.study.model_copy(update={"cells": digits_study.study.cells[:1]})
    digits_study.study = one
    assert read_run(folder_of(digits_study)).seeds_text() == "1 seed"
    assert read_run(folder_of(study_in_rounds)).seeds_text() == "5 to 10 seeds"
    without_cells = read_run(folder_of(theory_study))
    assert without_cells.study.cells == ()
    assert without_cells.seeds_text().startswith(str(len(without_cells.study.seeds)))


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


VERSION_1_STUDY = {
    "version": 1, "name": "old", "title": "An old study", "question": "Is it readable?", "scale": "small",
    "status": "complete", "config_hash": "0", "command": "bequest run old", "seeds": [0, 1],
    "splits": {"test": "as they are"}, "cells": [], "answer": "Yes.",
    "arms": [
        {"name": "cnn", "role": "teacher", "student": "cnn", "label": "CNN"},
        {"name": "mlp", "role": "control", "student": "mlp", "label": "MLP"},
        {"name": "mlp<-cnn", "role": "taught", "student": "mlp", "label": "MLP<-CNN", "teachers": ["cnn"],
         "control": "mlp"},
    ],
    "provenance": {"bequest": "0.1.0", "python": "3.11", "platform": "Linux", "packages": {}},
}  # fmt: skip
VERSION_1_MEASUREMENTS = [
    {"measure": "accuracy", "arm": "cnn", "split": "test", "value": 0.9, "n": 2, "per_seed": {"0": 0.9}},
    {"measure": "inheritance/accuracy", "arm": "mlp<-cnn", "teacher": "cnn", "split": "test", "value": None,
     "n": 2, "reason": "teacher and control do not differ: 0 [0, 0] over 2 seeds"},
    {"measure": "agreement", "arm": "mlp<-cnn", "teacher": "cnn", "split": "test", "value": 0.8, "n": 2},
    {"measure": "a_measure_of_old", "arm": "cnn", "value": 3.0, "n": 2},
]  # fmt: skip
VERSION_1_CLAIMS = [
    {"id": "c", "text": "It is.", "source": "here", "contrast": "a > b", "paper_value": 0.7,
     "verdict": "upheld", "value": 0.9, "low": 0.8, "high": 1.0, "n": 2},
]  # fmt: skip
VERSION_1_CURVES = [
    {
        "chart": "distance",
        "arm": "cnn",
        "x_title": "words",
        "y_title": "accuracy",
        "points": [{"x": 1, "y": 0.5}],
    }
]


@pytest.fixture
def version_1_folder(tmp_path):
    files = {"study": VERSION_1_STUDY, "measurements": VERSION_1_MEASUREMENTS, "claims": VERSION_1_CLAIMS}
    for name, content in (files | {"curves": VERSION_1_CURVES}).items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    return tmp_path


def test_a_folder_of_version_1_is_shown_and_drawn(version_1_folder):
    run = read_run(version_1_folder)
    assert run.verdicts[0].expected == 0.7
    page = write_report(version_1_folder).read_text()
    for part in ("Agreement with the teachers", "a measure of old", "own pilot", "Distance"):
        assert part in page
    assert "undefined: teacher and control do not differ" in page
    console = Console(file=io.StringIO(), width=100)
    console.print(terminal_table(version_1_folder))
    assert "✓ upheld  It is.  0.900 [0.800, 1.00]" in console.file.getvalue()
