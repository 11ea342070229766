"""Functions fit on a screen, files hold one noun, no file is a drawer, and names say what a value holds."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2] / "src" / "bequest"
FUNCTION_LINES = 40
FILE_LINES = 400
PARAMETERS = 8
SHARE_OF_WIDE_FUNCTIONS = 0.01
"""Outside the command line, whose options are parameters."""

FILES = 20
ROOMS_OF_FEW_FILES = ("studies", "evidence", "runs")
DRAWERS = {"utils", "util", "misc", "helpers", "helper", "common"}

EMPTY_NAMES = {"found", "known", "kept", "own", "told", "there", "made", "given", "said"}
"""Names of values that say nothing of what they hold."""

EMPTY_RATE = 2.0
"""So many of them in 1,000 bindings are let pass."""

ROOMS_ABOVE: dict[str, float] = {}
"""Rooms above that rate, with what they have come down to. Numbers only fall, and rooms only leave."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(source: str) -> Iterator[Function]:
    """Every function and method."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, Function):
            yield node


def long_functions(source: str) -> list[str]:
    """Functions of more than FUNCTION_LINES lines, docstrings not counted."""
    names = []
    for node in functions(source):
        body = node.body[1:] if ast.get_docstring(node) else node.body
        if body and (node.end_lineno or 0) - body[0].lineno + 1 > FUNCTION_LINES:
            names.append(node.name)
    return names


def parameter_count(node: Function) -> int:
    """Parameters of a signature, without ``self`` and ``cls``."""
    arguments = node.args
    positional = [*arguments.posonlyargs, *arguments.args]
    bound = bool(arguments.args) and arguments.args[0].arg in {"self", "cls"}
    return len(positional) + len(arguments.kwonlyargs) - bound


def wide_functions(source: str) -> list[str]:
    """Functions with more than PARAMETERS parameters."""
    return [node.name for node in functions(source) if parameter_count(node) > PARAMETERS]


def bound_names(source: str) -> list[str]:
    """The names of all assigned variables and of all parameters, without underscores around them."""
    names = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.append(node.id)
        elif isinstance(node, ast.arg):
            names.append(node.arg)
    return [name.strip("_") for name in names]


def rooms() -> dict[str, list[Path]]:
    """The files of each room; the modules beside the rooms stand under an empty name."""
    by_room: dict[str, list[Path]] = {"": sorted(ROOT.glob("*.py"))}
    for folder in sorted(path for path in ROOT.iterdir() if path.is_dir() and path.name != "__pycache__"):
        by_room[folder.name] = sorted(folder.rglob("*.py"))
    return by_room


def empty_rate(sources: list[str]) -> float:
    """Names of EMPTY_NAMES in 1,000 bindings."""
    names = [name for source in sources for name in bound_names(source)]
    return 1000 * sum(name in EMPTY_NAMES for name in names) / max(len(names), 1)


def test_functions_fit_on_a_screen():
    assert {p.name: long for p in ROOT.rglob("*.py") if (long := long_functions(p.read_text()))} == {}


def test_the_count_sees_a_long_function():
    assert long_functions("def f():\n" + "    x = 1\n" * (FUNCTION_LINES + 1)) == ["f"]
    assert long_functions("def f():\n" + "    x = 1\n" * FUNCTION_LINES) == []
    assert long_functions('def f():\n    """A\n\n    B."""\n' + "    x = 1\n" * FUNCTION_LINES) == []


def test_files_are_short_and_named_after_a_noun():
    assert [p.name for p in ROOT.rglob("*.py") if p.read_text().count("\n") > FILE_LINES] == []
    assert [p.name for p in ROOT.rglob("*.py") if p.stem in DRAWERS] == []


@pytest.mark.parametrize("room", ROOMS_OF_FEW_FILES)
def test_a_room_has_few_files(room):
    assert 0 < len(list((ROOT / room).glob("*.py"))) <= FILES


def test_few_functions_have_many_parameters():
    sources = [path.read_text() for room, paths in rooms().items() if room != "cli" for path in paths]
    wide = [name for source in sources for name in wide_functions(source)]
    total = sum(1 for source in sources for _ in functions(source))
    assert len(wide) <= SHARE_OF_WIDE_FUNCTIONS * total, wide


def test_the_count_sees_a_wide_function():
    names = ", ".join(f"p{k}" for k in range(PARAMETERS))
    assert wide_functions(f"def f({names}, last): pass") == ["f"]
    assert wide_functions(f"def f({names}, *rest, **options): pass") == []
    assert wide_functions(f"class A:\n    def f(self, {names}): pass") == []
    assert wide_functions(f"class A:\n    def f(self, {names}, *, last): pass") == ["f"]


def test_the_count_sees_an_empty_name():
    assert bound_names("def f(a, *, _found):\n    known: int = a\n    for b in a: pass") == [
        *("a", "found", "known", "b"),
    ]
    assert empty_rate(["found = 1\nx = 2"]) == 500
    assert empty_rate(["x.found = 1"]) == 0


@pytest.mark.parametrize("room", sorted(rooms()))
def test_names_say_what_a_value_holds(room):
    rate = empty_rate([path.read_text() for path in rooms()[room]])
    if room in ROOMS_ABOVE:
        assert rate <= ROOMS_ABOVE[room]
        assert rate >= EMPTY_RATE, f"{room} is below {EMPTY_RATE}: take it off the list"
    else:
        assert rate < EMPTY_RATE


def test_only_rooms_are_listed():
    assert set(ROOMS_ABOVE) <= set(rooms())


EMPTY = re.compile(
    r"(It|He|They) (does|do|is)\.|Likewise|As (what|its|the|a) [\w' ]{1,30}\.$|Never\.|Yes\.|No\."
)


def test_no_docstring_is_empty_words():
    """``It does.`` says nothing to whoever reads the reference; two words say what a name says already."""
    empty = []
    for path in sorted(ROOT.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                text = ast.get_docstring(node) or ""
                short = 0 < len(text.split()) < 3 and not re.match(r"See|.*`", text)
                if short or EMPTY.match(text):
                    empty.append(f"{path.relative_to(ROOT)}:{node.lineno} {node.name}: {text}")
    assert not empty, "\n".join(empty)
