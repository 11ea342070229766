"""The tutorial, the how-to pages and the guide for contributors do what they show; links lead somewhere."""

from __future__ import annotations

import ast
import contextlib
import functools
import hashlib
import importlib.util
import inspect
import itertools
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import typer.main
from typer.testing import CliRunner

import bequest
import bequest.models
from bequest import parts
from bequest.cli.main import app
from bequest.config import merged
from bequest.registry import Registry, registering
from bequest.studies.plan import make_plan

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


def command_here(line: str, folder: Path) -> None:
    """Run a line that begins with ``bequest`` in this process: another takes seconds to import PyTorch."""
    with contextlib.chdir(folder):
        done = CliRunner().invoke(app, shlex.split(line)[1:])
    assert done.exit_code == 0, f"{line}\n{done.output}"


def follow(folder: Path, runs: bool) -> Path:
    """Do what the tutorial says; without ``runs`` whatever trains, or reads what was trained, is left out."""
    command = bequest_command if runs else command_here
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
                    command(line, folder)
        elif FOLDER.match(content):
            folder = folder / FOLDER.match(content)[1]
    return folder


@pytest.fixture
def parts_forgotten():
    """What files registered here is forgotten: other tests list what there is."""
    before = set(parts.loaded_files())
    yield
    for file in set(parts.loaded_files()) - before:
        module = parts.PREFIX + hashlib.sha256(file.encode()).hexdigest()[:12]
        parts._forget(file, module)


def test_the_tutorial_leads_to_a_study_without_a_fault(tmp_path, parts_forgotten):
    folder = follow(tmp_path, runs=False)
    study = tomllib.loads((folder / "study.toml").read_text(encoding="utf-8"))
    assert study["data"]["name"] == "npz:mine.npz"
    assert study["claims"][0]["margin"] == 0.05


@pytest.mark.slow
def test_the_tutorial_ends_with_a_judged_study_and_an_exported_student(tmp_path):
    folder = follow(tmp_path, runs=True)
    assert (folder / "runs" / "mine" / "report.html").stat().st_size > 10_000
    assert (folder / "exported" / "model.safetensors").is_file()


STUDIES = ROOT / "src" / "bequest" / "studies"
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")),
    *sorted(path for path in DOCS.rglob("*.md") if path.parent.name != "study"),
    *sorted((ROOT / "decisions").glob("*.md")),
    *sorted(STUDIES.glob("*/README.md")),
]
SHELL = ("", "sh", "yaml")
"""Languages of blocks that hold lines of a shell; a job of Kubernetes has one."""

SKETCH = "..."
"""Stands for what a reader fills in."""


