"""Any number of workers on one folder leave what one run leaves, whatever becomes of them."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from functools import partial

import pytest

from bequest.config import to_toml
from bequest.errors import RunFolderError
from bequest.runs.folder import RESULTS, RunFolder
from bequest.runs.jobs.leases import DRIVER, at_work
from bequest.runs.jobs.taking import work
from bequest.runs.planning import planned
from bequest.runs.survey import survey
from bequest.studies.cell import cell_folder
from bequest.studies.resolving import read_study, resolve


def prepared(study, root):
    """A folder in which nothing is done yet."""
    plan, folder = planned(study), RunFolder(root)
    root.mkdir(parents=True)
    folder.prepare(plan)
    return plan


def results(root):
    return {name: (root / name).read_bytes() for name in RESULTS}


def test_a_worker_alone_does_what_a_run_does(finished, tmp_path):
    folder, _, _ = finished
    plan = prepared(folder / "study.toml", tmp_path / "run")
    told = []
    worked = work(tmp_path / "run", progress=lambda answer, left: told.append((answer.job.id, left)))
    assert [answer.status for answer in worked.answers] == ["done"] * 16
    assert (worked.failed, worked.left) == ({}, 0)
    assert [left for _, left in told] == list(range(15, -1, -1))
    assert worked.study.status == "complete"
    assert results(tmp_path / "run") == results(folder / "run")
    assert RunFolder(tmp_path / "run").complete(plan)
    again = work(tmp_path / "run")
    assert (again.answers, again.study) == ([], None)


def test_a_folder_without_a_run_is_refused_and_stays_as_it_is(tmp_path):
    with pytest.raises(RunFolderError, match="is not a run folder"):
        work(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_what_failed_is_not_tried_again_and_judged_once(tiny, write_study, tmp_path):
    tiny["arms"]["cnn"]["recipe"] = {"optimizer": "sgd", "lr": 1e30}
    root = tmp_path / "run"
    prepared(write_study({**tiny, "seeds": 1}), root)
    worked = work(root)
    assert {answer.job.cell.arm for answer in worked.failed.values()} == {"cnn", "mlp<-cnn"}
    assert worked.study.status == "partial"
    again = work(root)
    assert (again.answers, again.study) == ([], None)
    assert again.failed.keys() == worked.failed.keys()


def test_a_worker_leaves_measuring_to_the_driver(finished, tmp_path):
    folder, _, _ = finished
    shutil.copytree(folder / "run", tmp_path / "run")
    (tmp_path / "run" / "measurements.json").unlink()
    with at_work(tmp_path / "run", DRIVER) as leases:
        assert leases.lead()
        assert work(tmp_path / "run").study is None
    assert not (tmp_path / "run" / "measurements.json").exists()
    assert work(tmp_path / "run").study.status == "complete"


def test_a_worker_goes_on_when_the_run_grows_meanwhile(finished, tmp_path):
    folder, _, _ = finished
    root = tmp_path / "run"
    plan = prepared(folder / "study.toml", root)
    grown = planned(folder / "study.toml", seeds=3)

    def grow(answer, left):
        if left == 0 and answer.job.cell.seed < 2:
            RunFolder(root).configuration.write_text(to_toml({"scale": grown.scale, **grown.resolved}))

    for cell in plan.cells:
        shutil.copytree(cell_folder(folder / "run", cell.id).path, cell_folder(root, cell.id).path)
    last = cell_folder(root, plan.cells[-1].id)
    shutil.rmtree(last.path)
    worked = work(root, progress=grow)
    assert len(worked.answers) == 2 + 8
    assert survey(grown, root).jobs == ()
    assert worked.study.seeds == (0, 1, 2)


def start(root, *options, log=subprocess.DEVNULL):
    """``bequest work`` in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "bequest", "work", str(root), *options],
        stdout=log,
        stderr=subprocess.STDOUT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
        preexec_fn=_hear_interrupts,
    )


