"""The independent reference: the plain fixed point that the benchmark measures against."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def plain() -> ModuleType:
    """The module with ``plain_solve``: the equations as they stand, one point at a time."""
    path = Path(__file__).parents[2] / "benchmarks" / "theory.py"
    spec = importlib.util.spec_from_file_location("theory_benchmark", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