def words_of(line: str) -> list[str]:
    """The words and the operators of a line of a shell, without its comment; variables are 1."""
    lexer = shlex.shlex(re.sub(r"\$\(\(.*?\)\)|\$\w+", "1", line), posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    try:
        return list(lexer)
    except ValueError:  # a quotation that ends on another line
        return []


def commands_in(line: str) -> list[list[str]]:
    """What follows ``bequest`` in a line of a shell, in each of its commands, quoted ones included."""
    commands, words = (
        [],
        words_of(re.sub(r"\[(bequest, .*?)\]", lambda found: found[1].replace(",", ""), line)),
    )
    for place, word in enumerate(words):
        before = words[place - 1] if place else "exec"
        starts = before in {"exec", "command:", "-m", "do", "nohup", "srun", "$", "&&", ";"}
        if word == "bequest" and starts:
            rest = itertools.takewhile(lambda each: not re.fullmatch(r"[;&|<>()]+", each), words[place + 1 :])
            commands.append(list(rest))
        elif "bequest " in word:
            commands += commands_in(word)
    return commands


def commands_of(page: Path) -> list[list[str]]:
    """The commands of bequest in the blocks of a page."""
    texts = [content for language, content in blocks(page) if language in SHELL]
    lines = [line for text in texts for line in text.replace("\\\n", " ").splitlines()]
    return [command for line in lines for command in commands_in(line)]


def command_of(words: list[str]) -> tuple[Any, list[str]]:
    """The command that the first words name, and the words after them."""
    command: Any = typer.main.get_command(app)
    while hasattr(command, "commands") and words and not words[0].isupper():  # VERB stands for any
        verb, *words = words
        assert verb in command.commands, verb
        command = command.commands[verb]
    return command, words


def check_command(words: list[str], *, whole: bool) -> None:
    """That the program has the verb and the options; of a ``whole`` one that it can be parsed, too."""
    command, rest = command_of(words)
    options = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    named = {word.partition("=")[0] for word in rest if re.match(r"--?[a-z]", word)}
    assert named <= options | {"--help"}, words
    if whole and SKETCH not in rest:
        command.make_context("bequest", rest)


WITH_COMMANDS = [page for page in PAGES if commands_of(page)]


def test_commands_are_found_in_every_form():
    assert commands_in("$ bequest check a.toml  # why") == [["check", "a.toml"]]
    assert commands_in('for h in a b; do ssh $h "nohup bequest work /x > $h.log 2>&1 &"; done') == [
        ["work", "/x"]
    ]
    assert commands_in("pip install -e . && bequest run digits") == [["run", "digits"]]
    assert commands_in("RANK=$K exec bequest ls") == commands_in("command: [bequest, ls]") == [["ls"]]
    assert len(WITH_COMMANDS) >= 15
    for wrong in (["rum", "digits"], ["run", "digits", "--scal", "x"], ["run"], ["run", "a", "--seeds", "x"]):
        with pytest.raises((AssertionError, typer.BadParameter)):
            check_command(wrong, whole=True)


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_command_of_a_page_can_be_parsed(page):
    for words in commands_of(page):
        check_command(words, whole=True)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_commands_within_sentences_have_their_verbs_and_options(page):
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    for code in re.findall(r"`bequest ([a-z][^`]*)`", text):
        first = re.split(r"\\?\|", code)[0]  # `store build|info|verify`
        words = words_of(first)
        if words and "bequest" not in ROOT.joinpath(words[0]).name:
            check_command(words, whole=False)


WITH_PYTHON = [page for page in PAGES if any(language in ("python", "py") for language, _ in blocks(page))]


@pytest.mark.parametrize("page", WITH_PYTHON, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_python_compiles_and_what_it_imports_and_calls_is_there(page):
    """Also of blocks that no test runs: they would take long, or need what is not installed."""
    for language, content in blocks(page):
        if language not in ("python", "py"):
            continue
        for node in ast.walk(ast.parse(content)):
            if isinstance(node, ast.ImportFrom) and importlib.util.find_spec(node.module.split(".")[0]):
                module = importlib.import_module(node.module)
                missing = [each.name for each in node.names if not hasattr(module, each.name)]
                assert missing == [], node.module
            elif isinstance(node, ast.Call) and ast.unparse(node.func).startswith("bq."):
                called = functools.reduce(getattr, ast.unparse(node.func).split(".")[1:], bequest)
                given = {each.arg: None for each in node.keywords if each.arg}
                inspect.signature(called).bind_partial(*node.args, **given)


MODEL = {"family": "mlp"}
BASE = {
    "name": "base",
    "title": "Base",
    "question": "?",
    "data": {"name": "digits"},
    "models": {"mlp": MODEL},
    "splits": {"test": {"description": "held-out images"}},
    "arms": {"mlp": {"student": "mlp"}, "taught": {"student": "mlp", "teachers": ["mlp"]}},
    "measures": {"profile": ["accuracy"]},
}
"""What a fragment is laid over."""


@pytest.mark.parametrize("page", ["data", "models", "queries", "scaling", "text"])
def test_every_fragment_of_a_study_is_one(page):
    fragments = [content for language, content in blocks(DOCS / f"{page}.md") if language == "toml"]
    assert fragments
    for fragment in map(tomllib.loads, fragments):
        for name in fragment.get("queries", [None]):
            laid = merged(BASE, fragment)
            if name is not None:
                laid["arms"]["taught"] = {**laid["arms"]["taught"], "queries": name}
            make_plan(laid, scale="small")


def test_what_the_pages_export_reads_back(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (code,) = (content for _, content in blocks(DOCS / "models.md") if "save_pretrained(" in content)
    model, x = (
        bequest.models.build_model("mlp", (1, 12, 12), 10, seed=0, hidden=[64]),
        torch.rand(3, 1, 12, 12),
    )
    scope = {"model": model, "x": x, "classes": [str(digit) for digit in range(10)]}
    if importlib.util.find_spec("onnxruntime") is None:
        code = re.sub(r"^export_onnx\(.*?^\)", "", code, flags=re.MULTILINE | re.DOTALL)
    exec(code, scope)
    assert torch.equal(scope["load_pretrained"]("exported").model(x), model.eval()(x))


def test_the_curves_of_the_how_to_page_are_written(monkeypatch):
    written = []
    writer = SimpleNamespace(add_scalar=lambda *scalar: written.append(scalar), flush=lambda: None)
    library = SimpleNamespace(SummaryWriter=lambda *_, **__: writer)  # tensorboard itself is no extra of ours
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", library)
    (code,) = (content for _, content in blocks(DOCS / "how-to.md") if "TensorBoard" in content)
    exec(code.replace("data, callbacks", "data, epochs=1, callbacks"), {"bq": bequest})
    assert written


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
