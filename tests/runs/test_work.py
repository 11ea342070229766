"""One job, in whatever process."""

from __future__ import annotations

import shutil

from bequest.runs import work
from bequest.runs.jobs.schedule import Answer
from bequest.runs.planning import planned
from bequest.runs.survey import READ, TRAIN, Job, survey
from bequest.runs.work import Workbench


def test_training_then_reading_leave_nothing_to_do(tiny, tmp_path):
    plan = planned(tiny, arms=["mlp"], seeds=1)
    bench = Workbench(plan, tmp_path)
    (cell,) = plan.cells
    assert bench.do(Job(TRAIN, cell)) == Answer(Job(TRAIN, cell), "done")
    assert [job.action for job in survey(plan, tmp_path).jobs] == [READ]
    assert bench.do(Job(READ, cell)) == Answer(Job(READ, cell), "done", readings=2)
    assert survey(plan, tmp_path).jobs == ()


def test_arms_on_the_map_of_paths_have_snapshots(tiny, tmp_path):
    plan = planned(tiny, arms=["mlp"], seeds=1, settings=["measures.paths=['mlp']"])
    assert Workbench(plan, tmp_path).do(Job(TRAIN, plan.cells[0])).status == "done"
    assert list(tmp_path.glob("cells/*/snapshots/*.npz"))


def test_a_reading_that_fails_says_why(finished, tmp_path, monkeypatch):
    shutil.copytree(finished[0] / "run", tmp_path / "run")
    plan = planned(finished[0] / "study.toml")
    cell = plan.cell("mlp", 0)
    shutil.rmtree(tmp_path / "run" / "cells" / cell.id / "readings")
    (tmp_path / "run" / "cells" / cell.id / "weights.safetensors").write_bytes(b"no weights")
    answer = Workbench(plan, tmp_path / "run").do(Job(READ, cell))
    assert answer.status == "failed"
    assert "weights.safetensors" in answer.error

    def broken(*arguments, device):
        raise MemoryError("not that much")

    monkeypatch.setattr(work, "read_cell", broken)
    assert Workbench(plan, tmp_path / "run").do(Job(READ, cell)).error == "MemoryError: not that much"


def test_a_training_that_fails_says_why(tiny, tmp_path):
    tiny["recipe"] |= {"optimizer": "sgd", "lr": 1e30}
    plan = planned(tiny, arms=["mlp"], seeds=1)
    answer = Workbench(plan, tmp_path).do(Job(TRAIN, plan.cells[0]))
    assert answer.status == "failed"
    assert "is not finite at step" in answer.error


def test_a_jobs_id_says_what_it_is(tiny, tmp_path):
    plan = planned(tiny, arms=["mlp"], seeds=1)
    bench = Workbench(plan, tmp_path)
    for job in (Job(TRAIN, plan.cells[0]), Job(READ, plan.cells[0])):
        assert bench.job(f"{job.id}\n") == job


def test_a_record_that_cannot_be_written_is_a_failure(tiny, tmp_path):
    plan = planned(tiny, arms=["mlp"], seeds=1)
    (cell,) = plan.cells
    (tmp_path / "cells" / cell.id / "record.json" / "mine").mkdir(parents=True)
    answer = Workbench(plan, tmp_path).do(Job(TRAIN, cell))
    assert answer.status == "failed"
    assert "record.json" in answer.error
    assert "a folder of this name" in answer.error
