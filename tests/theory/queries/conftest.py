"""The points that docs/theory.md shows, and a plain iteration of the equations as they stand."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest


def _module(name: str) -> ModuleType:
    path = Path(__file__).parents[3] / "benchmarks" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def shown() -> ModuleType:
    """``benchmarks/theory_queries.py``."""
    return _module("theory_queries")


@pytest.fixture(scope="session")
def plain() -> ModuleType:
    """``benchmarks/theory.py``, with ``plain_queries``."""
    return _module("theory")
