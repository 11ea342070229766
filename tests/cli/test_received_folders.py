"""A run folder that somebody sent: looking at it runs nothing of it, running it writes nowhere else."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

import bequest as bq
from bequest.config import read_toml, to_toml
from bequest.errors import RunFolderError

LOOKING = {
    "show": ["show", "RUN"],
    "show --json": ["show", "RUN", "--json"],
    "two": ["show", "RUN", "RUN-copy"],
    "report": ["report", "RUN", "-o", "page.html"],
    "statement": ["report", "RUN", "--statement"],
}
RUNNING = {
    "run": ["run", "RUN/study.toml", "--out", "RUN", "--dry-run"],
    "check": ["check", "RUN/study.toml"],
    "prune": ["prune", "RUN"],
    "store": ["store", "build", "store", "--teacher", "RUN:cnn"],
}


@pytest.fixture
def received(finished, tmp_path):
    """A folder whose study uses a file that leaves a mark when it is imported."""
    shutil.copytree(finished[0] / "run", tmp_path / "run")
    parts = tmp_path / "run" / "parts.py"
    parts.write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\n")
    study = tmp_path / "run" / "study.toml"
    study.write_text(to_toml({**read_toml(study), "use": [str(parts)]}))
    shutil.copytree(tmp_path / "run", tmp_path / "run-copy")
    return tmp_path


def ended(folder, words):
    """The exit code of a command, and whether it ran the folder's code."""
    command = [word.replace("RUN", str(folder / "run")) for word in words]
    done = subprocess.run(
        [sys.executable, "-m", "bequest", *command], cwd=folder, capture_output=True, timeout=120, check=False
    )
    assert b"Traceback" not in done.stderr
    return done.returncode, (folder / "ran").exists()


@pytest.mark.parametrize("words", LOOKING.values(), ids=LOOKING)
def test_looking_at_a_folder_runs_nothing_of_it(received, words):
    assert ended(received, words) == (0, False)


@pytest.mark.parametrize("name", [".jobs", ".jobs/leases", "cells", "stores", "readings"])
def test_a_folder_of_a_run_that_is_a_link_is_refused(name, finished, tmp_path):
    run, outside = tmp_path / "run", tmp_path / "outside"
    shutil.copytree(finished[0] / "run", run)
    outside.mkdir()
    path = next((run / "cells").glob("*/readings")) if name == "readings" else run / name
    shutil.rmtree(path, ignore_errors=True)
    path.parent.mkdir(exist_ok=True)
    path.symlink_to(outside)
    with pytest.raises(RunFolderError, match="is a symbolic link"):
        bq.run(finished[0] / "study.toml", out=run)
    assert list(outside.iterdir()) == []


@pytest.mark.parametrize("words", RUNNING.values(), ids=RUNNING)
def test_running_it_runs_the_files_that_it_uses(received, words):
    assert ended(received, words)[1]


def test_nothing_is_written_through_links_of_a_folder(finished, tmp_path):
    """Everything in the folder that a run writes to is a link to a file that must stay as it is."""
    outside = tmp_path / "outside"
    outside.mkdir()
    run = tmp_path / "run"
    shutil.copytree(finished[0] / "run", run)
    names = [".lock", "worker-0.log", "measurements.json", "curves.json", "claims.json", "report.html"]
    for name in names:
        (outside / name).write_text("precious")
        (run / name).unlink(missing_ok=True)
        (run / name).symlink_to(outside / name)
    study = finished[0] / "study.toml"
    command = [sys.executable, "-m", "bequest", "run", str(study), "--out", str(run), "--workers", "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, env=os.environ)
    assert done.returncode in (0, 2), done.stderr
    assert {path.read_text() for path in outside.iterdir()} == {"precious"}
