"""What the page about the solvable model shows is true."""

from __future__ import annotations

import re
from pathlib import Path

from typer.testing import CliRunner

from bequest import theory
from bequest.cli.theory import app

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "theory.md").read_text(encoding="utf-8")


def test_the_example_runs(capsys):
    (block,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(block, {})
    assert capsys.readouterr().out == (
        "student less teacher: at most 0.0014\nleast teacher's error 0.1597 at 0.175\n"
    )


def test_every_figure_is_there():
    figures = re.findall(r"\((figures/[^)]+)\)", PAGE)
    assert len(figures) >= 6
    assert all((DOCS / figure).read_text(encoding="utf-8").startswith("<svg") for figure in figures)


def test_every_name_in_code_exists():
    for name in ("solve_chain", "optimise", "bayes_error", "separability_threshold"):
        assert f"`{name}" in PAGE
        assert hasattr(theory, name)


def test_the_commands_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    commands = re.findall(r"^bequest theory (.*?)(?: +#.*)?$", PAGE, re.MULTILINE)
    assert {command.split()[0] for command in commands} == {
        "point",
        "sweep",
        "simulate",
        "optimise",
        "queries",
    }
    for command in commands:
        done = CliRunner().invoke(app, command.split())
        assert done.exit_code == 0, f"{command}\n{done.output}\n{done.exception}"
    assert {path.name for path in tmp_path.iterdir()} == {"sweep.csv", "sweep.svg"}
