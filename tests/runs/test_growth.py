"""A run grows: the same folder, a changed study, and only what is new is done."""

from __future__ import annotations

import shutil

import pytest

import bequest as bq
from bequest.errors import RunError, RunFolderError
from bequest.files import read_sealed, write_sealed
from bequest.runs.folder import RunFolder
from bequest.runs.pruning import prune
from bequest.runs.survey import state_of, survey
from bequest.studies.cell import cell_folder

pytestmark = pytest.mark.usefixtures("one_worker_here")

RESULTS = ("measurements.json", "curves.json", "claims.json")


@pytest.fixture
def grown(finished, tiny, write_study, tmp_path):
    """A function that runs the study as it is now in a folder with a finished run, and that folder."""
    shutil.copytree(finished[0] / "run", tmp_path / "run")

    def run(content=tiny, **options):
        return bq.run(write_study(content), out=tmp_path / "run", workers=1, **options)

    return run, tmp_path / "run"


def bytes_of(folder):
    return {name: (folder / name).read_bytes() for name in RESULTS}


def test_again_there_is_nothing_to_do(grown):
    run, folder = grown
    before = bytes_of(folder)
    again = run()
    assert (again.trained, again.read, again.conclusion) == (0, 0, "nothing")
    assert bytes_of(folder) == before


def test_another_title_or_claim_computes_verdicts_only(grown, tiny):
    run, folder = grown
    measured = (folder / "measurements.json").stat().st_mtime_ns
    tiny["title"] = "Another title"
    tiny["claims"].append({**tiny["claims"][0], "id": "worse", "direction": "below"})
    result = run(tiny)
    assert (result.trained, result.read, result.conclusion) == (0, 0, "verdicts")
    assert result.study.title == "Another title"
    assert (folder / "measurements.json").stat().st_mtime_ns == measured
    assert b"worse" in (folder / "claims.json").read_bytes()


def test_another_measure_measures_and_reads_nothing(grown, tiny):
    run, folder = grown
    tiny["measures"] = {"profile": ["accuracy", "brier"]}
    result = run(tiny)
    assert (result.trained, result.read, result.conclusion) == (0, 0, "measuring")
    assert b"inheritance/brier" in (folder / "measurements.json").read_bytes()


def test_another_split_and_corruption_are_read_and_train_nothing(grown, tiny):
    run, folder = grown
    tiny["splits"]["turned"] = {"description": "turned", "variants": [{"name": "rotate", "angle": 9.0}]}
    tiny["measures"] = {"corruptions": ["contrast"]}
    result = run(tiny)
    # Eight cells answer on the split and go through the corruption; the six students among them, whose nulls
    # are measured, also answer on the split before training.
    assert result.trained == 0
    assert result.read == 2 * 8 + 6
    text = (folder / "measurements.json").read_text()
    assert '"turned"' in text
    assert "corrupted/contrast" in text


def test_another_seed_trains_that_seed_only(grown):
    run, folder = grown
    result = run(seeds=3)
    assert result.trained == 4
    assert result.study.seeds == (0, 1, 2)
    assert survey(RunFolder(folder).plan(), folder).jobs == ()


def test_another_arm_trains_that_arm_only(grown, tiny):
    run, _ = grown
    tiny["arms"]["cnn<-mlp"] = {"student": "cnn", "teachers": ["mlp"]}
    assert run(tiny).trained == 2


def test_paths_that_are_asked_for_later_train_those_arms_again_to_the_same_weights(grown, tiny):
    run, folder = grown
    plan = RunFolder(folder).plan()
    weights = {c.id: cell_folder(folder, c.id).weights.read_bytes() for c in plan.cells if c.arm == "mlp"}
    tiny["measures"] = {"paths": ["mlp"]}
    updates = []
    result = run(tiny, progress=updates.append)
    assert result.trained == 2
    assert updates[0].survey.again == set(weights)
    assert "2 of them again, for their training paths" in updates[0].survey.sentence()
    assert result.read == 0
    assert {id_: cell_folder(folder, id_).weights.read_bytes() for id_ in weights} == weights


