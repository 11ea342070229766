"""Each text that an error of ours begins with is read by a test: by three words, or two long ones."""

from __future__ import annotations

import ast
import itertools
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OF_PYTHON = {"ValueError", "TypeError", "KeyError", "OSError", "AttributeError", "RuntimeError"}
LONG = 4
"""Letters of a word that says something."""


def _joined(source: str) -> str:
    """The text of a module, strings that are written in parts put together, without escapes."""
    return re.sub(r'"\s*\n\s*r?f?"', "", source).replace("\\", "")


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
            if parts:
                found[f"{path.relative_to(ROOT)}:{node.lineno}"] = parts
    return found


def _fragments(text: str) -> list[str]:
    words = text.split()
    pairs = [" ".join(pair) for pair in itertools.pairwise(words) if min(map(len, pair)) >= LONG]
    triples = [" ".join(words[k : k + 3]) for k in range(len(words) - 2)]
    return [text] if len(words) == 1 else [*pairs, *triples, text]


@pytest.fixture(scope="module")
def tested() -> str:
    tests = (path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("*.py"))
    modules = (ROOT / "src" / "bequest").rglob("*.py")
    doctests = (re.findall(r"bequest\.errors\.\w+: .*", path.read_text(encoding="utf-8")) for path in modules)
    return _joined("\n".join([*tests, *("\n".join(lines) for lines in doctests)]))


def test_there_are_headlines_to_look_for():
    assert len(_headlines()) > 400


def test_each_headline_is_read_by_a_test(tested):
    unread = {
        place: parts
        for place, parts in _headlines().items()
        if not any(fragment in tested for part in parts for fragment in _fragments(part))
    }
    assert not unread, "\n".join(f"{place}: {parts}" for place, parts in unread.items())
