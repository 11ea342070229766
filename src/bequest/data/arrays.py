"""Users' inputs and labels (arrays, tensors, lists, PIL images) as tensors of the library's types."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from bequest.data.rows import ArrayRows, LazyRows, as_library_type
from bequest.errors import DataError

CHANNELS = (1, 3, 4)
SMALLEST_SIDE = 5
"""Fewest pixels of an image axis for the order of the axes to be inferred from the shape."""

IMAGE_AXES = 3
CHANNELS_LAST = "np.moveaxis(x, -1, 1), or x.permute(0, 3, 1, 2)"


def inputs_of(x: Any, *, room: int | None = None) -> Tensor:
    """Inputs as float32 (images in [0, 1], vectors) or int64 (tokens), (N, ...).

    uint8 are pixels and are divided by 255; (N, H, W) of them are grey images and get a channel axis.
    Booleans and other floats become float32, other integers int64. PIL images become (C, H, W). A tensor
    or memory map that has its final type already is not copied. An array whose conversion would take more
    than ``room`` bytes (256 MiB) is converted row by row, when rows are read
    (:class:`bequest.data.rows.LazyRows`).

    Raises:
        DataError: If it is not a numeric array, rows differ in shape, or images have their channels last.

    >>> inputs_of(np.array([[0, 255]], np.uint8))
    tensor([[0., 1.]])
    """
    tensor = x if isinstance(x, LazyRows) else _tensor(x)
    if tensor.is_complex():
        raise DataError(
            "the inputs are complex numbers",
            expected="real numbers, pixels or tokens",
            got=tensor.dtype,
            remedy="give real and imaginary parts as two channels: np.stack([x.real, x.imag], 1)",
        )
    if channels_last(tuple(tensor.shape)):
        raise DataError(
            "the images seem to have their channels last",
            expected="(N, C, H, W)",
            got=tuple(tensor.shape),
            remedy=CHANNELS_LAST,
        )
    if isinstance(tensor, LazyRows) or tensor.dtype in (torch.float32, torch.int64):
        return tensor
    if tensor.dtype == torch.bfloat16 or tensor.device.type != "cpu" or tensor.ndim < 2:
        return as_library_type(tensor)  # of types that NumPy does not have
    native = isinstance(x, np.memmap) and x.dtype.isnative
    return ArrayRows(x if native else tensor.numpy()).tensor(room=room)


def labels_of(y: Any, *, where: str = "y") -> Tensor:
    """Class indices, int64 (N,) or (N, L) for tokens.

    Integers of any width, booleans, and floats that are whole numbers are accepted.

    Args:
        y: An array, a tensor or a list.
        where: Named in errors.

    Raises:
        DataError: If labels are text, None, NaN, one-hot or fractions; says how to convert them.

    >>> labels_of(np.array([0, 2], np.uint16))
    tensor([0, 2])
    """
    if y is None:
        raise _labels_fault(
            where, "None", "give class indices; unlabelled inputs are queries, not training data"
        )
    array = y.detach().cpu().numpy() if isinstance(y, Tensor) and not y.is_sparse else _array(y, where)
    if array.dtype.kind in "USO":
        kinds = sorted({type(value).__name__ for value in array.reshape(-1)[:1000].tolist()})
        raise _labels_fault(
            where, f"{' and '.join(kinds)}", "classes, y = np.unique(labels, return_inverse=True)"
        )
    if array.dtype.kind not in "biuf":
        raise _labels_fault(where, str(array.dtype), "convert them to class indices")
    if array.dtype.kind == "f" and not (np.isfinite(array).all() and (array == np.round(array)).all()):
        raise _labels_fault(
            where, f"{array.dtype} {array.shape}", "regression targets and probabilities are not supported"
        )
    if array.ndim > 1 and array.shape[-1] == 1:
        raise _labels_fault(where, f"shape {array.shape}", "y.reshape(-1)")
    if array.ndim > 1 and _one_hot(array):
        raise _labels_fault(where, f"one-hot rows of shape {array.shape}", "y.argmax(1)")
    return torch.from_numpy(np.ascontiguousarray(array).astype(np.int64))


def stacked(items: Sequence[Any]) -> Any:
    """Inputs given one by one, as one array.

    Raises:
        DataError: If they differ in shape; names the first two that do.
    """
    arrays = [item_array(item) for item in items]
    shapes = [tuple(array.shape) for array in arrays]
    other = next((row for row, shape in enumerate(shapes) if shape != shapes[0]), None)
    if other is not None:
        raise DataError(
            "the inputs differ in shape",
            expected=f"{shapes[0]}, as in row 0",
            got=f"{shapes[other]} in row {other}",
            remedy="resize images (a folder of images is resized by `folder:PATH`), pad sequences",
        )
    return np.stack(arrays) if arrays else np.empty((0,))


def channels_last(shape: tuple[int, ...]) -> bool:
    """Whether (N, H, W, C) is the only plausible reading of a shape."""
    return (
        len(shape) == IMAGE_AXES + 1
        and shape[3] in CHANNELS
        and shape[1] not in CHANNELS
        and min(shape[1], shape[2]) >= SMALLEST_SIDE
    )


def item_array(item: Any) -> np.ndarray:
    """One input as an array; PIL images, whose layout is known, get their channels first."""
    if isinstance(item, Image.Image):
        if item.mode not in ("L", "RGB"):
            item = item.convert("RGB")
        pixels = np.asarray(item, dtype=np.uint8)
        return pixels[None] if pixels.ndim == IMAGE_AXES - 1 else pixels.transpose(2, 0, 1)
    if isinstance(item, Tensor):
        return item.detach().cpu().numpy()
    return np.asarray(item)


def _tensor(x: Any) -> Tensor:
    if isinstance(x, Tensor):
        if x.layout != torch.strided or x.is_quantized:
            raise DataError("the inputs are not a dense tensor", got=x.layout, remedy="x.to_dense()")
        return x.detach()
    if isinstance(x, list | tuple) and len(x) and isinstance(x[0], Image.Image | Tensor):
        x = stacked(x)
    try:
        array = np.asarray(x) if not isinstance(x, np.ndarray) else x
        # Copies only where torch.from_numpy would fail: foreign byte order, negative strides.
        if array.dtype.byteorder not in "=|":
            array = array.astype(array.dtype.newbyteorder("="))
        if array.dtype in (np.uint16, np.uint32, np.uint64):  # torch can hardly compute with them
            array = array.astype(np.int64)
        if any(stride < 0 for stride in array.strides):
            array = array.copy()
        return _shared(array)
    except (TypeError, ValueError, RuntimeError) as error:
        first = x[0] if isinstance(x, list | tuple) and len(x) else None
        raise DataError(
            "the inputs are not an array",
            expected="numbers, and the same shape in every row",
            got=type(x).__name__ if first is None else f"{type(x).__name__} of {type(first).__name__}",
            remedy="give texts as a file, such as csv:FILE with a column of texts"
            if isinstance(first, str)
            else None,
        ) from error


def _shared(array: np.ndarray) -> Tensor:
    """A tensor that shares the array's memory, also if it is read-only (a memory map)."""
    if array.flags.writeable:
        return torch.from_numpy(array)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # "not writable": nothing here writes
        return torch.from_numpy(array)


def _array(y: Any, where: str) -> np.ndarray:
    if isinstance(y, np.ndarray):
        return y
    try:
        return np.asarray(
            [value.item() if isinstance(value, Tensor) and value.ndim == 0 else value for value in y]
        )
    except (TypeError, ValueError, RuntimeError) as error:
        raise _labels_fault(where, type(y).__name__, "give one class index per sample") from error


def _one_hot(array: np.ndarray) -> bool:
    return array.ndim == 2 and bool(((array == 0) | (array == 1)).all() and (array.sum(1) == 1).all())


def _labels_fault(where: str, got: str, remedy: str) -> DataError:
    return DataError(
        f"the labels cannot be used: {where}: expected integer class indices (N,)",
        expected="integers 0..C-1, one per sample",
        got=got,
        remedy=remedy,
    )