def test_a_grown_run_has_the_bytes_of_the_whole_one(grown, tiny, write_study, tmp_path):
    run, folder = grown
    tiny["title"] = "Another title"
    run(tiny)
    tiny["measures"] = {"profile": ["brier"], "corruptions": ["contrast"]}
    run(tiny)
    tiny["splits"]["turned"] = {"description": "turned", "variants": [{"name": "rotate", "angle": 9.0}]}
    run(tiny)
    tiny["arms"]["cnn<-mlp"] = {"student": "cnn", "teachers": ["mlp"]}
    run(tiny)
    tiny["measures"]["paths"] = ["mlp", "cnn"]
    run(tiny, seeds=3)
    whole = bq.run(write_study(tiny, "whole.toml"), seeds=3, out=tmp_path / "whole", workers=2)
    assert whole.trained == 15
    assert bytes_of(folder) == bytes_of(tmp_path / "whole")


def test_what_would_leave_cells_unused_is_refused_amended_and_pruned(grown, tiny):
    run, folder = grown
    cells = sorted(path.name for path in (folder / "cells").iterdir())
    with pytest.raises(RunFolderError) as caught:
        run(tiny, settings=["recipe.lr=0.01"])
    text = str(caught.value)
    assert "would leave 8 finished cells" in text
    assert "recipe.lr: absent there, 0.01 here" in text
    assert "unused: cnn seed 0, mlp seed 0" in text
    assert "--amend" in text
    assert run(tiny).trained == 0  # the refusal changed nothing
    assert run(tiny, settings=["recipe.lr=0.01"], amend=True).trained == 8
    assert set(cells) < {path.name for path in (folder / "cells").iterdir()}
    foretold = prune(folder, dry_run=True)
    assert {path.name for path in foretold.paths} == set(cells)
    assert prune(folder) == foretold
    assert foretold.bytes > 0
    assert not set(cells) & {path.name for path in (folder / "cells").iterdir()}
    assert run(tiny, settings=["recipe.lr=0.01"]).trained == 0
    assert prune(folder).paths == ()


def test_fewer_seeds_leave_cells_unused_and_their_results_come_back(grown, tiny):
    run, folder = grown
    before = bytes_of(folder)
    with pytest.raises(RunFolderError, match="would leave 4 finished cells"):
        run(tiny, seeds=1)
    assert run(tiny, seeds=1, amend=True).trained == 0
    assert run(tiny).trained == 0
    assert bytes_of(folder) == before


def test_readings_of_a_split_that_is_gone_are_pruned(grown, tiny):
    run, folder = grown
    del tiny["splits"]["moved"]
    tiny["claims"], tiny["answer"] = [], {"text": "Nothing."}
    assert run(tiny).trained == 0
    freed = prune(folder)
    assert freed.paths
    assert {path.parent.name for path in freed.paths} == {"readings"}
    assert run(tiny).read == 0  # what is needed is still there


