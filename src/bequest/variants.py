"""Strict, frozen, named configurations of one kind: views, objectives, schedules.

A kind is a base class; each variant of it is a class with a name and typed fields. What a user writes in
Python (``Shift(2)``) and in TOML (``{name = "shift", pixels = 2}``) is the same object.
"""

from __future__ import annotations

import dataclasses
import functools
from abc import ABC
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, ClassVar, TypeVar, cast, dataclass_transform

import pydantic.dataclasses
from pydantic import ConfigDict, Field, GetCoreSchemaHandler, ValidationError
from pydantic_core import CoreSchema, core_schema

from bequest.config import content_hash, single_faults
from bequest.errors import ConfigError, UnknownName
from bequest.registry import Registry, nearest

T = TypeVar("T")
V = TypeVar("V", bound="Variant")

Listed = Annotated[tuple[T, ...], Field(strict=False)]
"""A tuple that may be given as a list, the only sequence that TOML has."""


class Variant(ABC):
    """The base of a kind (``class View(Variant, kind="view")``) and of its variants.

    A variant is declared with ``@strict class Shift(View, name="shift")``. Kinds can be used as field
    types in any pydantic model: they parse from their spec and are dumped as one.
    """

    kind: ClassVar[str]
    name: ClassVar[str]
    known: ClassVar[Registry[Any]]

    def __init_subclass__(cls, *, kind: str | None = None, name: str | None = None) -> None:
        super().__init_subclass__()
        if kind is not None:
            cls.kind, cls.known = kind, Registry(kind)
        if name is not None:
            cls.name = name
            cls.known.add(name, cls)

    @classmethod
    def parse(cls: type[V], spec: object, where: str | None = None) -> V:
        """The variant that ``spec`` describes: a table with ``name``, a bare name, a list, or a variant.

        Raises:
            ConfigError: Lists every fault of the spec.
        """
        where = where or cls.kind
        if isinstance(spec, cls):
            return spec
        if isinstance(spec, list | tuple):
            return cls._join(parse_each(cls, spec, where), where)
        if isinstance(spec, str):
            spec = {"name": spec}
        if not isinstance(spec, Mapping) or "name" not in spec:
            raise ConfigError.of(where, [f"expected a table with a name, got {spec!r}"])
        try:
            variant = cls.known[str(spec["name"])]
        except UnknownName as error:
            raise ConfigError.of(where, [f"{error.message}; {error.remedy or error.expected}"]) from None
        fields = {str(key): value for key, value in spec.items() if key != "name"}
        try:
            instance = variant(**fields)
        except ConfigError as error:
            raise ConfigError.of(where, error.faults) from None
        # All variants of a kind share one catalogue, while ``cls`` may be a narrower base class.
        if not isinstance(instance, cls):
            raise ConfigError.of(where, [f"{spec['name']!r} is not allowed here"])
        return instance

    @classmethod
    def _join(cls: type[V], parts: tuple[V, ...], where: str) -> V:
        """The variant that a list of variants means; kinds that can be combined override this."""
        raise ConfigError.of(where, [f"expected one {cls.kind}, got a list of {len(parts)}"])

    def spec(self) -> Any:
        """The variant as plain TOML values, every field written out; :meth:`parse` restores it."""
        fields = ((field.name, getattr(self, field.name)) for field in dataclasses.fields(self))  # type: ignore[arg-type]
        return {"name": self.name} | {key: _plain(value) for key, value in fields if value is not None}

    def digest(self) -> str:
        """The content hash of the spec."""
        return content_hash(self.spec())

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        # A variant has the schema of its dataclass; a kind, as a field type, parses any of its variants.
        if "name" in vars(cls):
            return handler(source)
        return core_schema.no_info_plain_validator_function(
            cls._validated,
            serialization=core_schema.plain_serializer_function_ser_schema(lambda instance: instance.spec()),
        )

    @classmethod
    def _validated(cls: type[V], spec: object) -> V:
        try:
            return cls.parse(spec)
        except ConfigError as error:
            raise ValueError("; ".join(error.faults)) from None


def parse_each(kind: type[V], specs: Iterable[object], where: str) -> tuple[V, ...]:
    """Each of ``specs`` as a variant of ``kind``.

    Raises:
        ConfigError: Lists the faults of all of them, each with its index.
    """
    parts, faults = [], []
    for place, spec in enumerate(specs):
        try:
            parts.append(kind.parse(spec, where))
        except ConfigError as error:
            faults += [f"{place}: {fault}" for fault in error.faults]
    if faults:
        raise ConfigError.of(where, faults)
    return tuple(parts)


@dataclass_transform(frozen_default=True, field_specifiers=(dataclasses.field, Field))
def strict(cls: type[T]) -> type[T]:
    """Make a variant's class a frozen dataclass whose fields are checked; faults are ConfigErrors."""
    config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, arbitrary_types_allowed=True)
    checked_class = pydantic.dataclasses.dataclass(frozen=True, config=config)(cls)
    check = checked_class.__init__

    fields = [field.name for field in dataclasses.fields(checked_class)]

    @functools.wraps(check)
    def init(self: Any, *values: Any, **named: Any) -> None:
        if len(values) > len(fields):
            raise ConfigError.of(
                cls.__name__, [f"at most {len(fields)} values ({', '.join(fields)}), not {len(values)}"]
            )
        try:
            # By name: of positional arguments pydantic's errors give the index instead of the field.
            check(self, **dict(zip(fields, values, strict=False)), **named)
        except ValidationError as error:
            faults = [_fault(item, fields) for item in single_faults(error, lambda _: fields)]
            raise ConfigError.of(cls.__name__, faults) from None

    checked_class.__init__ = init  # type: ignore[method-assign]
    return cast("type[T]", checked_class)


def _fault(item: dict[str, Any], fields: list[str]) -> str:
    path = ".".join(str(step) for step in item["loc"])
    if item["type"] == "unexpected_keyword_argument":
        close = nearest(path, fields, count=1)
        hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(fields) or 'none'}"
        return f"{path}: unknown key; {hint}"
    if item["type"] in ("missing", "missing_argument"):
        return f"{path}: required and not given"
    message = str(item["msg"]).removeprefix("Value error, ")
    shown = repr(item.get("input"))
    got = f" (got {shown})" if item["type"] != "value_error" and len(shown) <= 60 else ""
    return (f"{path}: " if path else "") + message[0].lower() + message[1:] + got


def _plain(value: object) -> Any:
    if isinstance(value, Variant):
        return value.spec()
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value
