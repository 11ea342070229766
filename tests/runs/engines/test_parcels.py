"""A run whose jobs are done in folders that know nothing of the run's: only what is sent gets there."""

from __future__ import annotations

import subprocess
import sys

import pytest

from bequest.config import to_toml
from bequest.errors import RunFolderError
from bequest.runs.conclusion import Conclusion
from bequest.runs.engines.parcels import RECORD, Delivery, Luggage, Piece, Scratch, pieces_for
from bequest.runs.folder import RESULTS, RunFolder
from bequest.runs.jobs.leases import at_work
from bequest.runs.jobs.queue import JobQueue
from bequest.runs.planning import planned
from bequest.runs.survey import READ, TRAIN, Job, survey
from bequest.studies.cell import cell_folder


@pytest.fixture
def queue(finished, tmp_path):
    """The jobs of a run that nobody began."""
    root = tmp_path / "run"
    root.mkdir()
    plan = planned(finished[0] / "study.toml")
    RunFolder(root).prepare(plan)
    with at_work(root, "run") as leases:
        yield JobQueue(plan, root, survey(plan, root), leases)


class Post:
    """Carries jobs to scratch folders in turns, and counts what was fetched."""

    def __init__(self, queue, scratches):
        self.queue, self.scratches, self.fetched = queue, scratches, []

    def fetch(self, piece):
        self.fetched.append(piece)
        return piece.path(self.queue.root).read_bytes()

    def deliver(self, job, scratch):
        readings = self.queue.lacking(job) if job.action == READ else []
        delivery = scratch.do(job.id, readings, pieces_for(self.queue.root, job), self.fetch)
        return delivery.unpack(self.queue.root, job)

    def all(self):
        place = 0
        while not self.queue.empty:
            list(self.queue.elsewhere())
            job = self.queue.take()
            self.queue.end(self.deliver(job, self.scratches[place % len(self.scratches)]))
            place += 1


def test_two_scratch_folders_leave_the_bytes_of_a_local_run(queue, finished, tmp_path):
    luggage = Luggage.of(queue.root)
    post = Post(queue, [Scratch(tmp_path / "one", luggage), Scratch(tmp_path / "two", luggage)])
    post.all()
    assert survey(queue.plan, queue.root).jobs == ()
    conclusion = Conclusion(queue.plan, RunFolder(queue.root))
    conclusion.judge(conclusion.measure())
    for name in RESULTS:
        assert (queue.root / name).read_bytes() == (finished[0] / "run" / name).read_bytes()
    # Each network goes to each folder at most once, although it teaches and is read there.
    weights = [piece for piece in post.fetched if piece.name == "weights.safetensors"]
    assert len(weights) <= 2 * len(queue.plan.by_id)


def test_a_job_takes_along_what_it_reads_and_nothing_else(finished):
    root = finished[0] / "run"
    plan = RunFolder(root).plan()
    taught, cnn, mlp = (plan.cell(arm, 0).id for arm in ("mlp<-cnn", "cnn", "mlp"))
    sent = {(piece.cell, piece.name) for piece in pieces_for(root, Job(TRAIN, plan.cell("mlp<-cnn", 0)))}
    weights = "weights.safetensors"
    assert sent == {(taught, RECORD), (cnn, RECORD), (mlp, RECORD), (cnn, weights)}
    sent = {(piece.cell, piece.name) for piece in pieces_for(root, Job(READ, plan.cell("mlp<-cnn", 0)))}
    assert sent == {(taught, RECORD), (mlp, RECORD), (taught, weights)}


def test_a_checkpoint_goes_along_and_is_gone_when_the_training_is_back(queue, tmp_path):
    job = queue.take()
    folder = cell_folder(queue.root, job.cell.id)
    folder.path.mkdir(parents=True)
    folder.checkpoint.write_bytes(b"of another run")
    post = Post(queue, [])
    with pytest.warns(UserWarning, match="is damaged"):
        assert post.deliver(job, Scratch(tmp_path / "one", Luggage.of(queue.root))).status == "done"
    assert [piece.name for piece in post.fetched] == ["checkpoint.pt"]
    assert not folder.checkpoint.exists()


