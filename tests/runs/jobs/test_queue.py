"""Several processes share the jobs of one folder; what is on disk wins over who holds what."""

from __future__ import annotations

import shutil

import pytest

from bequest.record_files import write_record
from bequest.runs.jobs.leases import at_work
from bequest.runs.jobs.queue import JobQueue, serve
from bequest.runs.jobs.schedule import Answer
from bequest.runs.planning import planned
from bequest.runs.survey import READ, TRAIN, Job, record_of_cell, survey
from bequest.studies.cell import cell_folder


@pytest.fixture
def plan(tiny):
    return planned(tiny, seeds=1, arms=["mlp", "mlp<-cnn"])


@pytest.fixture
def queues(plan, tmp_path):
    """Two processes at work on one folder."""
    with at_work(tmp_path, "work") as first, at_work(tmp_path, "work") as second:
        inventory = survey(plan, tmp_path)
        yield tuple(JobQueue(plan, tmp_path, inventory, leases) for leases in (first, second))


@pytest.fixture
def leave(tmp_path, finished):
    """Puts what a finished cell leaves into the folder, with readings or without."""

    def copied(cell, *, readings=True):
        folder = cell_folder(tmp_path, cell.id)
        shutil.copytree(finished[0] / "run" / "cells" / cell.id, folder.path, dirs_exist_ok=True)
        record = record_of_cell(folder, cell)
        if not readings:
            files = {name: d for name, d in record.files.items() if not name.startswith("readings/")}
            write_record(folder.record, record.model_copy(update={"files": files}))

    return copied


def test_two_processes_do_not_take_the_same_job(queues, plan):
    one, other = queues
    first, second = one.take(), other.take()
    assert [first, second] == [Job(TRAIN, plan.cell(arm, 0)) for arm in ("cnn", "mlp")]
    assert one.take() is None
    assert other.take() is None
    assert (one.empty, one.untaken) == (False, 4)
    one.give_back(first)
    assert other.take() == first


def test_what_others_finish_is_told_once_and_lets_what_follows_start(queues, plan, leave):
    one, other = queues
    cnn, mlp = (Job(TRAIN, plan.cell(arm, 0)) for arm in ("cnn", "mlp"))
    assert (one.take(), other.take()) == (cnn, mlp)
    assert list(one.elsewhere()) == []
    leave(mlp.cell, readings=False)
    other.end(Answer(mlp, "done"))
    assert list(one.elsewhere()) == [Answer(mlp, "done", elsewhere=True)]
    assert list(one.elsewhere()) == []
    leave(cnn.cell)
    one.end(Answer(cnn, "done"))
    assert one.take() == Job(TRAIN, plan.cell("mlp<-cnn", 0))
    # The other one sees that the CNN's readings are there too, as soon as it would do them.
    assert other.take() == Job(READ, mlp.cell)
    assert other.take() is None
    assert Answer(cnn, "done", elsewhere=True) in list(other.elsewhere())


def test_a_finished_file_wins_over_a_lease(queues, plan, leave):
    one, other = queues
    job = one.take()
    leave(job.cell)
    one.give_back(job)
    answers = []
    while (taken := other.take()) is not None:
        assert taken.cell != job.cell
    answers = list(other.elsewhere())
    assert Answer(job, "done", elsewhere=True) in answers


def test_quick_jobs_of_others_are_seen_by_a_thorough_look(queues, plan, leave):
    watching, _ = queues
    for arm in ("cnn", "mlp"):
        leave(plan.cell(arm, 0))
    assert list(watching.elsewhere()) == []
    answers = list(watching.elsewhere(thorough=True))
    expected = [Job(action, plan.cell(arm, 0)) for action in (TRAIN, READ) for arm in ("cnn", "mlp")]
    assert [answer.job for answer in answers] == expected
    assert list(watching.elsewhere(thorough=True)) == []


