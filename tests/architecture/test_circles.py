"""No two modules import each other, however long the way round."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2] / "src" / "bequest"


def statements(tree: ast.AST) -> Iterator[ast.AST]:
    """Every node but those that only a type checker reads."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield from (each for part in node.orelse for each in (part, *statements(part)))
            continue
        yield node
        yield from statements(node)


def imported(source: str, module: str, modules: set[str], *, package: bool = False) -> set[str]:
    """The modules of ``modules`` that ``module`` names in imports, at any depth."""
    names: set[str] = set()
    parents = module.split(".") if package else module.split(".")[:-1]
    for node in statements(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            head = parents[: len(parents) - node.level + 1] if node.level else []
            base = ".".join([*head, *([node.module] if node.module else [])])
            below = {f"{base}.{name.name}" for name in node.names}
            # ``from package import module`` names the module; anything else is a name in the package itself.
            names |= below & modules
            names |= {base} if below - modules else set()
    return names & modules - {module}


def circles(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """Groups of modules each of which reaches the others (Tarjan 1972), those of one module left out."""
    index: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    groups: list[list[str]] = []

    def visit(node: str) -> None:
        index[node] = lowest[node] = len(index)
        stack.append(node)
        for other in sorted(graph[node]):
            if other not in index:
                visit(other)
                lowest[node] = min(lowest[node], lowest[other])
            elif other in stack:
                lowest[node] = min(lowest[node], index[other])
        if lowest[node] == index[node]:
            place = stack.index(node)
            group, stack[place:] = stack[place:], []
            groups.append(sorted(group))

    for node in sorted(graph):
        if node not in index:
            visit(node)
    return sorted(group for group in groups if len(group) > 1)


def import_graph() -> dict[str, set[str]]:
    """Each module of bequest with those that it imports."""
    paths = {
        ".".join(["bequest", *path.relative_to(ROOT).with_suffix("").parts]).removesuffix(".__init__"): path
        for path in ROOT.rglob("*.py")
    }
    return {
        name: imported(path.read_text(), name, set(paths), package=path.stem == "__init__")
        for name, path in paths.items()
    }


def test_no_further_modules_import_each_other():
    graph = import_graph()
    assert len(graph) > 100
    assert circles(graph) == []


def test_the_walk_sees_circles_and_what_only_a_type_checker_reads():
    modules = {"a", "a.b", "a.c", "d"}
    assert imported("from a import b\nfrom a.c import x", "d", modules) == {"a.b", "a.c"}
    assert imported("from a import x", "d", modules) == {"a"}
    assert imported("def f():\n    import a.b", "d", modules) == {"a.b"}
    assert imported("from . import c\nfrom .c import x", "a.b", modules) == {"a.c"}
    assert imported("from .b import x", "a", modules, package=True) == {"a.b"}
    guarded = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import d\nelse:\n    import a.c"
    assert imported(guarded, "a.b", modules) == {"a.c"}
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [["a", "b", "c"]]
    assert circles({"a": {"b"}, "b": set()}) == []