def test_a_users_parts_travel_too(tiny, tmp_path, write_study):
    (tmp_path / "parts.py").write_text(
        "import torch.nn as nn\nfrom bequest.models.catalogue import MODELS\n\n"
        "@MODELS.register('mine')\ndef mine(shape, classes):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(64, classes))\n"
    )
    tiny["use"] = ["parts.py"]
    tiny["models"]["mlp"] = {"family": "mine"}
    root = tmp_path / "run"
    root.mkdir()
    plan = planned(write_study(tiny), arms=["mlp"], seeds=1)
    RunFolder(root).prepare(plan)
    luggage = Luggage.of(root)
    assert [name for name, _ in luggage.parts] == ["parts.py"]
    luggage.unpack(tmp_path / "there")
    (tmp_path / "parts.py").unlink()
    code = (
        "import sys, pathlib\nfrom bequest.runs.folder import RunFolder\n"
        "print(*RunFolder(pathlib.Path(sys.argv[1])).plan().by_id)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "there")]
    there = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert there.split() == list(plan.by_id)


def test_a_failure_is_delivered_with_its_record(tiny, tmp_path, write_study):
    tiny["recipe"] |= {"optimizer": "sgd", "lr": 1e30}
    root = tmp_path / "run"
    root.mkdir()
    plan = planned(write_study(tiny), arms=["mlp"], seeds=1)
    RunFolder(root).prepare(plan)
    job = Job(TRAIN, plan.cells[0])
    delivery = Scratch(tmp_path / "there", Luggage.of(root)).do(job.id, [], [], lambda piece: b"")
    assert delivery.status == "failed"
    answer = delivery.unpack(root, job)
    assert "is not finite at step" in answer.error
    assert cell_folder(root, job.cell.id).readable_record().status == "failed"


def test_what_arrives_is_compared_with_the_record(finished, tmp_path):
    plan = RunFolder(finished[0] / "run").plan()
    job = Job(TRAIN, plan.cell("mlp", 0))
    record = cell_folder(finished[0] / "run", job.cell.id).record.read_bytes()
    for files, message in (
        ({"metrics.jsonl": b"other"}, "did not arrive as it was sent"),
        ({"../../escaped": b"x"}, "does not name"),
        ({"unknown.txt": b"x"}, "does not name"),
    ):
        with pytest.raises(RunFolderError, match=message):
            Delivery("done", None, 0, {**files, RECORD: record}).unpack(tmp_path, job)
        assert not cell_folder(tmp_path, job.cell.id).record.exists()
    for damaged, message in (
        (record.replace(b'"seed": 0', b'"seed": 1'), "is damaged"),
        (record[:-40], "cannot be read"),
        (b"[]", "is not a RunRecord"),
    ):
        with pytest.raises(RunFolderError, match=message):
            Delivery("done", None, 0, {RECORD: damaged}).unpack(tmp_path, job)
    assert Delivery("failed", "no", 0).unpack(tmp_path, job).error == "no"


def test_results_of_an_attempt_that_did_not_arrive_are_made_again(queue, tmp_path):
    scratch = Scratch(tmp_path / "one", Luggage.of(queue.root))
    job = queue.take()
    first = scratch.do(job.id, [], [], lambda piece: b"")
    second = scratch.do(job.id, [], [], lambda piece: b"")
    assert first.files["weights.safetensors"] == second.files["weights.safetensors"]
    scratch.clear()
    assert not (tmp_path / "one").exists()


def test_a_file_that_changed_is_fetched_again(finished, tmp_path):
    root = finished[0] / "run"
    plan = RunFolder(root).plan()
    scratch, fetched = Scratch(tmp_path / "there", Luggage.of(root)), []

    def fetch(piece):
        fetched.append(piece.name)
        return piece.path(root).read_bytes()

    pieces = pieces_for(root, Job(TRAIN, plan.cell("mlp<-cnn", 0)))
    for piece in pieces:
        scratch._fetch(piece, fetch)
        scratch._fetch(piece, fetch)
    assert len(fetched) == len(pieces)
    (weights,) = [piece for piece in pieces if piece.name == "weights.safetensors"]
    scratch._fetch(Piece(weights.cell, weights.name, "another"), fetch)
    assert len(fetched) == len(pieces) + 1


def test_luggage_is_the_study_as_resolved(queue, tmp_path):
    Luggage.of(queue.root).unpack(tmp_path / "there")
    content = {"scale": queue.plan.scale, **queue.plan.resolved}
    assert (tmp_path / "there" / "study.toml").read_text() == to_toml(content)
