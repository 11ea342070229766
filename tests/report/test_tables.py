from __future__ import annotations

import pytest

from bequest.records import Measurement
from bequest.report import tables, write_report
from bequest.report.folder import read_run
from bequest.report.numbers import pair
from bequest.report.palette import styles


@pytest.fixture
def run(digits_folder):
    return read_run(digits_folder)


def drawn(run):
    return tables.arms_tables(run, styles(run.study.arms))


def test_there_is_a_table_for_each_measure_and_accuracy_comes_first(run):
    assert [table.measure for table in drawn(run)] == ["accuracy", "nll", "ece"]
    assert drawn(run)[0].splits == tuple(run.study.splits)


def test_rows_are_teachers_then_controls_then_taught(run):
    roles = [row.style.role for row in drawn(run)[0].rows]
    assert roles == sorted(roles, key=["teacher", "control", "taught"].index)
    assert len(roles) == len(run.study.arms)


def test_every_cell_is_its_measurement(run):
    at = {(m.measure, m.arm, m.split): m for m in run.measurements}
    for table in drawn(run):
        for row in table.rows:
            for split, cell in zip(table.splits, row.cells, strict=True):
                m = at[table.measure, row.style.name, split]
                assert (cell.value, cell.n) == (m.value, m.n)
                assert (cell.text, cell.interval) == pair(m.value, m.low, m.high)
            assert row.n == "5"
        assert table.method == "95 % intervals (paired t)"


@pytest.mark.parametrize(("measure", "best"), [("accuracy", max), ("nll", min)])
def test_best_and_worst_follow_the_measures_direction(run, measure, best):
    (table,) = [table for table in drawn(run) if table.measure == measure]
    for column in range(len(table.splits)):
        cells = [row.cells[column] for row in table.rows]
        values = [cell.value for cell in cells]
        assert [cell.value for cell in cells if cell.rank == "best"] == [best(values)]
        assert [cell.value for cell in cells if cell.rank == "worst"] == [
            ({max: min, min: max}[best])(values)
        ]


def test_equal_numbers_have_no_best(folder_of, digits_study):
    digits_study.measurements = [
        Measurement(measure="accuracy", arm=arm, split="test", value=value, n=5)
        for arm, value in (("cnn", 0.97001), ("mlp", 0.97002))
    ]
    (table,) = drawn(read_run(folder_of(digits_study)))
    assert {cell.rank for row in table.rows for cell in row.cells} == {""}


def test_an_arm_without_a_result_has_an_empty_row_and_an_undefined_one_its_reason(folder_of, digits_study):
    digits_study.measurements = [
        Measurement(measure="accuracy", arm="cnn", split="test", value=0.9, n=3),
        Measurement(measure="accuracy", arm="cnn", split="scaled", value=0.8, n=5),
        Measurement(measure="accuracy", arm="mlp", split="test", value=None, n=0, reason="all cells failed"),
    ]
    (table,) = drawn(read_run(folder_of(digits_study)))
    rows = {row.style.name: row for row in table.rows}
    assert len(rows) == len(digits_study.study.arms)
    assert rows["cnn"].n == "3–5"
    assert (rows["mlp"].cells[0].text, rows["mlp"].cells[0].reason) == ("undefined", "all cells failed")
    assert (rows["mlp<-cnn"].cells[0].text, rows["mlp<-cnn"].n) == ("—", "—")


def test_what_fits_no_other_place_is_listed(folder_of, theory_study):
    run = read_run(folder_of(theory_study))
    found = tables.other_numbers(run, styles([], ["student", "teacher"]))
    assert found.rows == (
        ("sharpness", "student", "—", "0.873", "—", "1"),
        ("residual", "student", "—", "3.20×10⁻¹¹", "—", "1"),
        ("replica gap", "teacher", "—", "undefined: no convergence", "—", "0"),
    )


def test_a_biased_value_is_marked_and_the_note_says_why(folder_of, digits_study, tmp_path):
    reason = "20 bins of 20 samples read .05 too high"
    digits_study.measurements = [
        Measurement(
            measure="ece", arm="cnn", split="test", value=0.1, n=5, reason=reason, reason_code="biased"
        ),
        Measurement(measure="ece", arm="mlp", split="test", value=0.2, n=5),
    ]
    folder = folder_of(digits_study)
    (table,) = drawn(read_run(folder))
    biased = {row.style.name: row.cells[0].is_biased for row in table.rows}
    assert [arm for arm, is_biased in biased.items() if is_biased] == ["cnn"]
    assert table.bias == reason
    page = write_report(folder, tmp_path / "page.html").read_text()
    assert page.count("<sup>†</sup>") == 1
    assert f"† Biased: {reason}." in page
