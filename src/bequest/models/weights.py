"""Weights on disk (safetensors) and their digests."""

from __future__ import annotations

import hashlib
from pathlib import Path

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor, nn

from bequest.errors import ModelError
from bequest.files import write_bytes


def state_of(model: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers, detached, on the CPU, contiguous; shared tensors are repeated."""
    return {name: value.detach().cpu().contiguous().clone() for name, value in model.state_dict().items()}


def weights_digest(model: nn.Module) -> str:
    """SHA-256 over the names, shapes and bytes of all parameters AND buffers.

    >>> from torch import nn
    >>> layer = nn.BatchNorm1d(2)
    >>> before = weights_digest(layer)
    >>> _ = layer(layer.weight.detach().expand(3, 2))  # training mode moves the running mean
    >>> weights_digest(layer) == before
    False
    """
    digest = hashlib.sha256()
    for name, value in sorted(state_of(model).items()):
        digest.update(f"{name}|{value.dtype}|{tuple(value.shape)}|".encode())
        digest.update(safetensors.torch.save({"": value}))
    return digest.hexdigest()


def save_weights(path: str | Path, model: nn.Module) -> Path:
    """Write ``model``'s state whole, as safetensors."""
    return write_bytes(path, safetensors.torch.save(state_of(model)))


def load_weights(path: str | Path, model: nn.Module) -> nn.Module:
    """Fill ``model`` from a safetensors file; every name and shape must fit.

    Raises:
        ModelError: If the file is absent or damaged, or does not fit the model.
    """
    try:
        state = safetensors.torch.load_file(Path(path))
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{path} cannot be read as safetensors", got=error) from error
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise ModelError(f"{path} does not fit the model", got=error) from error
    return model
