"""Deleting what the study of a run folder no longer asks for."""

from __future__ import annotations

import shutil

import pytest

import bequest as bq
from bequest.errors import RunFolderError
from bequest.record_files import read_record
from bequest.records import RunRecord
from bequest.runs.folder import RunFolder
from bequest.runs.planning import planned
from bequest.runs.pruning import prune
from bequest.runs.survey import survey
from bequest.studies.cell import cell_folder


@pytest.fixture
def root(finished, tmp_path):
    shutil.copytree(finished[0] / "run", tmp_path / "run")
    return tmp_path / "run"


def files_of(root):
    return {path for path in root.rglob("*") if path.is_file()}


def test_nothing_of_a_finished_run_is_deleted(root):
    before = files_of(root)
    pruned = prune(root)
    assert (pruned.paths, pruned.bytes) == ((), 0)
    assert files_of(root) == before


def test_cells_that_are_not_needed_any_more_go(root, tiny):
    fewer = planned(tiny, seeds=1)
    gone = [cell_folder(root, planned(tiny).cell(arm, 1).id).path for arm in tiny["arms"]]
    RunFolder(root).prepare(fewer, amend=True)
    size = sum(path.stat().st_size for folder in gone for path in folder.rglob("*") if path.is_file())
    announced = prune(root, dry_run=True)
    assert all(folder.is_dir() for folder in gone)
    pruned = prune(root)
    assert pruned == announced
    assert (set(pruned.paths), pruned.bytes) == (set(gone), size)
    assert not any(folder.exists() for folder in gone)
    assert survey(fewer, root).jobs == ()


def test_readings_of_a_split_that_is_gone_go_and_leave_the_record(root, tiny):
    del tiny["splits"]["moved"], tiny["claims"], tiny["answer"]
    plan = planned(tiny)
    RunFolder(root).prepare(plan)
    pruned = prune(root)
    assert {path.parent.name for path in pruned.paths} == {"readings"}
    for cell in plan.cells:
        folder = cell_folder(root, cell.id)
        record = read_record(folder.record, RunRecord)
        assert all((folder.path / name).is_file() for name in record.files)
    assert survey(plan, root).jobs == ()
    assert bq.run(tiny, out=root).trained == 0


def test_snapshots_and_stores_that_nobody_needs_go(root):
    (root / "stores" / "abc").mkdir(parents=True)
    (root / "stores" / "abc" / "view-0.npy").write_bytes(b"1234")
    cell = RunFolder(root).plan().cells[0]
    snapshot = cell_folder(root, cell.id).snapshot(0)
    snapshot.parent.mkdir()
    snapshot.write_bytes(b"12")
    pruned = prune(root)
    assert set(pruned.paths) == {root / "stores" / "abc", snapshot}
    assert pruned.bytes == 6


def test_a_store_that_an_unfinished_cell_may_be_building_stays(root):
    (root / "stores" / "abc").mkdir(parents=True)
    cell_folder(root, RunFolder(root).plan().cells[-1].id).record.unlink()
    assert prune(root).paths == ()
    assert (root / "stores" / "abc").is_dir()


def test_a_folder_whose_study_asks_for_other_cells_is_not_pruned(root):
    (root / "study.json").unlink()
    with pytest.raises(RunFolderError, match="had different cells from those that its study now asks for"):
        prune(root)


def test_a_link_is_deleted_and_what_it_leads_to_is_not(root, tmp_path):
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "thesis.tex").write_text("x")
    (root / "cells" / "link").symlink_to(tmp_path / "precious")
    prune(root)
    assert not (root / "cells" / "link").is_symlink()
    assert (tmp_path / "precious" / "thesis.tex").exists()


def test_a_folder_without_a_run_and_one_at_work_are_refused(root, tmp_path):
    with pytest.raises(RunFolderError, match="is not a run folder"):
        prune(tmp_path / "nowhere")
    with RunFolder(root).locked(), pytest.raises(RunFolderError, match="another run is at work"):
        prune(root)
