"""What of a plan is in its run folder, and what is left to do."""

from __future__ import annotations

import shutil

import pytest

import bequest as bq
from bequest.evidence.kinds import readings_of
from bequest.record_files import read_record, write_record
from bequest.records import RunRecord
from bequest.runs.planning import planned
from bequest.runs.survey import READ, TRAIN, Job, record_of_cell, state_of, survey
from bequest.studies.cell import cell_folder

pytestmark = pytest.mark.usefixtures("one_worker_here_all_along")


@pytest.fixture
def copied(finished, tmp_path):
    shutil.copytree(finished[0] / "run", tmp_path / "run")
    return planned(finished[0] / "study.toml"), tmp_path / "run"


def test_nothing_is_there_before_a_run(tiny, tmp_path):
    plan = planned(tiny)
    seen = survey(plan, tmp_path)
    assert [job.action for job in seen.jobs] == [TRAIN] * 8 + [READ] * 8
    assert (seen.cells, seen.to_train, seen.trained, seen.damaged) == (8, 8, frozenset(), ())
    assert seen.readings == sum(len(readings) for readings in readings_of(plan).values())
    assert seen.sentence() == f"0 cells finished, 8 to train, {seen.readings} readings to make"


def test_all_is_there_after_it(copied):
    plan, root = copied
    seen = survey(plan, root)
    assert (seen.jobs, seen.readings) == ((), 0)
    assert seen.trained == {cell.id for cell in plan.cells}
    assert seen.sentence() == "all 8 cells and their readings are finished"


@pytest.mark.parametrize("name", ["weights", "metrics"])
@pytest.mark.parametrize("how", ["lost", "damaged", "a folder"])
def test_a_file_of_the_training_is_verified(copied, name, how):
    plan, root = copied
    cell = plan.cell("mlp", 1)
    path = getattr(cell_folder(root, cell.id), name)
    content = path.read_bytes()
    path.unlink()
    if how == "damaged":
        path.write_bytes(content[:-1])
    elif how == "a folder":
        path.mkdir()
    seen = survey(plan, root)
    assert seen.jobs == (Job(TRAIN, cell),)
    assert seen.damaged == (() if how == "lost" else (path,))
    assert seen.sentence() == "7 cells finished, 1 to train, 0 readings to make"


def test_a_reading_is_verified_and_only_it_is_made_again(copied):
    plan, root = copied
    cell = plan.cell("cnn", 0)
    first, second, third = sorted((cell_folder(root, cell.id).path / "readings").iterdir())
    first.unlink()
    second.write_bytes(b"no array")
    seen = survey(plan, root)
    assert seen.jobs == (Job(READ, cell),)
    assert (seen.readings, seen.damaged) == (2, (second,))
    state = state_of(root, cell)
    assert state.trained
    assert state.readings == {third.stem}
    assert set(state.lacking(readings_of(plan)[cell.id])) == {first.stem, second.stem}


def test_a_cell_that_must_be_watched_is_trained_again(copied, tiny):
    _, root = copied
    plan = planned(tiny, settings=["measures.paths=['mlp', 'cnn']"])
    seen = survey(plan, root)
    assert {job.cell.arm for job in seen.jobs} == {"mlp", "cnn"}
    assert seen.again == {cell.id for cell in plan.cells if cell.arm in ("mlp", "cnn")}
    assert "4 to train (4 of them again, for their training paths)" in seen.sentence()


def test_a_record_of_another_cell_a_failed_or_a_damaged_one_is_none(copied):
    plan, root = copied
    cell, other = plan.cell("mlp", 0), plan.cell("mlp", 1)
    folder = cell_folder(root, cell.id)
    record = read_record(folder.record, RunRecord)
    assert record_of_cell(folder, cell) == record
    write_record(folder.record, record.model_copy(update={"status": "failed"}))
    assert not state_of(root, cell).trained
    write_record(folder.record, record.model_copy(update={"files": {}}))
    assert not state_of(root, cell).trained
    shutil.copy(cell_folder(root, other.id).record, folder.record)
    assert record_of_cell(folder, cell) is None
    folder.record.write_text("{")
    assert record_of_cell(folder, cell) is None
    folder.record.unlink()
    assert record_of_cell(folder, cell) is None


