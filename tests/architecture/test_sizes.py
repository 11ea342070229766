"""Functions fit on a screen, files hold one noun, and no file is a drawer."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2] / "src" / "bequest"
FUNCTION_LINES = 50
FILE_LINES = 450
DRAWERS = {"utils", "util", "misc", "helpers", "helper", "common"}


def long_functions(source: str) -> list[str]:
    """Functions of more than FUNCTION_LINES lines, docstrings not counted."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            if body and (node.end_lineno or 0) - body[0].lineno + 1 > FUNCTION_LINES:
                found.append(node.name)
    return found


def test_functions_fit_on_a_screen():
    assert {p.name: long for p in ROOT.rglob("*.py") if (long := long_functions(p.read_text()))} == {}


def test_the_count_sees_a_long_function():
    assert long_functions("def f():\n" + "    x = 1\n" * (FUNCTION_LINES + 1)) == ["f"]


def test_files_are_short_and_named_after_a_noun():
    assert [p.name for p in ROOT.rglob("*.py") if p.read_text().count("\n") > FILE_LINES] == []
    assert [p.name for p in ROOT.rglob("*.py") if p.stem in DRAWERS] == []
