"""The import order of architecture: data goes one way, nothing reaches back."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2] / "src" / "bequest"
BASE = {
    "errors",
    "config",
    "seeding",
    "record_table",
    "records",
    "record_files",
    "registry",
    "files",
    "interrupts",
    "locks",
    "printable",
    "memory",
    "streams",
    "variants",
    "measures",
    "parts",
    "provenance",
    "resources",
}
MAY_IMPORT = {
    "base": set(),
    "data": {"base"},
    "models": {"base", "data"},
    "distill": {"base", "data", "models"},
    "measure": {"base", "data", "models"},
    "theory": {"base", "data", "models"},
    "report": {"base"},
    "studies": {"base", "data", "models", "distill", "measure", "theory"},
    "evidence": {"base", "data", "models", "distill", "measure", "theory", "studies"},
    "runs": {"base", "data", "models", "distill", "measure", "theory", "studies", "evidence"},
    "cli": {
        "base",
        "data",
        "models",
        "distill",
        "measure",
        "theory",
        "studies",
        "evidence",
        "runs",
        "report",
    },
}
CORE = {
    "torch", "numpy", "scipy", "pydantic", "pydantic_core", "safetensors", "jaxtyping", "sklearn", "PIL",
    "typer", "rich", "jinja2", "tomli_w", "typing_extensions", "cachetools",
}  # fmt: skip


def layer_of(module: str) -> str:
    part = module.split(".")[1] if "." in module else ""
    return "base" if part in BASE else part


def imported(source: str, package: str) -> set[str]:
    """Every module named in an import anywhere in ``source``, relative ones made absolute."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            head = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*head, *([node.module] if node.module else [])])
            found |= {base} | ({f"{base}.{name.name}" for name in node.names} if base == "bequest" else set())
    return found


def violations(source: str, module: str) -> list[str]:
    """The imports of ``module`` that its layer may not make."""
    own = layer_of(module)
    wrong = []
    for name in imported(source, module.rpartition(".")[0]):
        if name.split(".")[0] != "bequest" or name == "bequest":
            continue
        layer = layer_of(name)
        if layer != own and layer not in MAY_IMPORT[own]:
            wrong.append(f"{module} ({own}) imports {name} ({layer})")
    return wrong


def modules() -> list[tuple[str, Path]]:
    return [
        (".".join(["bequest", *path.relative_to(ROOT).with_suffix("").parts]).removesuffix(".__init__"), path)
        for path in sorted(ROOT.rglob("*.py"))
    ]


def test_every_import_goes_down():
    inner = [(name, path) for name, path in modules() if name not in ("bequest", "bequest.__main__")]
    assert len(inner) > 40
    assert [fault for name, path in inner for fault in violations(path.read_text(), name)] == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("bequest.measure.x", "from bequest.distill.engine import train"),
        ("bequest.data.x", "def f():\n    import bequest.models.mlp"),
        ("bequest.report.x", "from bequest import measure"),
        ("bequest.distill.x", "from ..studies import plan"),
    ],
)
def test_the_walk_sees_a_broken_layer(module, source):
    assert len(violations(source, module)) == 1


def test_only_core_packages_are_imported_when_a_module_loads():
    """Optional packages are imported inside functions of the one file that adapts them."""
    wrong = []
    for name, path in modules():
        for node in ast.parse(path.read_text()).body:
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            known = CORE | {"bequest"} | set(sys.stdlib_module_names)
            wrong += [f"{name}: {other}" for other in names if other.split(".")[0] not in known]
    assert wrong == []


@pytest.mark.parametrize("module", ["bequest", "bequest.cli.main", "bequest.report", "bequest.records"])
def test_torch_is_not_imported_before_it_is_needed(module):
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
