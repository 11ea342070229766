"""Parts of a user's own: files and installed packages that register models, data, objectives, measures ...

A part is registered exactly as bequest's own are, with the decorator or the base class of its kind. Whatever
a file registers while it is imported carries the file's path and a digest of its code, so that a cell that
uses a part is trained again when that part changes, and only then.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import sys
import traceback
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

from bequest.errors import ConfigError
from bequest.registry import Registry, registering

GROUP = "bequest.parts"
"""The entry-point group under which installed packages offer modules with parts."""

PREFIX = "bequest_parts_"
"""Prefix of the module names of users' files; the rest is a hash of the path."""


@dataclass(frozen=True)
class Part:
    """Something that a user's file or an installed package registered.

    Attributes:
        kind: What it is: ``model``, ``dataset``, ``objective`` ...
        name: Its name there.
        origin: The file or the package.
        digest: SHA-256 of its code: of the file without comments, layout and the definitions of other parts;
            for a package, of its name and version.
    """

    kind: str
    name: str
    origin: str
    digest: str


_parts: dict[tuple[str, str], Part] = {}
_contents: dict[str, str] = {}
_packages_loaded: list[bool] = []


def load_parts(files: Iterable[str | Path] = ()) -> tuple[Part, ...]:
    """Import ``files`` and the parts of installed packages; returns all parts that are registered by then.

    A file that was imported before is imported again only if its content changed.

    Raises:
        ConfigError: If files are absent or fail to import, or a name is taken; names each of them.
    """
    faults = []
    if not _packages_loaded:
        _packages_loaded.append(True)
        for point in metadata.entry_points(group=GROUP):
            faults += _load_package(point)
    for file in files:
        faults += _load_file(Path(file).expanduser().resolve())
    if faults:
        raise ConfigError.of("use", faults)
    return tuple(_parts.values())


def loaded_files() -> tuple[str, ...]:
    """The files imported so far, which another process must import to have the same parts."""
    return tuple(str(sys.modules[module].__file__) for module in _contents)


def part_of(kind: str, name: str) -> Part | None:
    """The part of that kind and name; None for one of bequest's own."""
    return _parts.get((kind, name))


def code_digest(value: object) -> str | None:
    """The digest of the file that defines ``value``; None for code that is not a user's."""
    return _contents.get(getattr(type(value), "__module__", ""))


def digests(kinds: Iterable[str]) -> dict[str, str]:
    """The digests of all parts of these kinds, by ``kind name``."""
    wanted = set(kinds)
    return {f"{part.kind} {part.name}": part.digest for part in _parts.values() if part.kind in wanted}


def _load_file(path: Path) -> list[str]:
    module_name = PREFIX + hashlib.sha256(str(path).encode()).hexdigest()[:12]
    try:
        source = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return [f"{path}: no such file"]
    except (OSError, UnicodeDecodeError) as error:
        return [f"{path}: cannot be read: {error}"]
    digest = hashlib.sha256(source.encode()).hexdigest()
    if _contents.get(module_name) == digest:
        return []
    # First, or everything that the file defines again would be "registered twice".
    _forget(str(path), module_name)
    with registering(str(path)) as registered:
        fault = _executed(path, module_name)
    if fault is None:
        _contents[module_name] = digest
        _note(registered, str(path), _digests_by_definition(source, registered))
        return []
    _forget(str(path), module_name)
    return [f"{path}: {fault}"]


def _executed(path: Path, module_name: str) -> str | None:
    """Import a file under a name of its own; returns what went wrong, in one line."""
    spec = importlib.util.spec_from_file_location(module_name, path)
    if spec is None or spec.loader is None:
        return "expected a Python file, such as parts.py"
    module: ModuleType = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module  # before it runs, as imports do: dataclasses look their module up
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # whatever a user's code raises
        lines = traceback.extract_tb(error.__traceback__)
        place = next(
            (f", line {entry.lineno}" for entry in reversed(lines) if entry.filename == str(path)), ""
        )
        return f"fails to import{place}: {type(error).__name__}: {_first_line(error)}"
    return None


def _load_package(point: metadata.EntryPoint) -> list[str]:
    package = point.dist.name if point.dist is not None else point.value
    version = point.dist.version if point.dist is not None else ""
    with registering(package) as registered:
        try:
            point.load()
        except (Exception, SystemExit) as error:  # a broken package must not hide its name
            return [f"the package {package} fails to load: {type(error).__name__}: {_first_line(error)}"]
    digest = hashlib.sha256(f"{package} {version}".encode()).hexdigest()
    _note(registered, package, dict.fromkeys(registered, digest))
    return []


def _note(
    registered: Mapping[tuple[str, str], Any], origin: str, by_part: Mapping[tuple[str, str], str]
) -> None:
    for key in registered:
        _parts[key] = Part(*key, origin, by_part[key])


def _forget(origin: str, module_name: str) -> None:
    """Take back what an earlier import of a file registered."""
    Registry.forget(origin)
    for key in [key for key, part in _parts.items() if part.origin == origin]:
        del _parts[key]
    _contents.pop(module_name, None)
    sys.modules.pop(module_name, None)


def _digests_by_definition(
    source: str, registered: Mapping[tuple[str, str], Any]
) -> dict[tuple[str, str], str]:
    """For each part the digest of the file without other parts that it does not use."""
    body = ast.parse(source).body
    names = {key: getattr(value, "__name__", "") for key, value in registered.items()}
    owners = {name for name in names.values() if name}
    digests_of_parts = {}
    for key, name in names.items():
        left_out = owners - {name}
        while True:
            remaining = [node for node in body if getattr(node, "name", None) not in left_out]
            used = left_out & {
                node.id for each in remaining for node in ast.walk(each) if isinstance(node, ast.Name)
            }
            if not used:
                break
            left_out -= used  # what a part calls or subclasses decides it too
        code = ast.unparse(ast.Module(remaining, type_ignores=[]))
        digests_of_parts[key] = hashlib.sha256(code.encode()).hexdigest()
    return digests_of_parts


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [""])[0]
