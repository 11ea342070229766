"""What of a run is done, at work, failed and left, as somebody who only looks on sees it."""

from __future__ import annotations

import shutil

import pytest

from bequest.errors import RunFolderError
from bequest.runs.folder import RunFolder
from bequest.runs.jobs.leases import at_work
from bequest.runs.jobs.overview import Observer
from bequest.runs.planning import planned
from bequest.studies.cell import cell_folder


def files(root):
    return sorted(path for path in root.rglob("*") if path.is_file())


def test_a_finished_run_has_nothing_left(finished):
    root = finished[0] / "run"
    before = files(root)
    seen = Observer(root).look()
    assert (seen.name, seen.scale, seen.status) == ("tiny", "small", "complete")
    assert list(seen.cells) == ["cnn", "mlp", "mlp<-mlp", "mlp<-cnn"]
    assert all(dict(counts) == {"done": 2} for counts in seen.cells.values())
    assert seen.readings == (42, 42)
    assert (seen.workers, seen.doing, seen.errors, seen.ended) == ((), {}, {}, True)
    assert files(root) == before


def test_jobs_in_hand_failures_and_what_follows_from_them_are_seen(finished, tiny, tmp_path):
    root, plan = tmp_path / "run", planned(tiny)
    root.mkdir()
    RunFolder(root).prepare(plan)
    observer = Observer(root)
    assert observer.look().status == "prepared"
    assert observer.look().left is None
    done = plan.cell("mlp", 0)
    shutil.copytree(cell_folder(finished[0] / "run", done.id).path, cell_folder(root, done.id).path)
    with at_work(root, "work") as leases:
        leases.refresh()
        leases.take(f"train {plan.cell('mlp', 1).id}")
        leases.note_failure(f"train {plan.cell('cnn', 0).id}", "failed", "it broke")
        seen = observer.look()
    assert dict(seen.cells["mlp"]) == {"done": 1, "at work": 1}
    assert dict(seen.cells["cnn"]) == {"failed": 1, "waiting": 1}
    assert dict(seen.cells["mlp<-cnn"]) == {"failed": 1, "waiting": 1}
    assert seen.errors == {"cnn seed 0": "it broke"}
    assert [job.cell.arm for job in seen.doing.values()] == ["mlp"]
    assert [worker.role for worker in seen.workers] == ["work"]
    assert seen.readings[0] == 6
    assert not seen.ended


def test_the_time_that_is_left_follows_from_what_cells_took(finished, tmp_path, tiny):
    root, plan = tmp_path / "run", planned(tiny)
    shutil.copytree(finished[0] / "run", root)
    lost = [plan.cell("mlp", 1), plan.cell("cnn", 1)]
    observer = Observer(finished[0] / "run")
    observer.look()
    for cell in lost:
        shutil.rmtree(cell_folder(root, cell.id).path)
    expected = sum(observer._seconds[plan.cell(cell.arm, 0).id] for cell in lost)
    with at_work(root, "work") as leases:
        leases.refresh()
        leases.take(f"train {lost[0].id}")
        assert Observer(root).look().left == pytest.approx(expected)
        leases.take(f"train {lost[1].id}")
        assert Observer(root).look().left == pytest.approx(expected / 2)


def test_a_run_that_grows_is_followed(finished, tiny, tmp_path):
    root = tmp_path / "run"
    shutil.copytree(finished[0] / "run", root)
    observer = Observer(root)
    assert observer.look().cells["cnn"].total() == 2
    RunFolder(root).prepare(planned(tiny, seeds=3))
    assert dict(observer.look().cells["cnn"]) == {"done": 2, "waiting": 1}


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(RunFolderError, match="is not a run folder"):
        Observer(tmp_path)
