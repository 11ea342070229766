"""Networks by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from bequest.data.datasets import Dataset
from bequest.errors import ConfigError, ModelError
from bequest.registry import Registry, nearest
from bequest.seeding import derive

MODELS: Registry[Callable[..., nn.Module]] = Registry("model")


def build_model(
    name: str, input_shape: Sequence[int], classes: int, *, seed: int, **options: Any
) -> nn.Module:
    """A freshly initialised network of the catalogue (``bequest ls models``).

    The initial weights follow from ``seed`` alone; the global random state is left as it was.

    Raises:
        UnknownName: If the catalogue has no such model.
        ConfigError: If it has no such option; lists every fault.
        ModelError: If it cannot be built for these inputs.
    """
    factory = MODELS[name]
    check_options(name, options)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(seed, "init"))
        try:
            return factory(tuple(input_shape), classes, **options)
        except (TypeError, ValueError, RuntimeError) as error:
            raise ModelError(
                f"the model {name!r} cannot be built", expected=f"inputs {tuple(input_shape)}", got=error
            ) from error


def build_for(name: str, data: Dataset, *, seed: int, **options: Any) -> nn.Module:
    """A network for ``data``: :func:`build_model`, told of its vocabulary and padding where it asks for them.

    Raises:
        InputError: See :func:`build_model`.
    """
    options = {**token_options(name, len(data.vocabulary), data.padding), **options}
    return build_model(name, data.input_shape, len(data.classes), seed=seed, **options)


def token_options(name: str, vocabulary: int, padding: int | None) -> dict[str, int]:
    """What the model ``name`` asks to know of its tokens: how many there are, and which one is padding."""
    known = inspect.signature(MODELS[name]).parameters
    told = {"vocabulary": vocabulary or None, "padding": padding}
    return {key: value for key, value in told.items() if key in known and value is not None}


def check_options(name: str, options: dict[str, Any]) -> None:
    """Raise ConfigError unless the model ``name`` takes every one of ``options``."""
    parameters = inspect.signature(MODELS[name]).parameters.values()
    known = [p.name for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY]
    faults = []
    for key in options:
        if key not in known:
            close = nearest(key, known, count=1)
            hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known) or 'none'}"
            faults.append(f"{key}: unknown option; {hint}")
    if faults:
        raise ConfigError.of(f"model {name!r}", faults)


def parameter_count(model: nn.Module) -> int:
    """How many trainable numbers ``model`` has."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def state_count(model: nn.Module) -> int:
    """How many numbers ``model`` has: parameters, and the running statistics of its normalisation.

    What Keras calls the total of parameters.
    """
    numbers = [*model.parameters(), *model.buffers()]  # a tensor with two names comes once
    return sum(value.numel() for value in numbers if value.is_floating_point())
