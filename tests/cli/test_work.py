"""``bequest work``."""

from __future__ import annotations

import json
import shutil

import pytest
from typer.testing import CliRunner

from bequest.cli.main import app
from bequest.errors import RunFolderError
from bequest.runs.folder import RESULTS, RunFolder
from bequest.runs.planning import planned
from bequest.studies.cell import cell_folder


def call(*arguments):
    return CliRunner().invoke(app, ["work", *map(str, arguments)], catch_exceptions=False)


@pytest.fixture
def unread(finished, tmp_path):
    """A run of which the readings of one cell and all results are missing."""
    root = tmp_path / "run"
    shutil.copytree(finished[0] / "run", root)
    cell = RunFolder(root).plan().cell("cnn", 0)
    shutil.rmtree(cell_folder(root, cell.id).path)
    for name in (*RESULTS, "report.html", "study.json"):
        (root / name).unlink(missing_ok=True)
    return root


def test_it_says_what_it_did_and_that_it_was_the_last(unread):
    result = call(unread)
    assert result.exit_code == 0
    assert result.output.splitlines() == [
        "trained cnn seed 0: done; 1 left",
        "read cnn seed 0: done; 0 left",
        "2 jobs done here, 0 left; measured and judged",
    ]
    assert (unread / "report.html").is_file()
    result = call(unread, "--json")
    assert json.loads(result.stdout) == {"done": 0, "failed": 0, "left": 0, "concluded": False}


def test_once_ends_after_one_job(unread):
    result = call(unread, "--once")
    assert result.exit_code == 0
    assert "1 job done here, 1 left" in result.output


def test_a_job_that_fails_exits_with_3(tiny, write_study, tmp_path):
    tiny["arms"]["cnn"]["recipe"] = {"optimizer": "sgd", "lr": 1e30}
    root = tmp_path / "run"
    root.mkdir()
    RunFolder(root).prepare(planned(write_study({**tiny, "seeds": 1}), arms=["cnn"]))
    result = call(root)
    assert result.exit_code == 3
    assert "trained cnn seed 0: failed: " in result.output
    assert call(root, "--once").exit_code == 0  # this one had no job


def test_a_folder_without_a_run_is_one_message(tmp_path):
    with pytest.raises(RunFolderError, match="is not a run folder"):
        call(tmp_path)
