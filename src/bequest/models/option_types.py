"""Checks options of a model against the types that its factory declares."""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from pydantic import ConfigDict, PydanticSchemaGenerationError, TypeAdapter, ValidationError
from torch import nn

STRICT = ConfigDict(strict=True, allow_inf_nan=False)
SHOWN = 60


def type_faults(factory: Callable[..., nn.Module], options: Mapping[str, Any]) -> Iterator[str]:
    """Faults in the types of ``options``; a parameter without an annotation accepts anything.

    >>> def net(input_shape, classes, *, width: int = 8, dropout: float = 0.0) -> nn.Module: ...
    >>> list(type_faults(net, {"width": "8", "dropout": 1}))
    ["width: expected int, got '8'"]
    """
    parameters, hints = inspect.signature(factory).parameters, _hints(factory)
    for name, value in options.items():
        if name not in parameters:
            continue
        annotation = parameters[name].annotation
        annotation = hints.get(name, Any) if isinstance(annotation, str) else annotation
        # Strict pydantic refuses NumPy's scalars, which results of computations often are.
        plain = value.item() if isinstance(value, np.generic) else value
        if annotation is not inspect.Parameter.empty and not _fits(annotation, plain):
            yield f"{name}: expected {_shown(annotation)}, got {repr(value)[:SHOWN]}"


def _fits(annotation: Any, value: Any) -> bool:
    try:
        adapter = _adapter(annotation)
    except (PydanticSchemaGenerationError, TypeError):  # pydantic does not know the class
        return True
    try:
        adapter.validate_python(value)
    except ValidationError:
        return False
    return True


@functools.lru_cache(maxsize=256)
def _adapter(annotation: Any) -> Any:
    return TypeAdapter(annotation, config=STRICT)


def _hints(factory: Callable[..., Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(factory)
    except (NameError, TypeError):  # a name that only a type checker sees
        return {}


def _shown(annotation: Any) -> str:
    text = annotation.__name__ if isinstance(annotation, type) and not typing.get_args(annotation) else None
    return text or str(annotation).replace("collections.abc.", "").replace("typing.", "")