def damaged(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


KINDS = ("weights", "metrics", "reading", "record", "measurements.json", "curves.json")


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_file_is_made_again_with_the_same_bytes(grown, kind):
    run, folder = grown
    before = bytes_of(folder)
    cell = RunFolder(folder).plan().cell("mlp<-cnn", 0)
    files = cell_folder(folder, cell.id)
    reading = sorted(files.reading("x").parent.iterdir())[0]
    by_kind = {"weights": files.weights, "metrics": files.metrics, "reading": reading, "record": files.record}
    path = by_kind.get(kind, folder / kind)
    content = path.read_bytes()
    damaged(path)
    updates = []
    result = run(progress=updates.append)
    assert result.failed == ()
    trained = kind in ("weights", "metrics", "record")
    assert result.trained == (1 if trained else 0)
    if kind not in ("record", "measurements.json", "curves.json"):
        assert updates[0].survey.damaged == (path,)
    if kind != "record":  # a record has durations, which differ
        assert path.read_bytes() == content
    assert state_of(folder, cell).trained
    assert bytes_of(folder) == before


def test_another_cells_weights_in_place_of_a_teachers_are_noticed(grown):
    run, folder = grown
    plan = RunFolder(folder).plan()
    one, other = (cell_folder(folder, plan.cell("cnn", seed).id).weights for seed in (0, 1))
    content = one.read_bytes()
    one.write_bytes(other.read_bytes())
    assert run().trained == 1
    assert one.read_bytes() == content


def test_a_folder_of_version_1_is_trained_once_more(grown):
    run, folder = grown
    write_sealed(folder / "study.json", {**read_sealed(folder / "study.json"), "version": 1})
    assert run(settings=["recipe.lr=0.01"]).trained == 8  # no --amend is asked for


def test_an_arm_that_is_renamed_keeps_its_cells(grown, tiny):
    run, _ = grown
    tiny["arms"]["big"] = tiny["arms"].pop("cnn")
    tiny["arms"]["mlp<-cnn"]["teachers"] = ["big"]
    result = run(tiny)
    assert (result.trained, result.failed) == (0, ())


def test_a_repeated_training_that_fails_leaves_the_finished_one(grown, tiny):
    run, folder = grown
    cell = RunFolder(folder).plan().cell("mlp", 0)
    files = cell_folder(folder, cell.id)
    before = files.record.read_bytes()
    (files.path / "snapshots").write_text("no folder")
    tiny["measures"] = {"paths": ["mlp"]}
    assert {each.arm for each in run(tiny).failed} == {"mlp"}
    assert files.record.read_bytes() == before
    del tiny["measures"]
    assert run(tiny).trained == 0


def test_a_cell_without_its_weights_is_trained_again_also_after_pruning(grown, tiny):
    run, folder = grown
    cell = RunFolder(folder).plan().cell("mlp", 0)
    cell_folder(folder, cell.id).weights.unlink()
    prune(folder)
    assert run(tiny).trained == 1


def test_a_linked_cell_is_refused(grown, tiny, tmp_path):
    run, folder = grown
    path = cell_folder(folder, RunFolder(folder).plan().cell("mlp", 0).id).path
    path.rename(tmp_path / "outside")
    path.symlink_to(tmp_path / "outside")
    (tmp_path / "outside" / "readings" / "thesis.txt").write_text("mine")
    with pytest.raises(RunFolderError, match="is a symbolic link"):
        run(tiny)
    with pytest.raises(RunFolderError, match="is a symbolic link"):
        prune(folder)
    assert (tmp_path / "outside" / "readings" / "thesis.txt").exists()


def test_a_measure_that_raises_is_one_message_and_the_run_is_not_called_running(grown, tiny, monkeypatch):
    from bequest.evidence.properties import Properties

    def broken(self, readings):
        raise ZeroDivisionError("mine")

    run, folder = grown
    monkeypatch.setattr(Properties, "measurements", broken)
    tiny["measures"] = {"profile": ["brier"]}
    with pytest.raises(RunError, match="'properties' could not be computed") as caught:
        run(tiny)
    assert "ZeroDivisionError: mine" in str(caught.value)
    assert RunFolder(folder).record().status == "interrupted"


def test_folders_in_the_places_of_files_are_replaced_by_them(grown, finished):
    run, folder = grown
    before = bytes_of(folder)
    cells = sorted((folder / "cells").iterdir())
    readings = [min((cell / "readings").iterdir()) for cell in cells]
    places = [cells[0] / "weights.safetensors", cells[1] / "record.json", cells[2] / "metrics.jsonl"]
    places += [readings[3], *(folder / name for name in (*RESULTS, "study.json", "study.toml"))]
    contents = {path: path.read_bytes() for path in places}
    for path in places:
        path.unlink()
        path.mkdir()
    (folder / ".jobs" / "leases" / "run.0").mkdir(parents=True)
    (cells[4] / "checkpoint.pt").mkdir()
    again = run()
    assert (again.trained, again.failed) == (3, ())
    assert bytes_of(folder) == before
    same = [path for path in places if path.name not in ("record.json", "study.json")]  # those hold durations
    assert {path: path.read_bytes() for path in same} == {path: contents[path] for path in same}
    assert run().conclusion == "nothing"


def test_a_folder_that_holds_something_is_named_and_stays(grown):
    run, folder = grown
    path = min((folder / "cells").iterdir()) / "record.json"
    path.unlink()
    (path / "mine").mkdir(parents=True)
    result = run()
    (failed,) = result.failed
    assert "a folder of this name" in failed.error
    assert (path / "mine").is_dir()
