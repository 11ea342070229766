"""Networks by name."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import typing
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from torch import nn

from bequest.data.datasets import Dataset
from bequest.data.outline import Outline
from bequest.errors import ConfigError, ModelError
from bequest.models.auxiliary import OPTION, WithAuxiliary
from bequest.models.option_types import type_faults
from bequest.registry import Registry, nearest
from bequest.seeding import derive

BUILD_FAILURES = (TypeError, ValueError, RuntimeError, ArithmeticError, LookupError, AttributeError)
"""Exceptions that a factory raises for option values that it does not support."""

NO_PADDING = -1
"""The option ``padding`` for data without a padding token: every token is a word."""

MODELS: Registry[Callable[..., nn.Module]] = Registry("model")

Options = TypeVar("Options")
Network = TypeVar("Network", bound=nn.Module)


def options_from(
    kind: type[Options],
) -> Callable[[Callable[[Sequence[int], int, Options], Network]], Callable[..., Network]]:
    """A decorator: the fields of the dataclass ``kind`` become the options of a factory.

    The factory takes ``(input_shape, classes, options)``; the decorated one takes ``(input_shape, classes,
    **fields)`` and has that signature, from which the catalogue reads the options of a model.

    >>> @dataclasses.dataclass(frozen=True)
    ... class Size:
    ...     width: int = 4
    >>> @options_from(Size)
    ... def linear(input_shape, classes, options):
    ...     return nn.Linear(options.width, classes)
    >>> linear((4,), 2, width=8).in_features, list(inspect.signature(linear).parameters)
    (8, ['input_shape', 'classes', 'width'])
    """

    def decorate(build: Callable[[Sequence[int], int, Options], Network]) -> Callable[..., Network]:
        @functools.wraps(build)
        def factory(input_shape: Sequence[int], classes: int, **options: Any) -> Network:
            return build(input_shape, classes, kind(**options))

        # Resolved, since under ``from __future__ import annotations`` the fields' types are strings.
        types = typing.get_type_hints(kind)
        positional = list(inspect.signature(build).parameters.values())[:2]
        fields = [
            inspect.Parameter(
                field.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=field.default,
                annotation=types[field.name],
            )
            for field in dataclasses.fields(kind)  # type: ignore[arg-type]
        ]
        factory.__signature__ = inspect.Signature([*positional, *fields])  # type: ignore[attr-defined]
        return factory

    return decorate


def build_model(
    name: str, input_shape: Sequence[int], classes: int, *, seed: int, **options: Any
) -> nn.Module:
    """A freshly initialised network of the catalogue (``bequest ls models``).

    The initial weights depend on ``seed`` alone; the global random state is restored. With the option
    ``auxiliary`` = K, which every model has, the network has K more outputs without labels; see
    :class:`bequest.models.auxiliary.WithAuxiliary`.

    Raises:
        UnknownName: If the catalogue has no such model.
        ConfigError: If an option does not exist or has the wrong type; lists every fault.
        ModelError: If it cannot be built for these inputs and classes.
    """
    factory = MODELS[name]
    check_options(name, options)
    auxiliary = options.pop(OPTION, 0)
    if classes < 1:
        raise ModelError("a network needs one class or more", expected="1 or more", got=classes)
    if any(size < 1 for size in input_shape):
        raise ModelError(
            "input_shape has a size below 1", expected="sizes of 1 or more", got=tuple(input_shape)
        )
    # The CPU's generator only: networks are built on the CPU and moved later.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(seed, "init"))
        try:
            network = factory(tuple(input_shape), classes + auxiliary, **options)
        except BUILD_FAILURES as error:
            raise ModelError(
                f"the model {name!r} cannot be built", expected=f"inputs {tuple(input_shape)}", got=error
            ) from error
    return WithAuxiliary(network, classes) if auxiliary else network


def build_for(name: str, data: Dataset, *, seed: int, **options: Any) -> nn.Module:
    """A network for ``data``: :func:`build_model` with the vocabulary and padding of the data as options.

    Raises:
        InputError: See :func:`build_model`.
    """
    options = {**token_options(name, data, len(data.vocabulary)), **options}
    return build_model(name, data.input_shape, len(data.classes), seed=seed, **options)


def token_options(name: str, data: Dataset | Outline, vocabulary: int) -> dict[str, Any]:
    """The options of the model ``name`` that data of tokens determines; none for other data.

    They are the vocabulary, padding (``NO_PADDING`` without a padding token), separator and task.
    """
    if not vocabulary:
        return {}
    parameters = inspect.signature(MODELS[name]).parameters
    of_the_data = {
        "vocabulary": vocabulary,
        "padding": NO_PADDING if data.padding is None else data.padding,
        "separator": data.separator,
        "task": data.task,
    }
    return {key: value for key, value in of_the_data.items() if key in parameters and value is not None}


def check_options(name: str, options: dict[str, Any]) -> None:
    """Raise ConfigError unless the model ``name`` takes every one of ``options``, in name and type."""
    parameters = inspect.signature(MODELS[name]).parameters.values()
    names = [p.name for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY]
    faults = []
    auxiliary = options.get(OPTION, 0)
    if isinstance(auxiliary, bool) or not isinstance(auxiliary, int) or auxiliary < 0:
        faults.append(f"{OPTION}: expected a number of outputs, 0 or more, got {auxiliary!r}")
    for key in options:
        if key not in names and key != OPTION:
            close = nearest(key, names, count=1)
            hint = f"did you mean {close[0]!r}?" if close else f"options: {', '.join(names) or 'none'}"
            faults.append(f"{key}: unknown option; {hint}")
    faults += type_faults(MODELS[name], options)
    if faults:
        raise ConfigError.of(f"model {name!r}", faults)


def parameter_count(model: nn.Module) -> int:
    """The number of trainable parameters of ``model``."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def state_count(model: nn.Module) -> int:
    """The number of parameters of ``model`` and of running statistics of its normalisation.

    Keras calls it the total of parameters.
    """
    numbers = [*model.parameters(), *model.buffers()]  # tied tensors count once
    return sum(value.numel() for value in numbers if value.is_floating_point())
