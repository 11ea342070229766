"""Strict configuration: unknown keys are refused, every fault is listed, equal content has one hash."""

from __future__ import annotations

import copy
import hashlib
import json
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from numbers import Integral
from pathlib import Path
from typing import Any, TypeVar

import tomli_w
from pydantic import BaseModel, ConfigDict, ValidationError

from bequest.errors import ConfigError, at
from bequest.registry import nearest

UNKNOWN_KEY = ("extra_forbidden", "unexpected_keyword_argument")
MISSING_KEY = ("missing", "missing_argument")
"""The types of pydantic's errors, from a model and from a dataclass."""

SHOWN = 80
"""Longer values are not repeated in a message (characters)."""

C = TypeVar("C", bound="Config")


class Config(BaseModel):
    """The base of everything a user configures: frozen, without unknown keys, without NaN."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @classmethod
    def parse(cls: type[C], data: Mapping[str, Any], where: str) -> C:
        """Check ``data``, which was read from ``where``.

        Raises:
            ConfigError: Lists every fault at once, each with its path.
        """
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            raise ConfigError.of(where, faults_of(error, cls)) from None

    @classmethod
    def known_keys(cls) -> list[str]:
        """The keys that a user may set."""
        return [field.alias or name for name, field in cls.model_fields.items()]

    def plain(self) -> dict[str, Any]:
        """The configuration as plain JSON values, without fields that are None."""
        return self.model_dump(mode="json", exclude_none=True, by_alias=True)


def faults_of(error: ValidationError, model: type[BaseModel]) -> list[str]:
    """One line for each fault: path, what is wrong, what came, the nearest known key."""
    items = single_faults(error, lambda path: _known_keys(model, path))
    return [_fault(item, model) for item in items]


def single_faults(
    error: ValidationError, known_keys: Callable[[tuple[str | int, ...]], Iterable[str]]
) -> list[dict[str, Any]]:
    """Pydantic's errors, one per mistake: it reports a misspelt key twice, as unknown and as missing.

    Args:
        error: Raised by a model or a dataclass.
        known_keys: The valid keys at a path.
    """
    items: list[dict[str, Any]] = [dict(item) for item in error.errors()]
    meant = {
        (*path, *nearest(str(key), known_keys(tuple(path)), count=1))
        for *path, key in (item["loc"] for item in items if item["type"] in UNKNOWN_KEY)
    }
    return [item for item in items if item["type"] not in MISSING_KEY or item["loc"] not in meant]


def _fault(item: dict[str, Any], model: type[BaseModel]) -> str:
    path = ".".join(str(step) for step in item["loc"])
    if item["type"] == "extra_forbidden":
        keys = _known_keys(model, item["loc"][:-1])
        close = nearest(str(item["loc"][-1]), keys, count=1)
        hint = f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(sorted(keys))}"
        return f"{path}: unknown key{hint if keys else ''}"
    if item["type"] == "missing":
        return f"{path}: required and not given"
    message = item["msg"].removeprefix("Value error, ")
    shown = json.dumps(item.get("input"), default=str)
    # Messages of bequest's own validators name the value already; a whole table would only be long.
    repeats = str(item.get("input")) in message or isinstance(item.get("input"), Mapping | list)
    got = f" (got {shown})" if len(shown) <= SHOWN and not (item["type"] == "value_error" and repeats) else ""
    return at(path or "study", f"{message[0].lower() + message[1:]}{got}")


def _known_keys(model: type[BaseModel], path: Iterable[str | int]) -> list[str]:
    """The keys of the model that ``path`` leads to; empty where the path cannot be followed."""
    for step in path:
        field = model.model_fields.get(str(step))
        models = _models_in(field.annotation) if field is not None else [model]
        if len(models) != 1:
            return []
        model = models[0]
    return model.known_keys() if issubclass(model, Config) else list(model.model_fields)


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in getattr(annotation, "__args__", ()) for model in _models_in(part)]


def check_counts(**options: object) -> None:
    """Refuse options of a command that are neither None nor a whole number of 1 or more.

    Raises:
        ConfigError: Names the first such option, as the command line spells it.
    """
    for name, count in options.items():
        if count is not None and (isinstance(count, bool) or not isinstance(count, Integral) or count < 1):
            option = f"--{name.replace('_', '-')}"
            raise ConfigError.of(option, [f"expected an integer of 1 or more, got {count!r}"])


def content_hash(value: Any, *, length: int = 16) -> str:
    """The first ``length`` hex digits of the SHA-256 of ``value`` as canonical JSON.

    >>> content_hash({"b": 1, "a": [2.0]}) == content_hash({"a": [2.0], "b": 1})
    True

    Raises:
        ConfigError: If it holds a value that JSON cannot represent: NaN, infinity, a date.
    """
    try:
        # One spelling for equal content: hashes name cells on disk, so this format must never change.
        text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ConfigError.of("the configuration", [f"a value cannot be stored: {error}"]) from None
    return hashlib.sha256(text.encode()).hexdigest()[:length]


DEEPEST = 64
"""Levels of nested tables and lists that are accepted."""

LONGEST_KEY = 1000
"""Parts of a dotted key; tomllib's time grows with their square, and would be minutes for longer keys."""

