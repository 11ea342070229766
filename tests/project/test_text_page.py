"""What the page about texts shows runs in order, Python and commands, in one folder."""

from __future__ import annotations

import importlib.util
import re
import shlex
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bequest.cli.main import app
from bequest.distill.model_queries import Written
from bequest.studies.source import SourceSpec

PAGE = Path(__file__).parents[2] / "docs" / "text.md"

pytestmark = [
    pytest.mark.usefixtures("one_worker_here"),
    pytest.mark.filterwarnings("ignore"),  # of transformers, about itself
]


def blocks() -> list[tuple[str, str]]:
    """Language and content of each fenced block, in order."""
    return re.findall(r"^```(\w*)\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def test_python_and_commands_run_in_order(tmp_path, monkeypatch):
    if importlib.util.find_spec("transformers") is None:
        pytest.skip("transformers is not installed")
    monkeypatch.chdir(tmp_path)
    names: dict = {"__name__": "page"}
    for language, content in blocks():
        if language == "python":
            exec(content, names)
        for line in content.splitlines() if language == "sh" else ():
            done = CliRunner().invoke(app, shlex.split(line)[1:])
            assert done.exit_code == 0, f"{line}\n{done.output}"
    assert (tmp_path / "runs" / "distill" / "report.html").is_file()
    assert names["own"].record.weights_digest != names["reverse"].record.weights_digest
    assert 0 <= names["ece"] <= 1
    assert 0 <= names["agree"] <= 1
    assert 1 < names["perplexity"] < len(names["texts"].vocabulary)


def test_its_queries_are_those_of_a_study():
    (toml,) = [content for language, content in blocks() if language == "toml"]
    for name, writer in (("own", "student"), ("taught", "teacher")):
        _, written = (SourceSpec.parse(each, "queries") for each in tomllib.loads(toml)["queries"][name])
        assert isinstance(written.generate, Written)
        assert written.generate.by == writer
