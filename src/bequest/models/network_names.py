"""The names of networks: ``FAMILY``, ``FAMILY:WEIGHTS``, ``timm:NAME`` and so on.

The same text means the same network in TOML, on the command line and in Python.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from bequest.errors import ConfigError, UnknownName
from bequest.models.catalogue import MODELS
from bequest.models.pretrained.efficientnet_lite import VARIANTS
from bequest.registry import nearest

LIBRARIES = ("timm", "torchvision", "transformers")
"""Families of other libraries; the text after the colon is the library's name of a network."""

EFFICIENTNET_LITE = "efficientnet_lite"
WEIGHT_SUFFIXES = (".safetensors", ".pt", ".pth", ".th", ".bin")
FORMS = (
    "FAMILY",
    "FAMILY:WEIGHTS",
    "timm:NAME",
    "torchvision:NAME",
    "transformers:NAME_OR_FOLDER",
    f"{EFFICIENTNET_LITE}:N",
)


@dataclass(frozen=True)
class NetworkName:
    """A parsed name of a network: its family, options and weights.

    Attributes:
        family: A name of the catalogue (``bequest ls models``).
        options: Options of the family; ``{"network": "resnet18"}`` for ``timm:resnet18``.
        weights: The file or folder with the initial weights; None for the family's own initialisation.
    """

    family: str
    options: Mapping[str, Any] = field(default_factory=dict)
    weights: str | None = None


NetworkParser: TypeAlias = Callable[[str], NetworkName | None]
"""Parses one more form of name; returns None if the text is not of that form."""


def parse_network_name(
    text: str, options: Mapping[str, Any] | None = None, *, parsers: Sequence[NetworkParser] = ()
) -> NetworkName:
    """The network that ``text`` names.

    Args:
        text: One of :data:`FORMS`. The first colon ends the family; the rest may contain colons
            (``timm:local-dir:FOLDER``).
        options: Options of the family, added to those that the text implies.
        parsers: Further forms, tried in this order before those of the catalogue, so that a higher layer
            can add ``RUN:ARM[:SEED]``.

    Raises:
        UnknownName: If the family is not in the catalogue; names the nearest.
        ConfigError: If a part is empty, a variant is not a number or does not exist, or ``options``
            contradict the text.

    >>> parse_network_name("efficientnet_lite:2")
    NetworkName(family='efficientnet_lite', options={'variant': 2}, weights=None)
    >>> parse_network_name("resnet20:cifar.safetensors").weights
    'cifar.safetensors'
    >>> parse_network_name("mlp", {"hidden": [64]}).options
    {'hidden': [64]}
    """
    for parser in parsers:
        network = parser(text)
        if network is not None:
            return _with_options(network, options or {}, text)
    return _with_options(_of_the_catalogue(text, options or {}), options or {}, text)


def is_pretrained(family: str, options: Mapping[str, Any]) -> bool:
    """Whether networks of ``family`` come with published weights, given these ``options``.

    >>> is_pretrained("mlp", {}), is_pretrained("timm", {}), is_pretrained("timm", {"pretrained": False})
    (False, True, False)
    """
    option = inspect.signature(MODELS[family]).parameters.get("pretrained")
    return option is not None and bool(options.get("pretrained", option.default))


def _of_the_catalogue(text: str, options: Mapping[str, Any]) -> NetworkName:
    family, colon, rest = text.partition(":")
    if not family.strip():
        raise ConfigError.of(repr(text), [f"the name of a network is empty; expected {', '.join(FORMS)}"])
    if family not in MODELS:
        raise _unknown_family(family, text)
    if colon and not rest.strip():
        raise ConfigError.of(repr(text), [f"nothing follows the colon; expected {_form_of(family)}"])
    if family in LIBRARIES:
        # No default here: the meaning of "timm" alone would change with the factory's default network.
        if not rest and "network" not in options:
            raise ConfigError.of(
                repr(text), [f"lacks the name of a network of {family}; expected {_form_of(family)}"]
            )
        return NetworkName(family, {"network": rest} if rest else {})
    if family == EFFICIENTNET_LITE:
        return NetworkName(family, {"variant": _variant(rest, text)} if rest else {})
    return NetworkName(family, {}, rest or None)


def _with_options(network: NetworkName, options: Mapping[str, Any], text: str) -> NetworkName:
    """``network`` with ``options`` added to its own; a contradiction is refused."""
    faults = [
        f"{key}: the name says {network.options[key]!r}, the option {value!r}; give one of them"
        for key, value in options.items()
        if key in network.options and network.options[key] != value
    ]
    if faults:
        raise ConfigError.of(repr(text), faults)
    return NetworkName(network.family, {**network.options, **options}, network.weights)


def _variant(number: str, text: str) -> int:
    expected = f"expected {EFFICIENTNET_LITE}:N with N one of {', '.join(map(str, VARIANTS))}"
    # isascii too: "²" is a digit to isdigit(), and int() refuses it.
    if not (number.isascii() and number.isdigit()):
        raise ConfigError.of(repr(text), [f"the variant {number!r} is not a number; {expected}"])
    if int(number) not in VARIANTS:
        raise ConfigError.of(repr(text), [f"there is no variant {int(number)}; {expected}"])
    return int(number)


def _form_of(family: str) -> str:
    forms = [form for form in FORMS if form.startswith(f"{family}:")]
    return forms[0] if forms else f"{family} or {family}:WEIGHTS"


def _unknown_family(family: str, text: str) -> UnknownName:
    close = nearest(family, MODELS)
    remedy = f"did you mean {' or '.join(map(repr, close))}? " if close else ""
    if family.endswith(WEIGHT_SUFFIXES):
        remedy = f"put the family before the file of weights, such as cnn:{text}; "
    elif "/" in family:
        remedy = f"if a run is meant: there is no run folder {family!r} here; "
    return UnknownName(
        f"there is no model {family!r}",
        expected=", ".join(FORMS),
        remedy=f"{remedy}`bequest ls models` lists the families",
    )
