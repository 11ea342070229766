"""Jobs go out when what they require is done; a dead worker's job is started once more."""

from __future__ import annotations

import sys

import pytest

from bequest.runs import pool
from bequest.runs.jobs.leases import at_work
from bequest.runs.jobs.queue import JobQueue
from bequest.runs.planning import planned
from bequest.runs.pool import LocalPool
from bequest.runs.survey import READ, TRAIN, Job, survey

WORKER = """
import json, os, sys
for line in sys.stdin:
    action, cell = line.split()
    marks = {marks!r}
    if cell in marks["dies"]:
        os._exit(7)
    if cell in marks["dies once"] and not os.path.exists(cell):
        open(cell, "w").close()
        os._exit(7)
    failed = cell in marks["fails"]
    line = json.dumps(["failed" if failed else "done", "no" if failed else None, 3])
    if cell in marks["cut once"] and not os.path.exists(cell):
        open(cell, "w").close()
        print(line[:8], end="", flush=True)
        os._exit(7)
    print(line, flush=True)
"""


@pytest.fixture
def jobs(tiny):
    plan = planned(tiny, seeds=1)
    by_arm = {cell.arm: cell for cell in plan.cells}
    both = [*(Job(TRAIN, cell) for cell in plan.cells), *(Job(READ, cell) for cell in plan.cells)]
    return plan, by_arm, both


@pytest.fixture
def started():
    """The devices of the workers that were started."""
    return []


@pytest.fixture
def run(tmp_path, monkeypatch, jobs, started):
    """Runs the jobs with workers that do nothing but die or fail as they are asked to."""
    monkeypatch.chdir(tmp_path)
    plan, by_arm, _ = jobs
    real = pool.subprocess.Popen

    def with_marks(devices=("cpu", "cpu"), **arms):
        marks = {"dies": [], "dies once": [], "cut once": [], "fails": []}
        marks |= {mark.replace("_", " "): [by_arm[arm].id for arm in names] for mark, names in arms.items()}
        script = tmp_path / "worker.py"
        script.write_text(WORKER.format(marks=marks))

        def start(command, **options):
            started.append(command[-1])
            return real([sys.executable, str(script)], **options)

        monkeypatch.setattr(pool.subprocess, "Popen", start)
        with at_work(tmp_path, "test") as leases:
            queue = JobQueue(plan, tmp_path, survey(plan, tmp_path), leases)
            return {answer.job.id: answer for answer in LocalPool(tmp_path, devices).run(queue)}

    return with_marks


def test_every_job_is_answered_after_those_that_it_follows(run, jobs):
    answers = run()
    assert {answer.status for answer in answers.values()} == {"done"}
    order = list(answers)
    assert len(order) == len(jobs[2])
    for job in jobs[2]:
        assert all(order.index(other) < order.index(job.id) for other in job.follows)


def test_what_requires_a_failed_job_is_not_started(run, jobs):
    _, by_arm, _ = jobs
    answers = run(fails=["cnn"])
    errors = {key: answer.error for key, answer in answers.items() if answer.status == "failed"}
    assert errors == {
        f"train {by_arm['cnn'].id}": "no",
        f"read {by_arm['cnn'].id}": "its training failed",
        f"train {by_arm['mlp<-cnn'].id}": "a teacher's cell failed",
        f"read {by_arm['mlp<-cnn'].id}": "its training failed",
    }


def test_a_plain_student_that_failed_keeps_nobody_waiting(run, jobs):
    _, by_arm, _ = jobs
    answers = run(fails=["mlp"])
    assert answers[f"train {by_arm['mlp<-cnn'].id}"].status == "done"
    assert answers[f"train {by_arm['mlp<-mlp'].id}"].error == "a teacher's cell failed"


def test_a_job_whose_worker_died_is_started_once_more(run):
    assert {answer.status for answer in run(dies_once=["cnn"]).values()} == {"done"}


def test_workers_are_spread_over_the_devices_also_after_one_died(run, jobs, started):
    run(devices=("cuda:0", "cuda:1"))
    assert started == ["cuda:0", "cuda:1"]
    started.clear()
    run(devices=("cuda:0", "cuda:1"), dies_once=[jobs[2][0].cell.arm])
    assert started == ["cuda:0", "cuda:1", "cuda:0"]


def test_a_line_that_was_cut_is_a_worker_that_died(run, jobs):
    _, by_arm, _ = jobs
    answers = run(cut_once=["cnn"])
    assert {answer.status for answer in answers.values()} == {"done"}
    assert answers[f"read {by_arm['cnn'].id}"].readings == 3


def test_a_job_whose_worker_dies_twice_is_lost(run, jobs):
    _, by_arm, _ = jobs
    answers = run(dies=["mlp<-cnn"])
    lost = answers[f"train {by_arm['mlp<-cnn'].id}"]
    assert (lost.status, lost.error) == ("lost", "its worker process died (exit code 7); see worker-*.log")
    assert answers[f"read {by_arm['mlp<-cnn'].id}"].error == "its training failed"
    assert sum(answer.status == "done" for answer in answers.values()) == 6
