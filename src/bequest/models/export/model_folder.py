"""A trained network as a folder: ``config.json`` and ``model.safetensors``."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError
from torch import nn

from bequest.errors import InputError, ModelError
from bequest.files import write_json
from bequest.models.catalogue import MODELS, build_model
from bequest.models.weights import load_weights, save_weights, weights_digest

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
FORMAT = "bequest-model"
VERSION = 1


class ModelConfig(BaseModel):
    """The content of ``config.json``.

    Attributes:
        format: Always ``bequest-model``.
        version: Of the format.
        family: A name of the catalogue.
        options: Options of the family.
        classes: Names of the classes, in the order of the logits.
        input_shape: Shape of one input, without the batch.
        weights_sha256: Of the bytes of ``model.safetensors``.
        weights_digest: Of names, shapes and values; see :func:`bequest.models.weights.weights_digest`.
    """

    model_config = ConfigDict(frozen=True, extra="allow", strict=True)

    format: str
    version: int
    family: str
    options: dict[str, Any]
    classes: list[str]
    input_shape: list[int]
    weights_sha256: str
    weights_digest: str


@dataclass(frozen=True)
class ModelFolder:
    """A network with its configuration.

    Attributes:
        model: In eval mode.
        config: The content of its ``config.json``.
    """

    model: nn.Module
    config: ModelConfig


def save_pretrained(
    folder: str | Path,
    model: nn.Module,
    family: str,
    options: Mapping[str, Any],
    classes: Sequence[str],
    *,
    input_shape: Sequence[int],
) -> ModelConfig:
    """Write ``model`` into ``folder`` as ``config.json`` and ``model.safetensors``.

    Args:
        folder: Created if absent; files of these two names are replaced.
        model: The trained network.
        family: Its name in the catalogue.
        options: The options that it was built with, as JSON values.
        classes: Names of the classes, in the order of the logits.
        input_shape: Shape of one input, without the batch.

    Raises:
        UnknownName: If the catalogue has no such family.
        ModelError: If the options, or the state (see :func:`bequest.models.weights.state_of`), cannot be
            stored.
        RunFolderError: If the folder cannot be written.
    """
    # Raises UnknownName before anything is written.
    MODELS[family]
    try:
        json.dumps(dict(options), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ModelError("the options of the model cannot be written as JSON", got=error) from error
    weights = save_weights(Path(folder) / WEIGHTS, model)
    config = ModelConfig(
        format=FORMAT,
        version=VERSION,
        family=family,
        options=dict(options),
        classes=[str(name) for name in classes],
        input_shape=[int(size) for size in input_shape],
        weights_sha256=hashlib.sha256(weights.read_bytes()).hexdigest(),
        weights_digest=weights_digest(model),
    )
    # The configuration last: a folder without it is not a model, so that a crash leaves nothing half written.
    write_json(Path(folder) / CONFIG, config.model_dump())
    return config


def load_pretrained(folder: str | Path) -> ModelFolder:
    """The network that :func:`save_pretrained` wrote to ``folder``.

    Raises:
        ModelError: If the folder holds none, or one of its files is damaged or belongs to another network.
    """
    config = _config(Path(folder) / CONFIG)
    file = Path(folder) / WEIGHTS
    if not file.is_file():
        raise ModelError(f"{folder} holds no weights", expected=WEIGHTS)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    if digest != config.weights_sha256:
        raise ModelError(
            f"{file} is not the file that {CONFIG} names: damaged, or of another network",
            expected=f"sha256 {config.weights_sha256}",
            got=f"sha256 {digest}",
            remedy="export or copy the folder again",
        )
    try:
        model = build_model(
            config.family, config.input_shape, len(config.classes), seed=0, **_without_download(config)
        )
    except InputError as error:
        raise ModelError(
            f"the network of {folder} cannot be built", got=error, remedy=error.remedy
        ) from error
    return ModelFolder(load_weights(file, model).eval(), config)


def _without_download(config: ModelConfig) -> dict[str, Any]:
    """The options without a download of weights, which the folder's own would replace at once."""
    return {**config.options, "pretrained": False} if "pretrained" in config.options else config.options


def _config(file: Path) -> ModelConfig:
    try:
        config = ModelConfig.model_validate_json(file.read_bytes())
    except OSError as error:
        raise ModelError(f"{file.parent} is not an exported model", expected=CONFIG) from error
    except ValidationError as error:
        fault = error.errors()[0]
        place = ".".join(map(str, fault["loc"]))
        raise ModelError(
            f"{file} is not the configuration of an exported model",
            expected=f'{{"format": "{FORMAT}", "version": {VERSION}, ...}}',
            got=f"{place}: {fault['msg']}" if place else fault["msg"],
        ) from error
    if (config.format, config.version) != (FORMAT, VERSION):
        raise ModelError(
            f"{file} has another format",
            expected=f"{FORMAT}, version {VERSION}",
            got=f"{config.format}, version {config.version}",
        )
    return config
