"""``bequest watch``."""

from __future__ import annotations

import json

import pytest
from rich.console import Console
from typer.testing import CliRunner

from bequest.cli import watch
from bequest.cli.main import app
from bequest.runs.folder import RunFolder
from bequest.runs.jobs.leases import at_work
from bequest.runs.planning import planned


@pytest.fixture
def begun(tiny, tmp_path):
    """A run of which one training is being done, and one failed."""
    root, plan = tmp_path / "run", planned(tiny, arms=["mlp"])
    root.mkdir()
    RunFolder(root).prepare(plan)
    with at_work(root, "work", beat=0.05) as leases:
        leases.refresh()
        leases.take(f"train {plan.cell('mlp', 0).id}")
        leases.note_failure(f"train {plan.cell('mlp', 1).id}", "failed", "it [broke]")
        path = leases._presence.path
        while "train" not in path.read_text():
            pass
        yield root


def call(*arguments):
    result = CliRunner().invoke(app, ["watch", *map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


def test_outside_of_a_terminal_it_looks_once(begun):
    lines = [line.rstrip() for line in call(begun).splitlines()]
    assert lines[0] == "tiny [small] prepared"
    assert lines[1].startswith("0 of 2 cells, 0 of ")
    assert lines[2].split() == ["arm", "done", "at", "work", "failed", "waiting"]
    assert lines[3].split() == ["mlp", "·", "1", "1", "·"]
    assert "(work, 0:00): training mlp seed 0; 0 done" in lines[4]
    assert lines[5] == "failed: mlp seed 1: it [broke]"


def test_as_json(begun):
    seen = json.loads(call(begun, "--json"))
    assert seen["cells"] == {"mlp": {"done": 0, "at work": 1, "failed": 1, "waiting": 0}}
    assert seen["status"] == "prepared"
    assert [worker["role"] for worker in seen["workers"]] == ["work"]
    assert seen["failed"] == {"mlp seed 1": "it [broke]"}


def test_in_a_terminal_it_looks_until_the_run_is_concluded(finished, monkeypatch):
    monkeypatch.setattr(watch, "Console", lambda **_: Console(force_terminal=True, width=100))
    assert "8 of 8 cells, 42 of 42 readings" in call(finished[0] / "run")
