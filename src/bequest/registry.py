"""Catalogues, which bind names to values."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, Generic, TypeVar

from bequest.errors import UnknownName

T = TypeVar("T")

_registering: list[tuple[str, dict[tuple[str, str], Any]]] = []
"""The origin that registers now, and its entries so far; empty while bequest's own modules load."""


@contextmanager
def registering(origin: str) -> Iterator[dict[tuple[str, str], Any]]:
    """Attribute all registrations within the block to ``origin``; yields them by (kind, name)."""
    registered: dict[tuple[str, str], Any] = {}
    _registering.append((origin, registered))
    try:
        yield registered
    finally:
        _registering.pop()


def _module_at_work() -> str:
    """The module whose body runs now: a user's file may be the first to import one of bequest's."""
    frame = sys._getframe()
    while frame.f_back is not None and frame.f_code.co_name != "<module>":
        frame = frame.f_back
    return str(frame.f_globals.get("__name__", ""))


def nearest(name: str, names: Iterable[str], *, count: int = 3, likeness: float = 0.6) -> list[str]:
    """At most ``count`` of ``names`` that are most similar to ``name``, best first.

    >>> nearest("tset", ["train", "test", "translated"])
    ['test']
    """
    # Sorted, as sets arrive here too: the suggestion of an error text must not vary between runs.
    folded = {candidate.casefold(): candidate for candidate in sorted(names)}
    close = difflib.get_close_matches(name.casefold(), folded, n=count, cutoff=likeness)
    return [folded[candidate] for candidate in close]


def unknown(kind: str, name: str, names: Iterable[str]) -> UnknownName:
    """The error for a ``name`` that is not one of ``names``."""
    names = sorted(names)
    close = nearest(name, names)
    return UnknownName(
        f"there is no {kind} {name!r}",
        expected=f"one of {', '.join(names)}" if names else "nothing is registered",
        remedy=f"did you mean {' or '.join(map(repr, close))}?" if close else None,
    )


class Registry(Generic[T]):
    """Names of one kind, each bound to one value.

    >>> shapes: Registry[int] = Registry("shape")
    >>> shapes.add("square", 4)
    4
    >>> shapes["sqare"]
    Traceback (most recent call last):
    bequest.errors.UnknownName: there is no shape 'sqare'
      expected: one of square
      remedy:   did you mean 'square'?
    """

    # Every catalogue, so that forget() can take one file's parts back wherever it registered them.
    _all: ClassVar[list[Registry[Any]]] = []

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._values: dict[str, T] = {}
        self._origins: dict[str, str] = {}
        Registry._all.append(self)

    def add(self, name: str, value: T) -> T:
        """Bind ``name`` to ``value``.

        Raises:
            ValueError: If the name is taken.
        """
        if name in self._values:
            raise ValueError(f"the {self.kind} {name!r} is registered twice")
        self._values[name] = value
        if _registering and not _module_at_work().startswith("bequest."):
            origin, registered = _registering[-1]
            self._origins[name] = origin
            registered[self.kind, name] = value
        return value

    def origin(self, name: str) -> str | None:
        """The file or package that registered ``name``; None for bequest's own."""
        return self._origins.get(name)

    @staticmethod
    def forget(origin: str) -> None:
        """Remove everything that ``origin`` registered, from every catalogue."""
        for registry in Registry._all:
            for name in [name for name, source in registry._origins.items() if source == origin]:
                del registry._values[name], registry._origins[name]

    def register(self, name: str) -> Callable[[T], T]:
        """A decorator that binds ``name`` to the decorated object."""
        return lambda value: self.add(name, value)

    def __getitem__(self, name: str) -> T:
        if name not in self._values:
            raise unknown(self.kind, name, self._values)
        return self._values[name]

    def __contains__(self, name: object) -> bool:
        return name in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._values))

    def in_order(self) -> list[str]:
        """The names in the order in which they were registered."""
        return list(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def summary(self, name: str) -> str:
        """The first line of the docstring of ``name``'s value."""
        return (self[name].__doc__ or "").strip().split("\n", 1)[0]
