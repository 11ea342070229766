"""Cells that a worker trains by several processes of its own."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from bequest.distill.parallel import Ranks
from bequest.evidence.readings import Readings
from bequest.record_files import read_record
from bequest.records import RunRecord
from bequest.runs.folder import RunFolder
from bequest.runs.jobs import launched
from bequest.runs.jobs.launched import LaunchingBench, workbench
from bequest.runs.jobs.taking import work
from bequest.runs.planning import planned
from bequest.runs.ranks import RankedBench
from bequest.runs.survey import TRAIN, Job
from bequest.runs.work import Workbench
from bequest.studies.cell import cell_folder

TWO = "resources.processes=2"


def prepared(study, root, *settings):
    plan = planned(study, settings=settings)
    root.mkdir(exist_ok=True)
    RunFolder(root).prepare(plan)
    return plan


def test_who_trains_a_cell(finished, tmp_path):
    study = finished[0] / "study.toml"
    one, two = planned(study), planned(study, settings=[TWO])
    assert type(workbench(one, tmp_path)) is Workbench
    assert type(workbench(two, tmp_path)) is LaunchingBench
    assert type(workbench(two, tmp_path, ranks=Ranks())) is LaunchingBench
    assert type(workbench(two, tmp_path, ranks=Ranks(0, 4))) is RankedBench


@pytest.mark.slow
def test_a_worker_with_two_processes_does_the_study_that_workers_with_one_do(finished, tmp_path):
    folder, _, _ = finished
    plan = prepared(folder / "study.toml", tmp_path / "run", TWO)
    worked = work(tmp_path / "run", device="cpu")
    assert (worked.failed, worked.study.status) == ({}, "complete")
    ours, expected = Readings(plan, tmp_path / "run"), Readings(plan, folder / "run")
    for cell in plan.cells:
        for split in ("test", "moved"):
            one, other = (each.predictions(cell.arm, cell.seed, split) for each in (ours, expected))
            np.testing.assert_allclose(one.logits, other.logits, atol=1e-5)
        record = read_record(cell_folder(tmp_path / "run", cell.id).record, RunRecord)
        assert record.status == "done"


def test_processes_train_each_with_a_part_of_every_batch(tiny, tmp_path):
    plan = prepared(tiny, tmp_path, TWO)
    job = Job(TRAIN, plan.cells[0])
    assert LaunchingBench(plan, tmp_path).do(job).status == "done"
    alone = tmp_path / "alone"
    Workbench(prepared(tiny, alone), alone).do(job)
    ranked, plain = (load_file(cell_folder(root, job.cell.id).weights) for root in (tmp_path, alone))
    assert ranked.keys() == plain.keys()
    for name, values in ranked.items():
        torch.testing.assert_close(values, plain[name], atol=1e-5, rtol=0)
    assert any(not torch.equal(values, plain[name]) for name, values in ranked.items())  # other sums


@pytest.mark.slow
def test_a_training_that_fails_says_why(tiny, tmp_path):
    tiny["recipe"]["lr"] = 1e30
    plan = prepared(tiny, tmp_path, TWO)
    answer = LaunchingBench(plan, tmp_path).do(Job(TRAIN, plan.cells[0]))
    assert answer.status == "failed"
    assert "is not finite at step" in answer.error


def test_processes_that_end_before_they_begin_are_no_success_of_an_earlier_training(
    tiny, tmp_path, monkeypatch
):
    plan = prepared(tiny, tmp_path, TWO)
    job = Job(TRAIN, plan.cells[0])
    Workbench(plan, tmp_path).do(job)
    monkeypatch.setattr(launched.sys, "executable", "/bin/false")
    answer = LaunchingBench(plan, tmp_path).do(job)
    assert (answer.status, answer.error) == ("failed", "its processes ended with exit code 1: ")
    assert json.loads(cell_folder(tmp_path, job.cell.id).record.read_text())["status"] == "done"