_QUOTED = re.compile(r"""\"[^"\n]*\"|'[^'\n]*'""")


def read_toml(path: str | Path) -> dict[str, Any]:
    """Read a TOML file.

    Raises:
        ConfigError: If it is absent, unreadable or not TOML (names the line), or nested too deeply.
    """
    too_deep = ConfigError.of(str(path), [f"tables and lists are nested more than {DEEPEST} deep"])
    try:
        text = Path(path).read_text(encoding="utf-8")
        # Before tomllib sees the text: parsing such a key is what takes minutes.
        if _longest_key(text) > LONGEST_KEY:
            raise too_deep
        content = tomllib.loads(text)
        if depth(content) > DEEPEST:
            raise too_deep
        return content
    except FileNotFoundError:
        raise ConfigError.of(str(path), ["no such file"]) from None
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigError.of(str(path), [f"cannot be read: {reason or error}"]) from None
    except (ValueError, RecursionError) as error:  # syntax, numbers of too many digits, tables without end
        raise ConfigError.of(str(path), [f"not valid TOML: {error}"]) from None


def _longest_key(text: str) -> int:
    """The most parts of anything that may be a dotted key, in time linear in the length of ``text``."""
    # Dots inside strings separate nothing, and TOML allows blanks around the dots of a key.
    plain = re.sub(r"[ \t]+", "", _QUOTED.sub("quoted", text))
    dotted = re.findall(r"[\w.-]+", plain)
    return max((sum(map(bool, word.split("."))) for word in dotted if "." in word), default=1)


def depth(content: object) -> int:
    """Levels of nested tables and lists.

    >>> depth({"a": [{"b": 1}]}), depth(3)
    (3, 0)
    """
    # Level by level: a recursive count would exceed Python's stack on the very input to be refused.
    level: list[object] = [content]
    deep = 0
    while containers := [each for each in level if isinstance(each, Mapping | list)]:
        deep += 1
        level = [
            part for each in containers for part in (each.values() if isinstance(each, Mapping) else each)
        ]
    return deep


def to_toml(data: Mapping[str, Any]) -> str:
    """``data`` as TOML text."""
    return tomli_w.dumps(data)


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """``base`` updated with ``over``, table by table; lists are replaced whole.

    >>> merged({"a": {"x": 1, "y": 2}}, {"a": {"y": 3}})
    {'a': {'x': 1, 'y': 3}}
    """
    result = copy.deepcopy(dict(base))
    for key, value in over.items():
        both_tables = isinstance(value, Mapping) and isinstance(result.get(key), Mapping)
        result[key] = merged(result[key], value) if both_tables else copy.deepcopy(value)
    return result


def with_settings(
    data: Mapping[str, Any],
    settings: Iterable[str],
    *,
    option: str = "--set",
    example: str = "recipe.lr=0.01",
) -> dict[str, Any]:
    """``data`` with each ``path=value`` of ``settings`` applied; values are TOML, else text.

    Errors name the ``option`` that the settings came from, and show the ``example`` of one.

    >>> with_settings({"train": {"lr": 0.1}}, ["train.lr=0.2", "data.name=digits"])
    {'train': {'lr': 0.2}, 'data': {'name': 'digits'}}

    Raises:
        ConfigError: If a setting is not of the form ``path=value``.
    """
    settings = [settings] if isinstance(settings, str) else settings  # not its letters
    result = dict(data)
    form = "path=value" if option == "--set" else "key=value"
    faults = []
    for setting in settings:
        path, equals, text = setting.partition("=")
        keys = path.strip().split(".")
        if not equals or not all(keys) or len(keys) > DEEPEST:
            shown = setting if len(setting) <= SHOWN else f"{setting[:SHOWN]}..."
            faults.append(f"{shown!r}: expected {form}, such as {example}")
            continue
        value: Any = _toml_value(text.strip())
        for key in reversed(keys):
            value = {key: value}
        result = merged(result, value)
    if faults:
        raise ConfigError.of(option, faults)
    return result


def _toml_value(text: str) -> Any:
    if _longest_key(text) > LONGEST_KEY:
        return text
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        return text
