"""A study under torchrun."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from bequest.distill.parallel import Ranks
from bequest.errors import RunError
from bequest.evidence.readings import Readings
from bequest.record_files import read_record
from bequest.records import RunRecord, StudyRecord
from bequest.runs import ranks
from bequest.runs.folder import RunFolder
from bequest.runs.jobs.leases import at_work
from bequest.runs.jobs.queue import JobQueue
from bequest.runs.planning import planned
from bequest.runs.ranks import RankPool, follow, leading
from bequest.runs.survey import survey
from bequest.studies.cell import cell_folder


@pytest.mark.parametrize("verb", ["run", "work"])
def test_two_ranks_do_the_study_that_workers_do(finished, tmp_path, verb):
    folder, _, _ = finished
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = ["-m", "bequest", "run", folder / "study.toml", "--out", tmp_path / "run"]
    plan = planned(folder / "study.toml")
    if verb == "work":
        (tmp_path / "run").mkdir()
        RunFolder(tmp_path / "run").prepare(plan)
        command = ["-m", "bequest", "work", tmp_path / "run"]
    done = subprocess.run([*torchrun, *command], capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("report: " if verb == "run" else "0 left; measured and judged") == 1
    assert done.stdout.count("jobs done here") == (verb == "work")
    assert read_record(tmp_path / "run" / "study.json", StudyRecord).status == "complete"
    by_ranks, by_workers = (Readings(plan, root / "run") for root in (tmp_path, folder))
    for cell in plan.cells:
        ranked, alone = (cell_folder(root / "run", cell.id) for root in (tmp_path, folder))
        for name in ("test", "moved"):
            ours, expected = (each.predictions(cell.arm, cell.seed, name) for each in (by_ranks, by_workers))
            np.testing.assert_allclose(ours.logits, expected.logits, atol=1e-5)
        one, other = (read_record(files.record, RunRecord).teachers for files in (ranked, alone))
        assert [teacher.mode for teacher in one] == [teacher.mode for teacher in other]


def test_a_failed_cell_ends_a_ranked_run(tiny, tmp_path):
    tiny["recipe"]["lr"] = 1e30
    plan = planned(tiny, scale="smoke")
    RunFolder(tmp_path).prepare(plan, fresh=False)
    pool = RankPool(plan, tmp_path, Ranks())
    with at_work(tmp_path, "test") as leases, pytest.raises(RunError) as caught:
        list(pool.run(JobQueue(plan, tmp_path, survey(plan, tmp_path), leases)))
    text = str(caught.value)
    assert f"the cell {plan.cells[0].arm}, seed 0, failed, and with 1 ranks the run ends with it" in text
    assert "is not finite at step" in text
    assert "remedy:   the same command tries it again" in text


def test_followers_train_what_the_first_rank_names_and_write_nothing(tiny, tmp_path, monkeypatch):
    plan = planned(tiny, scale="smoke")
    folder = RunFolder(tmp_path)
    folder.prepare(plan, fresh=False)
    first = plan.cells[0]
    orders = [(str(tmp_path), first.id), None]
    trained = []
    monkeypatch.setattr(ranks, "following", lambda: True)
    monkeypatch.setattr(Ranks, "ordered", lambda self, value: orders.pop(0))
    real = ranks.train_cell

    def train(plan, cell, root, *, device):
        real(plan, cell, root)
        trained.append(cell.id)

    monkeypatch.setattr(ranks, "train_cell", train)
    assert follow()
    assert trained == [first.id]
    assert not (tmp_path / "cells").exists()


def test_alone_nobody_follows():
    assert not follow()
    with leading() as alone:
        assert alone == Ranks()


def test_the_first_rank_trains_and_reads_in_order(tiny, tmp_path):
    plan = planned(tiny, scale="smoke", arms=["mlp<-mlp"])
    RunFolder(tmp_path).prepare(plan)
    inventory = survey(plan, tmp_path)
    with at_work(tmp_path, "test") as leases:
        queue = JobQueue(plan, tmp_path, inventory, leases)
        answers = list(RankPool(plan, tmp_path, Ranks()).run(queue))
    assert [(answer.job, answer.status, answer.error) for answer in answers] == [
        (job, "done", None) for job in inventory.jobs
    ]
    assert survey(plan, tmp_path).jobs == ()
