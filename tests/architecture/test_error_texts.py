"""Each text that an error of ours begins with is read by a test: three words in a row stand in a string."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OF_PYTHON = {"ValueError", "TypeError", "KeyError", "OSError", "AttributeError", "RuntimeError"}
LONG = 4
"""Letters of a text that says something."""

RUN = 3
"""So many words in a row of a text are in a string of a test."""


def _strings(path: Path) -> Iterator[str]:
    """The strings of a module of tests that are no docstrings, without the escapes of patterns."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    bare = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in bare:
            yield node.value.replace("\\", "")


def _headlines() -> dict[str, list[str]]:
    """The written parts of the first argument of each error that is raised, by place."""
    found = {}
    for path in sorted((ROOT / "src" / "bequest").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call)):
                continue
            if ast.unparse(node.exc.func) in OF_PYTHON:
                continue
            parts = [
                part.value.strip()
                for argument in node.exc.args
                for part in ast.walk(argument)
                if isinstance(part, ast.Constant) and isinstance(part.value, str) and len(part.value) > LONG
            ]
            if any(" " in part for part in parts):  # a name alone is where faults are, which vary
                found[f"{path.relative_to(ROOT)}:{node.lineno}"] = parts
    return found


def _fragments(text: str) -> list[str]:
    """Each run of ``RUN`` words; a shorter text as a whole."""
    words = text.strip(" :;,").split()
    return [" ".join(words[first : first + RUN]) for first in range(max(1, len(words) - RUN + 1))]


@pytest.fixture(scope="module")
def tested() -> str:
    strings = (text for path in (ROOT / "tests").rglob("*.py") for text in _strings(path))
    modules = (ROOT / "src" / "bequest").rglob("*.py")
    doctests = (re.findall(r"bequest\.errors\.\w+: .*", path.read_text(encoding="utf-8")) for path in modules)
    return "\n".join([*strings, *("\n".join(lines) for lines in doctests)])


def test_a_fragment_is_more_than_two_words_of_a_text():
    assert _fragments("the model cannot be built:") == [
        "the model cannot",
        "model cannot be",
        "cannot be built",
    ]
    assert _fragments("has labels") == ["has labels"]
    here = "\n".join(_strings(Path(__file__)))
    assert "be built" in here
    assert "short" + "er text" not in here, "that is in a docstring"


def test_there_are_headlines_to_look_for():
    assert len(_headlines()) > 400


def test_each_headline_is_read_by_a_test(tested):
    unread = {
        place: parts
        for place, parts in _headlines().items()
        if not any(fragment in tested for part in parts for fragment in _fragments(part))
    }
    assert not unread, "\n".join(f"{place}: {parts}" for place, parts in unread.items())
