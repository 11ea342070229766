"""The tutorial, the how-to pages and the guide for contributors do what they show; links lead somewhere."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import bequest
from bequest.cli.main import app
from bequest.registry import Registry, registering

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
SOURCES = (".md", ".ipynb")
"""Endings of the sources of a page of the site."""

FOLDER = re.compile(r"^cd (\w+)$", re.MULTILINE)


def blocks(page: Path) -> list[tuple[str, str]]:
    """Language and content of each fenced block, in order."""
    return re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


@pytest.fixture
def registered_here():
    """What a page's code registers is forgotten after it."""
    with registering("a page"):
        yield
    Registry.forget("a page")


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "docs/distillation-code.md", "docs/how-to.md"])
def test_the_python_of_a_page_runs_in_order(page, registered_here, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code = [content for language, content in blocks(ROOT / page) if language == "python"]
    assert code
    names: dict = {"__name__": "page"}
    for block in code:
        exec(block, names)
    if "doubt" in names:
        probs = np.array([[0.4, 0.3, 0.3], [0.9, 0.1, 0.0]])
        assert names["doubt"](type("Predictions", (), {"probs": probs})).tolist() == [True, False]


def bequest_command(line: str, folder: Path) -> None:
    """Run a line that begins with ``bequest`` in a process of its own, as a reader does."""
    path = os.pathsep.join([str(Path(bequest.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-m", *shlex.split(line)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"


def test_the_commands_of_the_how_to_page_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for language, content in blocks(DOCS / "how-to.md"):
        if language == "python" and "savez" in content:
            exec(content, {})
        elif language == "sh":
            for line in content.splitlines():
                done = CliRunner().invoke(app, shlex.split(line)[1:])
                assert done.exit_code == 0, f"{line}\n{done.output}"


def follow(folder: Path, runs: bool) -> Path:
    """Do what the tutorial says; without ``runs`` whatever trains, or reads what was trained, is left out."""
    for language, content in blocks(DOCS / "tutorial.md"):
        if language == "diff":
            name, *lines = content.splitlines()
            old, new = ("\n".join(x[1:] for x in lines if x[0] == sign) for sign in "-+")
            text = (folder / name).read_text(encoding="utf-8")
            assert text.count(old + "\n") == 1, old
            (folder / name).write_text(text.replace(old, new), encoding="utf-8")
        elif language == "python":
            subprocess.run([sys.executable, "-c", content], cwd=folder, check=True)
        elif language == "sh":
            for line in content.splitlines():
                needs_training = (
                    line.split()[1] in {"run", "show", "report", "export"} and "--dry" not in line
                )
                if runs or not needs_training:
                    bequest_command(line, folder)
        elif FOLDER.match(content):
            folder = folder / FOLDER.match(content)[1]
    return folder


def test_the_tutorial_leads_to_a_study_without_a_fault(tmp_path):
    folder = follow(tmp_path, runs=False)
    study = tomllib.loads((folder / "study.toml").read_text(encoding="utf-8"))
    assert study["data"]["name"] == "npz:mine.npz"
    assert study["claims"][0]["margin"] == 0.05


@pytest.mark.slow
def test_the_tutorial_ends_with_a_judged_study_and_an_exported_student(tmp_path):
    folder = follow(tmp_path, runs=True)
    assert (folder / "runs" / "mine" / "report.html").stat().st_size > 10_000
    assert (folder / "exported" / "model.safetensors").is_file()


def test_every_option_of_the_tutorial_exists():
    import typer.main

    commands = typer.main.get_command(app).commands
    lines = re.findall(r"^bequest .*$", (DOCS / "tutorial.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert len(lines) >= 10
    for line in lines:
        _, verb, *words = shlex.split(line)
        options = {name for parameter in commands[verb].params for name in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= options, line


PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    *sorted(path for path in DOCS.rglob("*.md") if path.parent.name != "study"),
]


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_relative_link_leads_to_a_file_and_a_heading(page):
    text = re.sub(r"`[^`\n]*`|^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        path = (page.parent / name) if name else page
        assert path.exists(), target
        assert not anchor or anchor in anchors(path), target


def test_the_index_names_pages_that_exist():
    text = (DOCS / "index.md").read_text(encoding="utf-8")
    named = [
        name for block in re.findall(r"```\{toctree\}(.*?)```", text, re.S) for name in block.split("\n")
    ]
    pages = {name for name in named if re.fullmatch(r"[\w\-/]+", name)}
    assert {name for name in pages if not any((DOCS / f"{name}{end}").is_file() for end in SOURCES)} == set()


def test_what_language_models_are_told_leads_to_pages():
    text = (DOCS / "llms.txt").read_text(encoding="utf-8")
    targets = re.findall(r"\(([\w\-/]+)\.html\)", text)
    assert len(targets) >= 15
    assert [name for name in targets if not any((DOCS / f"{name}{end}").is_file() for end in SOURCES)] == []


def test_the_version_is_one():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
