"""Jobs go out when what they require is done; a dead worker's job is started once more."""

from __future__ import annotations

import sys

import pytest

from bequest.runs import pool
from bequest.runs.planning import planned
from bequest.runs.pool import LocalPool, _Schedule
from bequest.runs.survey import READ, TRAIN, Job

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
    print(json.dumps({{"id": line.strip(), "status": "failed" if failed else "done",
                      "error": "no" if failed else None}}), flush=True)
"""


@pytest.fixture
def jobs(tiny):
    plan = planned(tiny, seeds=1)
    by_arm = {cell.arm: cell for cell in plan.cells}
    both = [*(Job(TRAIN, cell) for cell in plan.cells), *(Job(READ, cell) for cell in plan.cells)]
    return by_arm, both


@pytest.fixture
def run(tmp_path, monkeypatch, jobs):
    """Runs the jobs with workers that do nothing but die or fail as they are asked to."""
    monkeypatch.chdir(tmp_path)
    by_arm, both = jobs
    real = pool.subprocess.Popen

    def with_marks(**arms):
        marks = {"dies": [], "dies once": [], "fails": []}
        marks |= {mark.replace("_", " "): [by_arm[arm].id for arm in names] for mark, names in arms.items()}
        script = tmp_path / "worker.py"
        script.write_text(WORKER.format(marks=marks))
        monkeypatch.setattr(
            pool.subprocess,
            "Popen",
            lambda command, **options: real([sys.executable, str(script)], **options),
        )
        return {answer.job.id: answer for answer in LocalPool(tmp_path, 2).run(both)}

    return with_marks


def test_every_job_is_answered_after_those_that_it_follows(run, jobs):
    answers = run()
    assert {answer.status for answer in answers.values()} == {"done"}
    order = list(answers)
    assert len(order) == len(jobs[1])
    for job in jobs[1]:
        assert all(order.index(other) < order.index(job.id) for other in job.follows)


def test_what_requires_a_failed_job_is_not_started(run, jobs):
    by_arm, _ = jobs
    answers = run(fails=["cnn"])
    errors = {key: answer.error for key, answer in answers.items() if answer.status == "failed"}
    assert errors == {
        f"train {by_arm['cnn'].id}": "no",
        f"read {by_arm['cnn'].id}": "its training failed",
        f"train {by_arm['mlp<-cnn'].id}": "a teacher's cell failed",
        f"read {by_arm['mlp<-cnn'].id}": "its training failed",
    }


def test_a_plain_student_that_failed_keeps_nobody_waiting(run, jobs):
    by_arm, _ = jobs
    answers = run(fails=["mlp"])
    assert answers[f"train {by_arm['mlp<-cnn'].id}"].status == "done"
    assert answers[f"train {by_arm['mlp<-mlp'].id}"].error == "a teacher's cell failed"


def test_a_job_whose_worker_died_is_started_once_more(run):
    assert {answer.status for answer in run(dies_once=["cnn"]).values()} == {"done"}


def test_a_job_whose_worker_dies_twice_is_lost(run, jobs):
    by_arm, _ = jobs
    answers = run(dies=["mlp<-cnn"])
    lost = answers[f"train {by_arm['mlp<-cnn'].id}"]
    assert (lost.status, lost.error) == ("lost", "its worker process died (exit code 7); see worker-*.log")
    assert answers[f"read {by_arm['mlp<-cnn'].id}"].error == "its training failed"
    assert sum(answer.status == "done" for answer in answers.values()) == 6


def test_the_source_tasks_failure_is_named(tiny):
    tiny["source"] = {"name": "digits"}
    tiny["models"]["mlp"]["start"] = {"arm": "source"}
    tiny["models"]["first"] = {"family": "mlp", "options": {"hidden": [16]}}
    tiny["arms"] = {"source": {"student": "first", "task": "source"}, "mlp": {"student": "mlp"}}
    del tiny["claims"], tiny["answer"]
    plan = planned(tiny, seeds=1)
    schedule = _Schedule([Job(TRAIN, plan.cell("mlp", 0))])
    schedule.failed.add(f"train {plan.cell('source', 0).id}")
    (answer,) = schedule.give_up()
    assert answer.error == "the source task's cell failed"
