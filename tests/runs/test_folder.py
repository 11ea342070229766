"""A run folder: its plan, its lock, and how its configuration may change."""

from __future__ import annotations

import shutil

import pytest

from bequest.errors import RunFolderError
from bequest.files import PARTIAL_SUFFIX, read_sealed, write_sealed
from bequest.runs.folder import RESULTS, RunFolder, differences
from bequest.runs.planning import planned


@pytest.fixture
def copied(finished, tmp_path):
    """A finished run that may be changed, with its plan."""
    shutil.copytree(finished[0] / "run", tmp_path / "run")
    return RunFolder(tmp_path / "run"), planned(finished[0] / "study.toml")


def test_the_plan_of_a_run_folder_is_the_plan_that_made_it(finished, tiny):
    folder = RunFolder(finished[0] / "run")
    assert folder.plan().cells == planned(tiny).cells
    assert folder.plan().hash == planned(finished[0] / "study.toml").hash
    with pytest.raises(RunFolderError, match="is not a run folder"):
        RunFolder(finished[0] / "nowhere").plan()


def test_a_finished_run_is_complete_until_a_result_or_the_study_changes(copied, tiny):
    folder, plan = copied
    assert folder.complete(plan)
    assert folder.measured(plan)
    retitled = planned({**tiny, "title": "Another"})
    assert not folder.complete(retitled)
    assert folder.measured(retitled)
    changed = planned(tiny, settings=["measures.training.reach=0.5"])
    assert not folder.measured(changed)
    for name in RESULTS:
        path = folder / name
        before = path.read_bytes()
        path.write_bytes(before + b" ")
        assert not folder.complete(plan)
        assert folder.measured(plan) == (name == "claims.json")
        path.write_bytes(before)
    assert folder.complete(plan)


@pytest.mark.parametrize("content", [None, "{", "[]"])
def test_a_record_that_is_lost_or_damaged_counts_as_none(copied, content):
    folder, plan = copied
    folder.study.unlink()
    if content is not None:
        folder.study.write_text(content)
    assert folder.readable_record() is None
    assert not folder.complete(plan)
    assert not folder.measured(plan)
    folder.prepare(plan)


def test_a_run_that_grows_takes_the_new_configuration(copied, tiny):
    folder, _ = copied
    grown = planned(tiny, seeds=3)
    folder.prepare(grown)
    assert folder.plan().hash == grown.hash
    folder.prepare(grown)
    assert folder.plan().hash == grown.hash


def test_unused_cells_are_refused_amended_or_deleted(copied, tiny):
    folder, plan = copied
    fewer = planned(tiny, seeds=1)
    with pytest.raises(RunFolderError) as refused:
        folder.prepare(fewer)
    text = str(refused.value)
    assert "this configuration would leave 4 finished cells of" in text
    with pytest.raises(RunFolderError, match="holds a run of another study: 'tiny'") as refused:
        folder.prepare(planned({**tiny, "name": "other"}, seeds=1))
    assert "remedy:   choose another folder with --out; if only the name changed, --amend" in str(
        refused.value
    )
    assert "seeds: 2 there, 1 here" in text
    assert "unused: cnn seed 1, mlp seed 1" in text
    assert folder.plan().hash == plan.hash  # a refusal changes nothing
    folder.prepare(fewer, amend=True)
    assert folder.plan().hash == fewer.hash
    assert len(list((folder / "cells").iterdir())) == 8
    folder.prepare(plan, fresh=True)
    assert not (folder / "cells").exists()
    assert not folder.study.exists()
    assert folder.plan().hash == plan.hash


def test_cells_that_did_not_finish_are_no_reason_to_refuse(copied, tiny):
    folder, _ = copied
    for path in (folder.path / "cells").glob("*/record.json"):
        write_sealed(path, {**read_sealed(path), "status": "failed"})
    folder.prepare(planned(tiny, settings=["recipe.lr=0.5"]))


