from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import nn

from bequest.distill.checkpoint import checkpointing
from bequest.distill.parallel import Ranks, joined, launched
from bequest.errors import WorkerLost

SCRIPT = Path(__file__).with_name("ranked_lessons.py")


@pytest.fixture(scope="module")
def alone():
    """The script as a module: the same lessons, for one process."""
    spec = importlib.util.spec_from_file_location("ranked_lessons", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def ranked(alone, tmp_path_factory):
    """What two ranks made of the lessons, started by torchrun."""
    folder = tmp_path_factory.mktemp("ranked")
    alone.result(alone.lessons()["mixture"], checkpoint=alone.first_only(checkpointing(folder / "alone.pt")))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*command, SCRIPT, folder], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return folder, torch.load(folder / "found.pt", weights_only=True)


def test_two_ranks_train_the_student_that_one_process_trains(alone, ranked):
    _, found = ranked
    for name, lesson in alone.lessons().items():
        expected = alone.result(lesson)
        for key, value in expected["weights"].items():
            assert torch.allclose(found[name]["weights"][key], value, atol=1e-5), name
        assert len(found[name]["history"]) == len(expected["history"])
        for row, wanted in zip(found[name]["history"], expected["history"], strict=True):
            assert row == pytest.approx(wanted, abs=1e-5)
        for rounds, others in zip(found[name]["chosen"].values(), expected["chosen"].values(), strict=True):
            assert all(torch.equal(a, b) for a, b in zip(rounds, others, strict=True))
        assert found[name]["warnings"] == []


def test_a_run_goes_on_with_another_number_of_ranks(alone, ranked):
    folder, found = ranked
    lesson = alone.lessons()["mixture"]
    alone.result(lesson, checkpoint=checkpointing(folder / "ranked.pt"))
    whole = found["mixture"]["weights"]
    for key, value in lesson.student.state_dict().items():
        assert torch.allclose(value, whole[key], atol=1e-5)
        assert torch.allclose(found["resumed"]["weights"][key], whole[key], atol=1e-5)


def test_batch_statistics_agree_between_ranks_and_are_warned_about(ranked):
    _, found = ranked
    assert torch.allclose(found["mean"], found["normed"]["weights"]["2.running_mean"])
    (warning,) = found["normed"]["warnings"]
    assert "with 2 ranks the student differs from one trained in one process" in warning


def test_a_dead_rank_ends_the_run_with_a_message(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {**os.environ, "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    ranks = [
        subprocess.Popen(
            [sys.executable, SCRIPT, tmp_path, "die"],
            env={**shared, "RANK": str(rank)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    (_, _), (_, text) = (process.communicate(timeout=120) for process in ranks)
    assert [process.returncode for process in ranks] == [7, WorkerLost.exit_code]
    assert "WorkerLost: rank 1 lost the other ranks\n  expected: 2 ranks in step" in text
    assert "the same command resumes from the last checkpoint, also with a different number of ranks" in text


def test_alone_nothing_is_exchanged():
    ranks = Ranks.here()
    assert (ranks.rank, ranks.world, ranks.first) == (0, 1, True)
    values = torch.arange(3.0)
    assert ranks.sum(values) is values
    assert ranks.shared(values) is values
    model = nn.BatchNorm1d(2)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    ranks.copy_from_first(model)
    ranks.average_buffers(model)
    ranks.sum_gradients(list(model.parameters()))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert model.weight.grad is None
    with joined() as joint:
        assert joint == Ranks()


def test_gradients_are_summed_and_absent_ones_stay_absent(monkeypatch):
    first, second, third = (nn.Parameter(torch.zeros(k)) for k in (2, 3, 4))
    first.grad, second.grad = torch.tensor([1.0, 2.0]), None

    def other_rank(flat: torch.Tensor) -> None:
        """The other rank has a gradient of ones for the second parameter only."""
        assert flat.tolist() == [1, 0, 0, 1, 2, 0, 0, 0, 0, 0, 0, 0]
        flat += torch.tensor([0, 1, 0, 0, 0, 1, 1, 1, 0, 0, 0, 0.0])

    monkeypatch.setattr(dist, "all_reduce", other_rank)
    Ranks(0, 2).sum_gradients([first, second, third])
    assert first.grad.tolist() == [1, 2]
    assert second.grad.tolist() == [1, 1, 1]
    assert third.grad is None


def test_lost_ranks_are_reported(monkeypatch):
    def gone(_values: torch.Tensor) -> None:
        raise RuntimeError("connection closed by peer\nwith a long trace")

    monkeypatch.setattr(dist, "all_reduce", gone)
    with pytest.raises(WorkerLost) as caught:
        Ranks(1, 4).sum(torch.zeros(1))
    assert str(caught.value).splitlines()[:3] == [
        "rank 1 lost the other ranks",
        "  expected: 4 ranks in step",
        "  got:      connection closed by peer",
    ]


def test_ranks_that_cannot_be_reached(monkeypatch):
    assert not launched()
    for name, value in {"WORLD_SIZE": "2", "RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    monkeypatch.delenv("MASTER_PORT", raising=False)
    assert launched()
    with pytest.raises(WorkerLost, match="rank 1 cannot reach the other ranks") as caught, joined():
        pass
    assert "check MASTER_ADDR and MASTER_PORT, and that every rank was started" in str(caught.value)
