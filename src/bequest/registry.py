"""Catalogues: a name, and what it stands for."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

from bequest.errors import UnknownName

T = TypeVar("T")


def nearest(name: str, known: Iterable[str], *, count: int = 3) -> list[str]:
    """The ``count`` names in ``known`` that look most like ``name``, best first.

    >>> nearest("tset", ["train", "test", "translated"])
    ['test']
    """
    names = sorted(known)
    folded = {candidate.casefold(): candidate for candidate in names}
    found = difflib.get_close_matches(name.casefold(), folded, n=count, cutoff=0.5)
    return [folded[candidate] for candidate in found]


def unknown(kind: str, name: str, known: Iterable[str]) -> UnknownName:
    """The error for a ``name`` that is not one of ``known``."""
    names = sorted(known)
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

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._values: dict[str, T] = {}

    def add(self, name: str, value: T) -> T:
        """Bind ``name``; a name is bound once."""
        if name in self._values:
            raise ValueError(f"the {self.kind} {name!r} is registered twice")
        self._values[name] = value
        return value

    def register(self, name: str) -> Callable[[T], T]:
        """A decorator that binds ``name`` to what it decorates."""
        return lambda value: self.add(name, value)

    def __getitem__(self, name: str) -> T:
        if name not in self._values:
            raise unknown(self.kind, name, self._values)
        return self._values[name]

    def __contains__(self, name: object) -> bool:
        return name in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._values))

    def __len__(self) -> int:
        return len(self._values)

    def summary(self, name: str) -> str:
        """The first line of the docstring of what ``name`` stands for."""
        return (self[name].__doc__ or "").strip().split("\n", 1)[0]
