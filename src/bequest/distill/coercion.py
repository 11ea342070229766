"""Arguments in any form that a caller may give: an object, its name, its table, or a function."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from bequest.data.datasets import Dataset
from bequest.data.views import View, parse_views
from bequest.distill.exchange import Exchange
from bequest.distill.objectives import Objective, parse_objective
from bequest.distill.objectives.logit_objectives import AnswerObjective
from bequest.distill.objectives.rows import paired
from bequest.distill.run_networks import classes_of_run, network_of_run
from bequest.distill.teachers import Teacher
from bequest.errors import ConfigError, ModelError, ObjectiveError
from bequest.models.catalogue import build_for, token_options
from bequest.models.network_names import NetworkName, is_pretrained, parse_network_name
from bequest.models.pretrained.from_transformers import named_classes
from bequest.models.weights import load_weights


class OfFunction(AnswerObjective):
    """An objective of one teacher's logits from a function of the caller's.

    Args:
        function: ``function(student_logits, teacher_logits)``, both (rows, C), to a scalar loss: the mean
            over rows.
    """

    name = "function"

    def __init__(self, function: Callable[[Tensor, Tensor], Tensor]) -> None:
        try:
            inspect.signature(function).bind(None, None)
        except TypeError as error:
            raise ConfigError.of(
                "objective", [f"expected loss(student_logits, teacher_logits): {error}"]
            ) from None
        except ValueError:  # a builtin function without a signature
            pass
        self._function = function

    def spec(self) -> Any:
        """The module and name of the function; a record cannot hold its code."""
        kind = self._function if hasattr(self._function, "__qualname__") else type(self._function)
        return {"name": self.name, "function": f"{kind.__module__}.{kind.__qualname__}"}

    def loss(self, exchange: Exchange, teacher_logits: Tensor) -> Tensor:
        """See :meth:`AnswerObjective.loss`."""
        loss: object = self._function(*paired(exchange.student_logits, teacher_logits, exchange.mask))
        if not isinstance(loss, Tensor) or loss.ndim:
            shape = tuple(loss.shape) if isinstance(loss, Tensor) else type(loss).__name__
            raise ObjectiveError(
                "the objective's function does not return a scalar",
                expected="a tensor of shape (): the mean over rows",
                got=shape,
                remedy="end it with .mean()",
            )
        return loss


def as_objective(objective: Any, default: Objective) -> Objective:
    """The objective from an objective, a name, a table, a list of them or a function; None: ``default``.

    Raises:
        ConfigError: If it is none of these; lists every fault.
    """
    if objective is None:
        return default
    if isinstance(objective, Objective | str | dict | list | tuple):
        return parse_objective(objective)
    if callable(objective) and not isinstance(objective, type):
        return OfFunction(objective)
    got = repr(objective)[:60]
    raise ConfigError.of("objective", [f"expected an objective, its name, a table or a function, got {got}"])


def as_view(view: Any) -> View | None:
    """The view from a view, a name, a table, or a list of them; None without one.

    Raises:
        ConfigError: Lists every fault.
    """
    return None if view is None or view == () else parse_views(view)


def named_network(text: str, data: Dataset, options: Mapping[str, Any] | None = None) -> NetworkName:
    """The network that ``text`` names, with options that depend on the data, and further ``options``.

    Raises:
        InputError: See :func:`bequest.models.network_names.parse_network_name` and
            :func:`bequest.distill.run_networks.network_of_run`.
    """
    name = parse_network_name(text, options, parsers=(network_of_run,))
    of_the_data = token_options(name.family, data, len(data.vocabulary))
    return NetworkName(name.family, {**of_the_data, **name.options}, name.weights)


def build_named(name: NetworkName, data: Dataset, *, seed: int) -> nn.Module:
    """The network, with the weights that the name gives, if any.

    Raises:
        InputError: If it cannot be built, or its weights do not fit.
    """
    model = build_for(name.family, data, seed=seed, **name.options)
    return model if name.weights is None else load_weights(name.weights, model)


def named_teacher(text: str, data: Dataset, options: Mapping[str, Any] | None = None) -> nn.Module | Teacher:
    """A teacher by its name. An arm of a run teaches under the arm's name, with the classes of its data.

    A network of transformers teaches with the classes that its configuration names.

    Args:
        text: Its name.
        data: The data that it is asked about.
        options: Further options of its family.

    Raises:
        ModelError: If the name has no weights, or gives a network with a new head: neither was trained on the
            classes.
        InputError: If it cannot be built.
    """
    name = named_network(text, data, options)
    trained = is_pretrained(name.family, name.options) or "network" in name.options
    if name.weights is None and not trained:
        raise ModelError(
            f"the teacher {text!r} has not been trained",
            expected="FAMILY:WEIGHTS, RUN:ARM[:SEED], or a network of timm, torchvision or transformers",
            got=f"the family {text!r} without weights",
            remedy="train it first (bq.fit) and pass the result, or name its weights",
        )
    network = build_named(name, data, seed=0)
    # Trained weights are the same at any seed; parameters that differ were initialised, not loaded.
    if name.weights is None:
        _refuse_new(text, network, build_named(name, data, seed=1))
    classes = classes_of_run(text) or named_classes(network)
    if classes is None:
        return network
    return Teacher(network, name=text.partition(":")[2], classes=classes)


def _refuse_new(text: str, network: nn.Module, other: nn.Module) -> None:
    """Refuse a teacher some of whose parameters depend on the seed, such as a new head for other classes.

    Args:
        text: Its name.
        network: The network at one seed.
        other: The same at another seed.

    Raises:
        ModelError: Names the parameters in which the two differ.
    """
    values = other.state_dict()
    new = [key for key, value in network.state_dict().items() if not torch.equal(value, values[key])]
    if new:
        raise ModelError(
            f"the teacher {text!r} has untrained parameters",
            expected="a network trained to tell the classes of the data apart",
            got=f"new: {', '.join(new[:4])}",
            remedy="train it on the data first (bq.fit), and pass the result",
        )
