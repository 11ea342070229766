"""The public surface is small, closed, and there."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import pytest

import bequest

ROOT = Path(__file__).parents[2] / "src" / "bequest"
CONTRACT = {"KD", "Fitted", "Shift", "build_store", "distill", "fit", "load_dataset", "open_store", "run"}
"""What users, tests and benchmarks rely on."""


def does_work(source: str) -> list[str]:
    """Statements at module level that are neither imports, names, docstrings nor definitions."""
    allowed = (ast.Import, ast.ImportFrom, ast.Assign, ast.AnnAssign, ast.FunctionDef, ast.ClassDef, ast.If)
    return [
        ast.unparse(node)
        for node in ast.parse(source).body
        if not isinstance(node, allowed)
        and not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
    ]


def test_the_contract_is_exported_each_name_once():
    assert len(set(bequest.__all__)) == len(bequest.__all__)
    assert set(bequest.__all__) >= CONTRACT


def test_what_is_exported_is_what_can_be_imported_and_no_more():
    lazy = set(bequest._HOMES) | {"distill", "measure"}
    assert set(bequest.__all__) == lazy
    with pytest.raises(AttributeError, match="has no attribute 'absent'"):
        _ = bequest.absent


def test_every_public_name_is_there_and_documented():
    for name in bequest.__all__:
        value = getattr(bequest, name)
        assert callable(value) or inspect.ismodule(value)
        assert inspect.getdoc(value)


def test_packages_only_bind_names():
    assert {str(p): work for p in ROOT.rglob("__init__.py") if (work := does_work(p.read_text()))} == {}
    assert does_work("print('hello')") == ["print('hello')"]


def test_every_exported_name_of_a_package_exists():
    for path in ROOT.rglob("__init__.py"):
        tree = ast.parse(path.read_text())
        bound = {a.asname or a.name for n in tree.body if isinstance(n, ast.ImportFrom) for a in n.names}
        bound |= {n.target.id for n in tree.body if isinstance(n, ast.AnnAssign)}
        targets = [t for n in tree.body if isinstance(n, ast.Assign) for t in n.targets]
        bound |= {t.id for t in targets if isinstance(t, ast.Name)}
        for node in tree.body:
            if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__":
                exported = set(ast.literal_eval(node.value))
                assert exported <= bound or path.parent == ROOT
