"""``--engine slurm``: submitit's own executors on this machine, and the lines that Slurm would get."""

from __future__ import annotations

import os
import stat
import sys

import pytest

import bequest as bq
from bequest.errors import ConfigError, MissingExtra, RunError
from bequest.resources import ResourcesSpec
from bequest.runs.engines import slurm
from bequest.runs.engines.slurm import SlurmEngine
from bequest.runs.folder import RESULTS, RunFolder
from bequest.runs.jobs.leases import at_work
from bequest.runs.jobs.queue import JobQueue
from bequest.runs.planning import planned
from bequest.runs.survey import survey


@pytest.fixture
def submitit():
    return pytest.importorskip("submitit")


@pytest.fixture
def queue(finished, tmp_path):
    """The jobs of a run that nobody began, held by the driver."""
    plan, folder = planned(finished[0] / "study.toml"), RunFolder(tmp_path / "run")
    with folder.locked() as leases:
        folder.prepare(plan, leases=leases)
        yield JobQueue(plan, folder.path, survey(plan, folder.path), leases)


@pytest.fixture
def through(monkeypatch):
    """Lets ``--engine slurm`` use another of submitit's executors."""

    def use(cluster):
        real = slurm.SlurmEngine.__init__

        def init(self, resources, device="auto", **_):
            real(self, resources, device, cluster, 0.2)

        monkeypatch.setattr(slurm.SlurmEngine, "__init__", init)

    return use


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # logs that it leaves open
@pytest.mark.parametrize("cluster", ["debug", pytest.param("local", marks=pytest.mark.slow)])
def test_a_run_by_submitit_has_the_bytes_of_a_local_run(submitit, through, finished, tmp_path, cluster):
    through(cluster)
    settings = ["resources={array=2, cpus=1, time='10m', memory='1G'}"]
    updates = []
    result = bq.run(
        finished[0] / "study.toml",
        out=tmp_path / "run",
        settings=settings,
        engine="slurm",
        device="cpu",
        progress=updates.append,
    )
    assert (result.trained, result.failed, result.study.status) == (8, (), "complete")
    assert updates[-1].done == 16
    for name in RESULTS:
        assert (tmp_path / "run" / name).read_bytes() == (finished[0] / "run" / name).read_bytes()


def script(path, text):
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def test_the_lines_of_the_array_name_its_resources(submitit, queue, tmp_path, monkeypatch):
    """``sbatch`` is replaced by a program that keeps what it is given."""
    programs = tmp_path / "bin"
    programs.mkdir()
    script(programs / "srun", "exit 0")
    script(programs / "sbatch", f'cp "$1" {tmp_path}/lines; echo Submitted batch job 7')
    script(programs / "sacct", "exit 0")
    script(programs / "scancel", f'echo "$@" >> {tmp_path}/cancelled')
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    needs = ResourcesSpec(
        cpus=4, gpus=1, memory="16G", time="1h30m", array=3, options={"partition": "a100", "exclusive": True}
    )
    engine = SlurmEngine(needs, "auto", pause=0.01)
    answers = engine.run(queue)

    def interrupted(seconds):
        raise KeyboardInterrupt

    monkeypatch.setattr(slurm.time, "sleep", interrupted)
    with pytest.raises(KeyboardInterrupt):
        list(answers)
    lines = (tmp_path / "lines").read_text().splitlines()
    for line in (
        "--array=0-2%3",
        "--cpus-per-task=4",
        "--gpus-per-node=1",
        "--mem=16GB",
        "--time=90",
        "--partition=a100",
        "--exclusive",
        "--job-name=bequest",
        "--signal=USR2@120",
    ):
        assert f"#SBATCH {line}" in lines
    (command,) = [line for line in lines if line.startswith("srun")]
    assert sys.executable in command
    assert (tmp_path / "cancelled").read_text().splitlines() == ["7_0", "7_1", "7_2"]


class Dead:
    """A task that ended at once."""

    def done(self):
        return True

    def cancel(self):
        pytest.fail("it is over")


def test_an_array_that_does_nothing_is_an_error_that_names_its_logs(queue, monkeypatch):
    submitted = []
    monkeypatch.setattr(SlurmEngine, "_submitted", lambda self, queue: submitted.append(1) or [Dead()])
    monkeypatch.setattr(Dead, "cancel", lambda self: None)
    with pytest.raises(RunError, match="ended without having done any job") as caught:
        list(SlurmEngine(ResourcesSpec(), pause=0.01).run(queue))
    assert submitted == [1]
    assert ".jobs/slurm" in str(caught.value)


def test_another_array_goes_on_where_one_ended(queue, monkeypatch, finished):
    import shutil

    from bequest.studies.cell import cell_folder

    cells, arrays = list(queue.plan.by_id.values()), []

    def submitted(self, queue):
        arrays.append(len(cells))
        for cell in [cells.pop(0) for _ in range(min(4, len(cells)))]:
            shutil.copytree(
                cell_folder(finished[0] / "run", cell.id).path, cell_folder(queue.root, cell.id).path
            )
        return [Dead()]

    monkeypatch.setattr(SlurmEngine, "_submitted", submitted)
    answers = list(SlurmEngine(ResourcesSpec(), pause=0.01).run(queue))
    assert len(answers) == 16
    assert arrays == [8, 4]


def test_a_worker_of_an_array_leaves_measuring_to_the_driver(finished, queue):
    with at_work(queue.root, "look") as leases:
        leases.refresh()
        assert leases.driver() is not None


def test_without_slurm_or_submitit_one_message_says_so(submitit, queue, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ConfigError, match="no Slurm here"):
        list(SlurmEngine(ResourcesSpec()).run(queue))
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(MissingExtra, match="needs the package submitit"):
        list(SlurmEngine(ResourcesSpec()).run(queue))


def test_another_engine_is_refused_before_anything_runs(finished, tmp_path):
    with pytest.raises(ConfigError, match="there is no engine 'slurmm'"):
        bq.run(finished[0] / "study.toml", out=tmp_path / "run", engine="slurmm")
    assert not (tmp_path / "run").exists()
