"""Weights in files of any origin, opened as data: nothing in a file is ever run."""

from __future__ import annotations

import json
import pickle
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from bequest.errors import ModelError

IN_FOLDERS = ("weights.safetensors", "model.safetensors", "pytorch_model.bin")
"""Weights of a bequest cell, and of folders as timm and transformers write them."""

NESTS = ("state_dict", "model_state_dict", "model", "state_dict_ema", "model_ema")
"""Under which names training scripts keep the weights among other things."""

CONFIGS = ("preprocessor_config.json", "config.json")
NORMALISE = "normalise."


@dataclass(frozen=True)
class PretrainedWeights:
    """Weights with the normalisation that they were trained under.

    Attributes:
        state: Names to tensors, as the file has them.
        origin: Where they come from.
        mean: Subtracted from pixels in [0, 1], channel by channel; None where the source does not say.
        std: Divides them.
    """

    state: Mapping[str, Tensor]
    origin: str
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None


def read_weights(path: str | Path) -> PretrainedWeights:
    """Weights from a file (safetensors, or a PyTorch state dict), or from a folder that holds one.

    A folder may be a cell of a bequest run, or what timm or transformers write. A PyTorch file is opened with
    ``weights_only``: a pickle that wants to run code is refused before any of it runs. The normalisation
    is read from a bequest network's own buffers, or from the configuration beside the weights.

    Raises:
        ModelError: If there are no weights, the file is damaged, or it wants to run code.
    """
    given = Path(path).expanduser()
    file = _weights_in(given) if given.is_dir() else given
    if not file.is_file():
        raise ModelError(f"{path} does not exist", expected="a file of weights, or a folder with one")
    state = _safetensors(file) if file.suffix == ".safetensors" else _state_dict(file)
    if not state:
        raise ModelError(f"{file} holds no weights", expected="names and tensors")
    mean, std = _own_normalisation(state) or _configured(file.parent) or (None, None)
    return PretrainedWeights(state, str(file), mean, std)


def _weights_in(folder: Path) -> Path:
    found = [folder / name for name in IN_FOLDERS if (folder / name).is_file()]
    if not found:
        raise ModelError(f"{folder} holds no weights", expected=" or ".join(IN_FOLDERS))
    return found[0]


def _safetensors(file: Path) -> dict[str, Tensor]:
    try:
        return dict(safetensors.torch.load_file(file))
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{file} cannot be read as safetensors", got=error) from error


def _state_dict(file: Path) -> dict[str, Tensor]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch's on protocols; what it cannot read raises
            content = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ModelError(
            f"{file} is refused: it holds more than tensors, and opening it would run code",
            expected="a PyTorch state dict, or safetensors",
            got=_first_line(error),
            remedy="have its author save model.state_dict() alone, best as safetensors",
        ) from error
    except (OSError, RuntimeError, EOFError, ValueError) as error:
        raise ModelError(f"{file} cannot be read as weights", got=_first_line(error)) from error
    nested = [name for name in NESTS if isinstance(content, dict) and isinstance(content.get(name), dict)]
    state = content[nested[0]] if nested else content
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ModelError(
            f"{file} holds no weights",
            expected=f"names and tensors, alone or under {', '.join(NESTS)}",
            got=_described(state),
        )
    return dict(state)


def _described(content: Any) -> str:
    if not isinstance(content, dict):
        return type(content).__name__
    odd = [f"{name}: {type(v).__name__}" for name, v in content.items() if not isinstance(v, Tensor)]
    return ", ".join(odd[:5])


def _own_normalisation(state: Mapping[str, Tensor]) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    found = [state.get(NORMALISE + name) for name in ("mean", "std")]
    if found[0] is None or found[1] is None:
        return None
    mean, std = (
        tuple(float(f"{value:.7g}") for value in each.flatten().tolist())
        for each in found
        if each is not None
    )
    return mean, std


def _configured(folder: Path) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    """Mean and std from the configuration that timm and transformers write beside weights."""
    for name in CONFIGS:
        try:
            content = json.loads((folder / name).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        content = content.get("pretrained_cfg", content) if isinstance(content, dict) else {}
        for mean, std in (("image_mean", "image_std"), ("mean", "std")):
            if _numbers(content.get(mean)) and _numbers(content.get(std)):
                return tuple(map(float, content[mean])), tuple(map(float, content[std]))
    return None


def _numbers(value: object) -> bool:
    return (
        isinstance(value, Sequence) and bool(value) and all(isinstance(each, int | float) for each in value)
    )


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