def _hear_interrupts():
    """Shells start background jobs deaf to Ctrl-C, and their children inherit that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def trained(root, count):
    """Waits until so many cells are trained, and not all is done."""
    deadline = time.monotonic() + 120
    while len(list(root.glob("cells/*/record.json"))) < count:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert not (root / RESULTS[0]).exists()  # something is left to do


def killed_and_started_again(root, moments):
    """Three workers of which two are killed once each call returns; then all end by themselves.

    Returns their exit codes, and the process numbers of the killed.
    """
    workers, killed = [start(root) for _ in range(3)], []
    for number, wait in enumerate(moments):
        wait()
        place = 1 + number % 2
        workers[place].kill()
        workers[place].wait()
        killed.append(workers[place].pid)
        workers[place] = start(root)
    return [worker.wait(timeout=600) for worker in workers], killed


def test_three_workers_of_which_two_are_killed_leave_the_same_bytes(finished, tmp_path):
    folder, _, _ = finished
    root = tmp_path / "run"
    prepared(folder / "study.toml", root)
    codes, killed = killed_and_started_again(root, [partial(trained, root, count) for count in (1, 4)])
    assert codes == [0, 0, 0]
    assert results(root) == results(folder / "run")
    for left in (root / ".jobs").rglob("*.*"):  # a killed worker cannot take its claim to a finished job back
        assert any(f"-{number}-" in left.name + left.read_text() for number in killed)


@pytest.mark.slow
def test_digits_by_three_workers_killed_five_times_has_the_bytes_of_a_local_run(tmp_path):
    study = tmp_path / "digits.toml"
    study.write_text(to_toml(resolve(read_study("digits"), scale="smoke")))
    command = [sys.executable, "-m", "bequest", "run", str(study), "--out", str(tmp_path / "local")]
    subprocess.run(command, check=True, capture_output=True)
    prepared(study, tmp_path / "shared")
    chance = random.Random(1)
    instants = [chance.uniform(3, 12) for _ in range(5)]
    codes, _ = killed_and_started_again(tmp_path / "shared", [partial(time.sleep, each) for each in instants])
    assert codes == [0, 0, 0]
    assert results(tmp_path / "shared") == results(tmp_path / "local")


def test_a_worker_that_is_asked_to_end_saves_and_frees_its_job(tiny, tmp_path, write_study):
    tiny["recipe"]["epochs"] = 2000
    root, log = tmp_path / "run", tmp_path / "log"
    plan = prepared(write_study({**tiny, "seeds": 1}), root)
    with log.open("wb") as file:
        worker = start(root, log=file)
        first = root / ".jobs" / "leases" / f"train-{plan.cells[0].id}.0"
        deadline = time.monotonic() + 120
        while not first.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(3)
        worker.terminate()
        assert worker.wait(timeout=60) == 130, log.read_text()
    assert "interrupted; the same command resumes" in log.read_text()
    assert cell_folder(root, plan.cells[0].id).checkpoint.is_file()
    assert list((root / ".jobs").rglob("*.*")) == []


def test_once_does_one_job(finished, tmp_path):
    folder, _, _ = finished
    prepared(folder / "study.toml", tmp_path / "run")
    worked = work(tmp_path / "run", once=True)
    assert [answer.job.id.split()[0] for answer in worked.answers] == ["train"]
    assert worked.left == 15
    assert worked.study is None


def test_the_last_of_many_single_jobs_measures(finished, tmp_path):
    folder, _, _ = finished
    root = tmp_path / "run"
    plan = prepared(folder / "study.toml", root)
    for cell in plan.cells[:-1]:
        shutil.copytree(cell_folder(folder / "run", cell.id).path, cell_folder(root, cell.id).path)
    assert work(root, once=True).study is None
    assert work(root, once=True).study.status == "complete"
    assert results(root) == results(folder / "run")


def test_a_worker_believes_no_reading_that_is_not_what_the_record_names(finished, tmp_path):
    """Two readings of one kind, exchanged: each is a whole file, of another network."""
    folder, _, _ = finished
    root = tmp_path / "run"
    shutil.copytree(folder / "run", root)
    plan = planned(folder / "study.toml")
    cells = [plan.cell("mlp", seed) for seed in (0, 1)]
    paths = [min((cell_folder(root, cell.id).path / "readings").iterdir()) for cell in cells]
    contents = [path.read_bytes() for path in paths]
    for path, content in zip(paths, reversed(contents), strict=True):
        path.write_bytes(content)
    (root / "claims.json").unlink()
    worked = work(root)
    assert [answer.job.id for answer in worked.answers] == [f"read {cell.id}" for cell in cells]
    assert worked.study.status == "complete"
    assert results(root) == results(folder / "run")
    assert [path.read_bytes() for path in paths] == contents