def test_a_failure_is_seen_by_all_with_all_that_follows_from_it(queues, plan):
    one, other = queues
    job = one.take()
    one.end(Answer(job, "failed", "it broke"))
    follows = ("a teacher's cell failed", Job(TRAIN, plan.cell("mlp<-cnn", 0)))
    for queue, expected in ((one, [follows]), (other, [("it broke", job), follows])):
        told = [(answer.error, answer.job) for answer in queue.elsewhere() if answer.job.action == TRAIN]
        assert told == expected


def test_a_damaged_cell_is_done_although_its_record_calls_it_done(plan, tmp_path, leave):
    cell = plan.cell("cnn", 0)
    leave(cell)
    cell_folder(tmp_path, cell.id).weights.write_bytes(b"damaged")
    with at_work(tmp_path, "work") as leases:
        queue = JobQueue(plan, tmp_path, survey(plan, tmp_path), leases)
        assert queue.take() == Job(TRAIN, cell)


def test_a_job_that_kills_its_workers_is_lost(plan, tmp_path):
    job = Job(TRAIN, plan.cell("cnn", 0))
    folder = tmp_path / ".jobs" / "leases"
    folder.mkdir(parents=True)
    (folder / f"train-{job.cell.id}.4").write_text('{"holder": "gone", "deaths": 2}')
    with at_work(tmp_path, "work", silence=0.2) as leases:
        queue = JobQueue(plan, tmp_path, survey(plan, tmp_path), leases)
        assert queue.take() == Job(TRAIN, plan.cell("mlp", 0))
        lost = []
        while not lost:
            queue.take()
            lost = [answer for answer in queue.elsewhere() if answer.job == job]
        assert lost == [Answer(job, "lost", "its worker process died 3 times; see its log")]
        assert leases.failure(job.id).status == "lost"


def done(plan, leave):
    """Does a job by copying what it would leave."""

    def do(job):
        leave(job.cell, readings=job.action == READ)
        return Answer(job, "done")

    return do


def test_all_jobs_are_served_in_an_order_in_which_they_can_be_done(queues, plan, leave, tmp_path):
    answers = list(serve(queues[0], done(plan, leave)))
    assert len(answers) == 6
    assert survey(plan, tmp_path).jobs == ()
    assert queues[0].empty
    # The other process has nothing left to do, and finds that out by itself.
    assert list(serve(queues[1], lambda job: pytest.fail(f"{job} was done twice"))) != []


def test_one_job_is_served_once(queues, plan, leave):
    (answer,) = serve(queues[0], done(plan, leave), once=True)
    assert answer.job == Job(TRAIN, plan.cell("cnn", 0))


def test_with_once_a_job_that_cannot_start_yet_is_waited_for(queues, plan, leave):
    one, other = queues
    for arm in ("cnn", "mlp"):
        assert other.take() == Job(TRAIN, plan.cell(arm, 0))
        leave(plan.cell(arm, 0))
    assert list(one.elsewhere()) == []
    assert one.untaken == 4  # they cannot start yet, but somebody must be there when they can
    for arm in ("cnn", "mlp"):
        other.end(Answer(Job(TRAIN, plan.cell(arm, 0)), "done"))
    *_, last = serve(one, done(plan, leave), once=True)
    assert last.job == Job(TRAIN, plan.cell("mlp<-cnn", 0))


def test_with_once_what_others_do_is_not_waited_for(plan, leave, tmp_path):
    for cell in plan.cells:
        leave(cell, readings=False)
    inventory = survey(plan, tmp_path)
    with at_work(tmp_path, "work") as first, at_work(tmp_path, "work") as second:
        one, other = (JobQueue(plan, tmp_path, inventory, leases) for leases in (first, second))
        while other.take() is not None:
            pass
        assert list(serve(one, lambda job: pytest.fail(f"{job} is somebody's"), once=True)) == []


def test_an_interrupted_job_is_given_back(queues, plan):
    def interrupted(job):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(serve(queues[0], interrupted))
    assert queues[1].take() == Job(TRAIN, plan.cell("cnn", 0))
