"""Jobs that would not fit into memory beside others wait; alone every job starts."""

from __future__ import annotations

from math import inf

import pytest

from bequest.errors import DataError
from bequest.runs.engines import memory_budget
from bequest.runs.engines.memory_budget import PROCESS, MemoryBudget, available_memory
from bequest.runs.jobs.leases import at_work
from bequest.runs.jobs.queue import JobQueue
from bequest.runs.planning import planned
from bequest.runs.survey import READ, TRAIN, Job, survey

GIB = 1 << 30


@pytest.fixture
def plan(tiny):
    return planned(tiny, seeds=1)


@pytest.fixture
def train(plan):
    return lambda arm: Job(TRAIN, plan.cell(arm, 0))


def test_what_is_running_and_what_would_start_fit_together(train):
    budget = MemoryBudget(8.0 * GIB, {"cnn": 5 * GIB, "mlp": 2 * GIB})
    assert budget.fits(train("mlp"), [train("cnn")])
    assert budget.fits(train("mlp"), [train("mlp"), train("mlp")])
    assert not budget.fits(train("cnn"), [train("cnn")])
    assert not budget.fits(train("mlp"), [train("cnn"), train("mlp")])


def test_alone_every_job_starts(train):
    assert MemoryBudget(1.0, {"cnn": GIB}).fits(train("cnn"), [])


def test_a_reading_takes_less_than_a_training(plan, train):
    budget = MemoryBudget(inf, {"cnn": 3 * GIB})
    assert PROCESS < budget.need(Job(READ, plan.cell("cnn", 0))) < budget.need(train("cnn"))
    assert budget.need(train("mlp")) == PROCESS


def test_needs_follow_from_the_cost_estimate(plan):
    budget = MemoryBudget.of(plan, workers=2, on_cpu=True)
    assert budget.needs.keys() == {"cnn", "mlp", "mlp<-mlp", "mlp<-cnn"}
    data = 2 * 4 * 1297 * 64  # two copies of 1,297 digits in float32
    assert all(need > PROCESS + data for need in budget.needs.values())
    assert budget.needs["mlp<-cnn"] > budget.needs["mlp"]
    assert 0 < budget.limit <= 0.9 * available_memory() * 1.5


@pytest.mark.parametrize(("workers", "on_cpu"), [(1, True), (8, False)])
def test_one_worker_and_gpus_have_no_limit(plan, workers, on_cpu):
    assert MemoryBudget.of(plan, workers=workers, on_cpu=on_cpu) == MemoryBudget()


def test_without_an_estimate_there_is_no_limit(plan, tiny, monkeypatch):
    def absent(plan):
        raise DataError("not there")

    monkeypatch.setattr(memory_budget, "study_cost", absent)
    assert MemoryBudget.of(plan, workers=2, on_cpu=True).limit == inf
    monkeypatch.setattr(memory_budget, "OUTLINES", {})
    assert MemoryBudget.of(plan, workers=2, on_cpu=True).limit == inf


def test_a_container_leaves_what_its_limit_says(tmp_path, monkeypatch):
    assert memory_budget._of_container(tmp_path) == inf
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("5\n")
    assert memory_budget._of_container(tmp_path) == inf
    (tmp_path / "memory").mkdir()
    (tmp_path / "memory" / "memory.limit_in_bytes").write_text("100\n")
    (tmp_path / "memory" / "memory.usage_in_bytes").write_text("30\n")
    assert memory_budget._of_container(tmp_path) == 70
    (tmp_path / "memory.max").write_text("50\n")
    assert memory_budget._of_container(tmp_path) == 45
    monkeypatch.setattr(memory_budget, "_of_container", lambda: 45.0)
    assert available_memory() == 45.0


def test_a_queue_gives_out_what_fits_and_the_rest_later(plan, tmp_path, train):
    budget = MemoryBudget(6.0 * GIB, {"cnn": 5 * GIB, "mlp": 2 * GIB})
    with at_work(tmp_path, "test") as leases:
        queue = JobQueue(plan, tmp_path, survey(plan, tmp_path), leases)
        started = []
        while (job := queue.take(lambda job: budget.fits(job, started))) is not None:
            started.append(job)
        assert started == [train("cnn")]  # the MLP would not fit beside it
        assert queue.take(lambda job: budget.fits(job, [])) == train("mlp")
