"""``bequest prune`` and ``bequest run --amend``."""

from __future__ import annotations

import json
import shutil

import pytest
from typer.testing import CliRunner

from bequest.cli.main import app
from bequest.runs.folder import RunFolder
from bequest.runs.planning import planned


@pytest.fixture
def fewer(finished, tmp_path, tiny):
    """A run whose study no longer asks for one of its seeds."""
    shutil.copytree(finished[0] / "run", tmp_path / "run")
    RunFolder(tmp_path / "run").prepare(planned(tiny, seeds=1), amend=True)
    return tmp_path / "run"


def call(*arguments):
    result = CliRunner().invoke(app, ["prune", *map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_what_would_go_is_shown_and_then_goes(fewer):
    shown = json.loads(call(fewer, "--dry-run", "--json"))
    assert len(shown["deleted"]) == 4
    assert shown["bytes"] > 0
    assert len(list((fewer / "cells").iterdir())) == 8
    assert json.loads(call(fewer, "--json")) == shown
    assert len(list((fewer / "cells").iterdir())) == 4
    assert json.loads(call(fewer, "--json")) == {"deleted": [], "bytes": 0}
