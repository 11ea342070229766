"""Which jobs can start, in what order, and what becomes of those whose requirement failed."""

from __future__ import annotations

import pytest

from bequest.runs.jobs.schedule import Answer, Schedule
from bequest.runs.planning import planned
from bequest.runs.survey import READ, TRAIN, Job


@pytest.fixture
def plan(tiny):
    return planned(tiny, seeds=2)


@pytest.fixture
def jobs(plan):
    return [*(Job(TRAIN, cell) for cell in plan.cells), *(Job(READ, cell) for cell in plan.cells)]


def finish(schedule, job, status="done"):
    schedule.end(Answer(job, status))


def test_every_job_starts_once_after_those_that_it_follows(jobs):
    schedule, ended = Schedule(jobs), []
    while (job := schedule.start()) is not None:
        assert job.follows <= {other.id for other in ended}
        finish(schedule, job)
        ended.append(job)
    assert sorted(job.id for job in ended) == sorted(job.id for job in jobs)
    assert (schedule.left, schedule.waiting) == (0, 0)


def test_jobs_start_in_the_order_of_the_plan(plan, jobs):
    schedule = Schedule(jobs)
    assert schedule.ready() == [Job(TRAIN, plan.cell(arm, seed)) for seed in (0, 1) for arm in ("cnn", "mlp")]
    first = schedule.start()
    finish(schedule, first)
    # The reading of the first cell may start now, but the trainings stand before it.
    assert schedule.ready()[-1] == Job(READ, first.cell)
    assert schedule.start() == Job(TRAIN, plan.cell("mlp", 0))


def test_a_job_that_does_not_suit_is_passed_over_and_waits(plan, jobs):
    schedule = Schedule(jobs)
    chosen = schedule.start(lambda job: job.cell.arm == "mlp")
    assert chosen == Job(TRAIN, plan.cell("mlp", 0))
    assert schedule.start() == Job(TRAIN, plan.cell("cnn", 0))
    assert schedule.start(lambda job: False) is None


def test_a_job_that_is_put_back_is_the_next_one(jobs):
    schedule = Schedule(jobs)
    first = schedule.start()
    schedule.put_back(first)
    assert schedule.start() == first


def test_what_requires_a_failed_job_fails_with_it_and_all_that_follows(plan, jobs):
    schedule = Schedule(jobs)
    finish(schedule, Job(TRAIN, plan.cell("cnn", 0)), "failed")
    errors = {(a.job.action, a.job.cell.arm): a.error for a in schedule.given_up()}
    assert errors == {
        (TRAIN, "mlp<-cnn"): "a teacher's cell failed",
        (READ, "mlp<-cnn"): "its training failed",
        (READ, "cnn"): "its training failed",
    }
    assert list(schedule.given_up()) == []
    assert schedule.left == len(jobs) - 4


def test_a_plain_student_that_failed_keeps_nobody_waiting(plan, jobs):
    schedule = Schedule(jobs)
    finish(schedule, Job(TRAIN, plan.cell("cnn", 0)))
    assert Job(TRAIN, plan.cell("mlp<-cnn", 0)) not in schedule.ready()
    finish(schedule, Job(TRAIN, plan.cell("mlp", 0)), "failed")
    assert Job(TRAIN, plan.cell("mlp<-cnn", 0)) in schedule.ready()


def test_a_job_that_ended_elsewhere_is_not_started(plan, jobs):
    schedule = Schedule(jobs)
    finish(schedule, Job(TRAIN, plan.cell("cnn", 0)))
    finish(schedule, Job(TRAIN, plan.cell("cnn", 0)))  # told twice, counted once
    assert schedule.left == len(jobs) - 1
    assert schedule.start() == Job(TRAIN, plan.cell("mlp", 0))


def test_the_source_tasks_failure_is_named(tiny):
    tiny["source"] = {"name": "digits"}
    tiny["models"]["mlp"]["start"] = {"arm": "source"}
    tiny["models"]["first"] = {"family": "mlp", "options": {"hidden": [16]}}
    tiny["arms"] = {"source": {"student": "first", "task": "source"}, "mlp": {"student": "mlp"}}
    del tiny["claims"], tiny["answer"]
    plan = planned(tiny, seeds=1)
    source, student = Job(TRAIN, plan.cell("source", 0)), Job(TRAIN, plan.cell("mlp", 0))
    schedule = Schedule([source, student])
    finish(schedule, source, "failed")
    assert list(schedule.given_up()) == [Answer(student, "failed", "the source task's cell failed")]
