"""Weights on disk (safetensors) and their digests."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from bequest.errors import ModelError
from bequest.files import write_bytes
from bequest.models.weight_formats import read_state

META_REMEDY = 'give it memory with .to_empty(device="cpu") and load weights, or build it outside of meta'


def state_of(model: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers, detached, on the CPU, contiguous; shared tensors are copied.

    Raises:
        ModelError: If a part of the state is not a dense tensor with values (quantised, sparse, lazy, on the
            meta device, extra state that is not a tensor), which safetensors cannot hold.
    """
    state = {}
    for name, value in model.state_dict().items():
        reason = not_dense(value)
        if reason is not None:
            raise ModelError(
                f"the network cannot be stored as safetensors: {name} is {reason}",
                expected="a state dict of dense tensors that have values",
                remedy=_remedy(value),
            )
        state[name] = value.detach().cpu().contiguous().clone()
    return state


def weights_digest(model: nn.Module) -> str:
    """SHA-256 over the names, shapes and bytes of all parameters AND buffers.

    Quantised and sparse tensors enter with everything that defines them, extra state by its content.

    Raises:
        ModelError: If a parameter has no values yet (lazy modules, the meta device), or extra state is of a
            type without a digest.

    >>> from torch import nn
    >>> layer = nn.BatchNorm1d(2)
    >>> before = weights_digest(layer)
    >>> _ = layer(layer.weight.detach().expand(3, 2))  # training mode moves the running mean
    >>> weights_digest(layer) == before
    False
    """
    digest = hashlib.sha256()
    state = model.state_dict()
    # Sorted: the order in which a module defines its parameters is not part of the network.
    for name in sorted(state):
        for part, value in _dense_parts(name, state[name]):
            dense = value.detach().cpu().contiguous().clone()
            digest.update(f"{part}|{dense.dtype}|{tuple(dense.shape)}|".encode())
            digest.update(safetensors.torch.save({"": dense}))
    return digest.hexdigest()


def save_weights(path: str | Path, model: nn.Module) -> Path:
    """Write ``model``'s state whole, as safetensors.

    Raises:
        ModelError: See :func:`state_of`.
    """
    return write_bytes(path, safetensors.torch.save(state_of(model)))


def load_weights(path: str | Path, model: nn.Module) -> nn.Module:
    """Fill ``model`` from a safetensors file; every name and shape must fit.

    Raises:
        ModelError: If the file is absent or damaged, or does not fit the model; also if the model is on the
            meta device, where PyTorch would silently load nothing.
    """
    if not Path(path).is_file():
        raise ModelError(f"{path} cannot be read as safetensors", got="no such file")
    state = read_state(Path(path))
    require_memory(model)
    try:
        model.load_state_dict(state)
    except (RuntimeError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{path} does not fit the model", got=error) from error
    return model


def require_memory(model: nn.Module) -> None:
    """Raise ModelError if a parameter or buffer of ``model`` lies on the meta device, without memory."""
    tensors = [*model.named_parameters(), *model.named_buffers()]
    names = [name for name, value in tensors if value.is_meta and not is_lazy(value)]
    if names:
        raise ModelError(
            f"the network has no memory for its weights: {names[0]} is on the meta device",
            remedy=META_REMEDY,
        )


def require_dense(model: nn.Module) -> None:
    """Raise ModelError if a parameter or buffer of ``model`` is not a dense tensor with values."""
    for name, value in [*model.named_parameters(), *model.named_buffers()]:
        reason = not_dense(value)
        if reason is not None:
            raise ModelError(
                f"the network has a parameter without dense values: {name} is {reason}",
                remedy=_remedy(value),
            )


def not_dense(value: object) -> str | None:
    """Why ``value`` is not a dense tensor with values; None if it is one."""
    if not isinstance(value, Tensor):
        return f"extra state of type {type(value).__name__}"
    if is_lazy(value):
        return "lazy: it has no shape yet"
    if value.is_meta:
        return "on the meta device"
    if value.is_quantized:
        return "quantised"
    if value.layout != torch.strided:
        return "sparse"
    return None


def _remedy(value: object) -> str:
    """The remedy for a value that :func:`not_dense` refuses; the same order of cases."""
    if isinstance(value, Tensor):
        if is_lazy(value):
            return "run one batch through the network first"
        if value.is_meta:
            return META_REMEDY
        if not value.is_quantized and value.layout != torch.strided:
            return "turn the parameter into a dense one with .to_dense()"
    return "use the network in floating point, without extra state"


def _dense_parts(name: str, value: object) -> Iterator[tuple[str, Tensor]]:
    """Named dense tensors that together define ``value``; a dense tensor is its only part."""
    reason = not_dense(value)
    if reason is None and isinstance(value, Tensor):
        yield name, value
    elif isinstance(value, Tensor) and reason == "quantised":
        yield f"{name}.values", value.int_repr()
        if value.qscheme() in (torch.per_tensor_affine, torch.per_tensor_symmetric):
            yield f"{name}.scale", torch.tensor([value.q_scale(), value.q_zero_point()], dtype=torch.float64)
        else:
            yield f"{name}.scales", value.q_per_channel_scales()
            yield f"{name}.zero_points", value.q_per_channel_zero_points()
    elif isinstance(value, Tensor) and reason == "sparse":
        # One layout for all sparse tensors, coalesced: equal tensors then have equal parts.
        coordinates = value.detach().to_sparse(layout=torch.sparse_coo).coalesce()
        yield f"{name}.shape", torch.tensor(coordinates.shape)
        yield f"{name}.indices", coordinates.indices()
        yield f"{name}.values", coordinates.values()
    elif isinstance(value, dict):
        for key in sorted(value, key=repr):
            yield from _dense_parts(f"{name}[{key!r}]", value[key])
    elif isinstance(value, list | tuple):
        for place, each in enumerate(value):
            yield from _dense_parts(f"{name}[{place}]", each)
    elif value is None or isinstance(value, bool | int | float | str | bytes | torch.dtype | torch.device):
        yield f"{name}={value!r}", torch.empty(0)
    else:
        raise ModelError(
            f"the weights of the network have no digest: {name} is {reason}",
            expected="dense, sparse or quantised tensors, and extra state of plain values",
            remedy=_remedy(value),
        )