def test_finished_cells_count_though_the_run_was_killed_before_it_noted_them(copied, tiny):
    folder, _ = copied
    record = read_sealed(folder.study)
    for cell in record["cells"]:
        cell["status"] = "waiting"
    write_sealed(folder.study, {**record, "status": "running"})
    other = planned(tiny, settings=["recipe.lr=0.5"])
    with pytest.raises(RunFolderError, match="would leave 8 finished cells"):
        folder.prepare(other)
    folder.study.write_text("{")
    with pytest.raises(RunFolderError, match="would leave 8 finished cells"):
        folder.prepare(other)


def test_a_fresh_start_spares_what_is_not_the_runs(copied, tiny):
    folder, _ = copied
    (folder / "notes.txt").write_text("mine")
    folder.prepare(planned(tiny), fresh=True)
    assert not (folder / "cells").exists()
    assert (folder / "notes.txt").read_text() == "mine"
    assert folder.configuration.is_file()


def test_a_study_that_a_user_wrote_is_no_run(tiny, write_study, tmp_path):
    text = write_study(tiny).read_text()
    folder = RunFolder(tmp_path)
    for fresh in (False, True):
        with pytest.raises(RunFolderError, match="is not empty, and not a run folder"):
            folder.prepare(planned(tiny), fresh=fresh)
    assert (tmp_path / "study.toml").read_text() == text


def test_a_linked_folder_is_named_and_nothing_is_deleted(copied, tiny, tmp_path):
    folder, _ = copied
    (folder / "cells").rename(tmp_path / "outside")
    (folder / "cells").symlink_to(tmp_path / "outside")
    with pytest.raises(RunFolderError, match="is a symbolic link"):
        folder.prepare(planned(tiny), fresh=True)
    assert len(list((tmp_path / "outside").iterdir())) == 8
    assert folder.configuration.is_file()


def test_many_differences_and_cells_are_cut_short(copied, tiny):
    folder, _ = copied
    record = read_sealed(folder.study)
    record["cells"] = [{**record["cells"][0], "seed": seed, "id": f"{seed}"} for seed in range(20)]
    write_sealed(folder.study, record)
    done = read_sealed(next((folder.path / "cells").glob("*/record.json")))
    for seed in range(20):
        write_sealed(folder.path / "cells" / f"{seed}" / "record.json", done)
    with pytest.raises(RunFolderError, match=r"20 finished cells[\s\S]*\.\.\. and 12 more"):
        folder.prepare(planned(tiny))


def test_differences_are_by_value():
    assert differences({"a": 1, "b": {"c": [1]}}, {"a": 1, "b": {"c": [2], "d": 0}}) == [
        "b.c: [1] there, [2] here",
        "b.d: absent there, 0 here",
    ]
    assert differences({"a": 1}, {"a": 1}) == []


def test_what_an_interrupted_write_left_is_deleted(copied):
    folder, plan = copied
    cells = folder / "cells"
    before = {path for path in cells.rglob("*") if path.is_file()}
    partial = next(iter(before)).parent / f".weights.safetensors.x{PARTIAL_SUFFIX}"
    partial.write_bytes(b"half")
    folder.prepare(plan)
    assert not partial.exists()
    assert {path for path in cells.rglob("*") if path.is_file()} == before


def test_one_run_at_a_time(tmp_path):
    folder = RunFolder(tmp_path / "run")
    refusal = pytest.raises(RunFolderError, match="another run is at work in")
    with folder.locked(), refusal, folder.locked():
        pass
    with folder.locked():
        pass


def test_a_foreign_or_unwritable_folder_is_refused(tmp_path, tiny):
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "thesis.tex").write_text("precious")
    for fresh in (False, True):
        with pytest.raises(RunFolderError, match="is not empty, and not a run folder"):
            RunFolder(tmp_path / "foreign").prepare(planned(tiny), fresh=fresh)
    (tmp_path / "file").write_text("x")
    with (
        pytest.raises(RunFolderError, match="cannot write to"),
        RunFolder(tmp_path / "file" / "run").locked(),
    ):
        pass
