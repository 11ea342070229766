"""``bequest run``: what it says before it begins, while it works and at the end."""

from __future__ import annotations

import json
import shutil

import pytest
from typer.testing import CliRunner

from bequest.cli.main import app
from bequest.errors import ConfigError, RunFolderError

pytestmark = pytest.mark.usefixtures("one_worker_here")


@pytest.fixture
def call(finished, write_study, tmp_path):
    """A function that calls the command for a study in a folder with a finished run."""
    shutil.copytree(finished[0] / "run", tmp_path / "run")

    def run(content, *options):
        command = ["run", str(write_study(content)), "--out", str(tmp_path / "run"), "--workers", "1"]
        return CliRunner().invoke(app, [*command, *options])

    return run


def test_a_finished_run_says_that_there_is_nothing_to_do(call, tiny):
    result = call(tiny)
    assert result.exit_code == 0, result.output
    assert "all 8 cells and their readings are finished; nothing to do" in result.output
    assert "nothing to train: all 8 cells already finished" in result.output
    assert "report.html" in result.output


def test_another_title_says_that_verdicts_and_page_are_made(call, tiny):
    tiny["title"] = "Another [red]title[/]"
    result = call(tiny)
    assert "verdicts and page only" in result.output


def test_a_new_seed_says_what_will_be_trained_and_each_job(call, tiny):
    result = call(tiny, "--seeds", "3")
    assert result.exit_code == 0, result.output
    assert "8 cells finished, 4 to train, " in result.output
    assert "trained mlp<-cnn seed 2: done" in result.output
    assert "read mlp<-cnn seed 2: done" in result.output
    assert "4 cells trained, " in result.output


def test_what_leaves_cells_unused_is_refused_and_amended(call, tiny):
    refused = call(tiny, "--seeds", "1")
    assert isinstance(refused.exception, RunFolderError)
    assert refused.exception.exit_code == 2
    assert "--amend" in str(refused.exception)
    amended = call(tiny, "--seeds", "1", "--amend")
    assert amended.exit_code == 0, amended.output


def test_failed_cells_are_named_with_their_errors_and_the_exit_code_is_3(call, tiny):
    tiny["arms"]["broken"] = {"student": "mlp", "recipe": {"optimizer": "sgd", "lr": 1e30}}
    result = call(tiny)
    assert result.exit_code == 3
    assert "failed: broken seed 0: the loss" in result.output
    assert "failed: broken seed 1: the loss" in result.output
    assert "run the same command to retry the failed cells" in result.output


def test_json_is_the_record_of_the_study(call, tiny):
    result = call(tiny, "--json")
    assert json.loads(result.stdout)["status"] == "complete"


def test_a_dry_run_of_the_solvable_model_needs_no_cost():
    result = CliRunner().invoke(app, ["run", "saglietti2020", "--scale", "smoke", "--dry-run"])
    assert result.exit_code == 0, result.output
    assert "the cells simulate the solvable model" in result.output


def test_a_dry_run_refuses_an_engine_that_is_none(call, tiny):
    result = call(tiny, "--engine", "slrm", "--dry-run")
    assert isinstance(result.exception, ConfigError)
    assert "there is no engine 'slrm'; expected one of local" in str(result.exception)


def test_parts_that_fail_are_one_message(call, tiny, tmp_path):
    (tmp_path / "parts.py").write_text("import nowhere_at_all\n")
    result = call(tiny, "--use", str(tmp_path / "parts.py"))
    assert isinstance(result.exception, ConfigError)
    assert "line 1: ModuleNotFoundError" in str(result.exception)
