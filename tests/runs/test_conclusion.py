"""From finished cells to the study's record."""

from __future__ import annotations

import shutil

import pytest

from bequest.files import file_digest, read_json
from bequest.record_files import read_record, write_record
from bequest.records import Measurement, RunRecord, StudyRecord
from bequest.runs.conclusion import Conclusion
from bequest.runs.folder import RESULTS, RunFolder
from bequest.runs.jobs.schedule import Answer
from bequest.runs.planning import planned
from bequest.runs.survey import READ, TRAIN, Job
from bequest.studies.cell import cell_folder


@pytest.fixture
def conclusion(finished, tmp_path):
    shutil.copytree(finished[0] / "run", tmp_path / "run")
    folder = RunFolder(tmp_path / "run")
    return Conclusion(folder.plan(), folder)


def test_results_follow_from_the_cells_alone(conclusion, finished):
    root = conclusion.folder.path
    for name in RESULTS:
        (root / name).unlink()
    record = conclusion.judge(conclusion.measure())
    assert record.status == "complete"
    assert record.files == {name: file_digest(root / name) for name in RESULTS}
    for name in RESULTS:
        assert (root / name).read_bytes() == (finished[0] / "run" / name).read_bytes()
    assert conclusion.folder.complete(conclusion.plan)


def test_the_record_says_what_a_reader_needs(conclusion):
    record = read_record(conclusion.folder.study, StudyRecord)
    assert set(record.measures) == {m["measure"] for m in read_json(conclusion.folder / "measurements.json")}
    assert record.measures["cka/null"].mark == "null"
    assert record.profile_arms == ("mlp<-cnn",)
    assert {"properties", "likenesses", "training"} <= set(record.sections)
    assert record.measuring_key == conclusion.plan.measuring_key
    assert record.splits == {"test": "held-out digits", "moved": "moved"}
    assert [arm.name for arm in record.arms] == ["cnn", "mlp", "mlp<-mlp", "mlp<-cnn"]


def test_a_run_under_way_vouches_for_no_result(conclusion):
    record = conclusion.write("running")
    assert (record.files, record.measuring_key, record.measures) == ({}, None, {})
    assert not conclusion.folder.complete(conclusion.plan)


@pytest.mark.parametrize("action", [TRAIN, READ])
def test_a_failed_job_is_its_cells_failure(conclusion, action):
    cell = conclusion.plan.cell("cnn", 1)
    job = Job(action, cell)
    conclusion.failed[job.id] = Answer(job, "failed", "it broke")
    record = conclusion.judge(conclusion.measure())
    assert record.status == "partial"
    (line,) = [line for line in record.cells if line.status == "failed"]
    assert (line.id, line.error) == (cell.id, "it broke")
    items = [Measurement.model_validate(m) for m in read_json(conclusion.folder / "measurements.json")]
    # A failed reading keeps nothing else of its cell from being measured; a failed training does.
    seeds = ("0", "1") if action == "read" else ("0",)
    assert {tuple(m.per_seed) for m in items if (m.measure, m.arm) == ("accuracy", "cnn")} == {seeds}


def test_a_cell_without_a_record_waits(conclusion):
    cell = conclusion.plan.cell("mlp<-cnn", 1)
    cell_folder(conclusion.folder.path, cell.id).record.unlink()
    record = conclusion.write("interrupted")
    assert [line.status for line in record.cells if line.id == cell.id] == ["waiting"]
    assert sum(line.status == "done" for line in record.cells) == 7


def test_warnings_are_gathered_by_arm(conclusion):
    for arm in ("mlp<-cnn", "mlp<-mlp"):
        for seed in (0, 1):
            path = cell_folder(conclusion.folder.path, conclusion.plan.cell(arm, seed).id).record
            record = read_record(path, RunRecord)
            write_record(path, record.model_copy(update={"warnings": ("no help",)}))
    notes = conclusion.write("running").notes
    assert notes == ("mlp<-mlp, mlp<-cnn: no help, seed 0 (2 in all)",)


def test_arms_aside_have_no_notes(tiny, conclusion):
    tiny["arms"]["mlp<-cnn"]["aside"] = True
    path = cell_folder(conclusion.folder.path, conclusion.plan.cell("mlp<-cnn", 0).id).record
    write_record(path, read_record(path, RunRecord).model_copy(update={"warnings": ("no help",)}))
    assert Conclusion(planned(tiny), conclusion.folder).write("running").notes == ()