def test_jobs_require_teachers_and_follow_the_plain_student(tiny):
    plan = planned(tiny)
    taught = plan.cell("mlp<-cnn", 0)
    cnn, mlp = plan.cell("cnn", 0), plan.cell("mlp", 0)
    job = Job(TRAIN, taught)
    assert job.id == f"train {taught.id}"
    assert job.requires == {f"train {cnn.id}"}
    assert job.follows == {f"train {cnn.id}", f"train {mlp.id}"}
    assert Job(READ, taught).requires == Job(READ, taught).follows == {f"train {taught.id}"}


def taught_elsewhere(root, plan):
    """Let the record of a student say that its teacher had other weights."""
    student = plan.cell("mlp<-cnn", 0)
    folder = cell_folder(root, student.id)
    record = read_record(folder.record, RunRecord)
    (teacher,) = record.teachers
    other = teacher.model_copy(update={"digest_before": "0" * 64, "digest_after": "0" * 64})
    write_record(folder.record, record.model_copy(update={"teachers": (other,)}))
    return student


def test_a_student_of_other_weights_than_its_teacher_has_is_taught_again(copied):
    plan, root = copied
    student = taught_elsewhere(root, plan)
    assert survey(plan, root).jobs == (Job(TRAIN, student),)
    write_record(
        cell_folder(root, student.teachers["cnn"]).record,
        read_record(cell_folder(root, student.teachers["cnn"]).record, RunRecord).model_copy(
            update={"status": "failed"}
        ),
    )
    jobs = survey(plan, root).jobs  # it is compared once its teacher is there again
    assert Job(TRAIN, student) not in jobs
    assert Job(TRAIN, plan.cell("cnn", 0)) in jobs


def test_a_teacher_that_comes_to_other_weights_is_followed_by_its_students(copied, finished):
    plan, root = copied
    student = taught_elsewhere(root, plan)
    cell_folder(root, student.teachers["cnn"]).record.unlink()
    result = bq.run(finished[0] / "study.toml", out=root, workers=1)
    assert (result.trained, result.failed) == (2, ())
    (teacher,) = read_record(cell_folder(root, student.id).record, RunRecord).teachers
    trained = read_record(cell_folder(root, teacher.cell).record, RunRecord)
    assert teacher.digest_before == trained.weights_digest


def test_a_record_in_the_place_of_a_teachers_costs_no_student(copied):
    plan, root = copied
    teacher, other = plan.cell("cnn", 0), plan.cell("mlp", 0)
    paths = [cell_folder(root, cell.id).record for cell in (teacher, other)]
    contents = [path.read_bytes() for path in paths]
    for path, content in zip(paths, reversed(contents), strict=True):
        path.write_bytes(content)
    jobs = survey(plan, root).jobs
    assert {job.cell.id for job in jobs if job.action == TRAIN} == {teacher.id, other.id}


def test_damaged_weights_and_a_damaged_reading_of_one_cell_are_made_again_by_one_command(copied, finished):
    plan, root = copied
    cell = plan.cell("mlp", 0)
    folder = cell_folder(root, cell.id)
    first = min((folder.path / "readings").iterdir())
    content = first.read_bytes()
    first.write_bytes(content[:100])
    folder.weights.write_bytes(folder.weights.read_bytes()[:-1])
    result = bq.run(finished[0] / "study.toml", out=root, workers=1)
    assert (result.trained, result.read, result.failed) == (1, 1, ())
    assert first.read_bytes() == content


def test_an_online_teacher_begins_with_other_weights_than_it_ends_with(tiny, tmp_path):
    tiny["arms"]["mlp<-cnn"]["mode"] = "online"
    result = bq.run(tiny, out=tmp_path / "run", arms=["mlp<-cnn"], seeds=1, workers=1)
    assert result.failed == ()
    assert bq.run(tiny, out=tmp_path / "run", arms=["mlp<-cnn"], seeds=1).trained == 0
