"""Weights from files of any origin, opened as data: code in a file is never run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from bequest.errors import ModelError
from bequest.models.weight_formats import read_state

INDEX = "model.safetensors.index.json"
"""The index of a folder whose tensors are spread over several files."""

IN_FOLDERS = ("weights.safetensors", "model.safetensors", INDEX, "pytorch_model.bin")
"""Files of weights in a bequest cell, and in folders written by timm and transformers."""

CONFIGS = ("preprocessor_config.json", "config.json")
NORMALISE = "normalise."


@dataclass(frozen=True)
class PretrainedWeights:
    """Weights with the normalisation that they were trained with.

    Attributes:
        state: Names to tensors, as the file has them.
        origin: Where they come from.
        mean: Subtracted from pixels in [0, 1], per channel; None if unknown.
        std: Divides them.
    """

    state: Mapping[str, Tensor]
    origin: str
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None


def read_weights(path: str | Path) -> PretrainedWeights:
    """Weights from a file (safetensors, or a PyTorch state dict), or from a folder that holds one.

    A folder may be a cell of a bequest run, or one written by timm or transformers. A PyTorch file is opened
    with ``weights_only``: a pickle that would run code is refused before any of it runs. The normalisation is
    read from the buffers of a bequest network, or from the configuration next to the weights.

    Raises:
        ModelError: If there are no weights, the file is damaged or a Git LFS pointer, or opening it would
            run code.
    """
    place = Path(path).expanduser()
    file = _weights_in(place) if place.is_dir() else place
    state = _of_shards(file) if file.name == INDEX else read_state(file)
    if not state:
        raise ModelError(f"{file} holds no weights", expected="names and tensors")
    mean, std = _own_normalisation(state) or _configured(file.parent) or (None, None)
    return PretrainedWeights(state, str(file), mean, std)


def _weights_in(folder: Path) -> Path:
    files = [folder / name for name in IN_FOLDERS if (folder / name).is_file()]
    if not files:
        raise ModelError(f"{folder} holds no weights", expected=" or ".join(IN_FOLDERS))
    return files[0]


def _of_shards(index: Path) -> dict[str, Tensor]:
    """The tensors that ``index`` lists, each from its file."""
    try:
        places = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        pairs = [(str(name), str(file)) for name, file in places.items()]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(
            f"{index} is not an index of weights", expected='{"weight_map": {NAME: FILE, ...}}'
        ) from error
    outside = [file for _, file in pairs if Path(file).name != file]
    if outside:
        raise ModelError(f"{index} names a file outside of its folder", got=outside[0])
    shards = {file: read_state(index.parent / file) for file in dict.fromkeys(file for _, file in pairs)}
    missing = [f"{name} in {file}" for name, file in pairs if name not in shards[file]]
    if missing:
        raise ModelError(
            f"{index} names tensors that its files do not have",
            got=", ".join(missing[:3]),
            remedy="fetch the folder again",
        )
    return {name: shards[file][name] for name, file in pairs}


def _own_normalisation(state: Mapping[str, Tensor]) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    mean, std = state.get(NORMALISE + "mean"), state.get(NORMALISE + "std")
    if mean is None or std is None:
        return None
    return _decimal(mean), _decimal(std)


def _decimal(values: Tensor) -> tuple[float, ...]:
    """Float32 values as the decimals that they came from: 0.485, not 0.48500001430511475."""
    return tuple(float(f"{value:.7g}") for value in values.flatten().tolist())


def _configured(folder: Path) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    """Mean and std from the configuration that timm and transformers write next to the weights."""
    for name in CONFIGS:
        try:
            content = json.loads((folder / name).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        # timm nests the numbers; transformers has them at the top level.
        content = content.get("pretrained_cfg", content) if isinstance(content, dict) else {}
        for mean, std in (("image_mean", "image_std"), ("mean", "std")):
            if _numbers(content.get(mean)) and _numbers(content.get(std)):
                return tuple(map(float, content[mean])), tuple(map(float, content[std]))
    return None


def _numbers(value: object) -> bool:
    return (
        isinstance(value, Sequence) and bool(value) and all(isinstance(each, int | float) for each in value)
    )
