"""Checks of datasets: types are converted, and every fault is listed."""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from bequest.data.arrays import CHANNELS_LAST, channels_last, inputs_of, labels_of
from bequest.data.rows import LazyRows, blocks_of
from bequest.errors import DataError

if TYPE_CHECKING:
    from bequest.data.datasets import Dataset, Split

UNLABELLED = -100
"""The label of a row (or position) without one: PyTorch's default ``ignore_index``."""

SPLIT_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+@=~-]{0,99}")
"""A split's name becomes part of file names, so it must not lead to another folder."""

SHOWN = 8


def normalised(data: Dataset) -> Dataset:
    """``data`` with inputs, labels and ids as tensors of the library's types; unchanged if they are already.

    Raises:
        DataError: If a split is no Split, or inputs or labels cannot be converted.
    """
    splits = {}
    for name, split in data.splits.items():
        if not all(hasattr(split, part) for part in ("x", "y", "ids", "about")):
            raise DataError(
                f"split {name!r} is not a Split",
                expected="bequest.data.Split(x, y, ids)",
                got=type(split).__name__,
            )
        splits[name] = _normalised(split, name)
    classes = tuple(str(each) for each in data.classes)
    if classes == data.classes and all(splits[name] is data.splits[name] for name in splits):
        return data
    return dataclasses.replace(data, splits=splits, classes=classes)


def faults_of(data: Dataset) -> list[str]:
    """Faults of ``data``: NaN, labels out of range, an empty class, repeated ids ..."""
    faults = [
        f"{name}: {fault}" for name, split in data.splits.items() for fault in _split_faults(split, data)
    ]
    faults += [fault for name in data.splits for fault in name_faults(name)]
    if len(set(data.classes)) < len(data.classes):
        twice = sorted({each for each in data.classes if data.classes.count(each) > 1})
        faults.append(f"two classes have the same name: {', '.join(twice[:SHOWN])}")
    if "train" not in data.splits:
        faults.append("there is no split 'train'")
    # Only then: splits that are faulty by themselves have no shapes or classes to compare.
    elif not faults:
        faults = [*_shape_faults(data), *_class_faults(data)]
    return faults


def name_faults(split: object) -> list[str]:
    """Faults of a split's name."""
    if isinstance(split, str) and SPLIT_NAME.fullmatch(split):
        return []
    return [f"{split!r} cannot name a split: letters, digits and _ . + @ = ~ - only, not a path"]


def input_faults(x: Tensor) -> list[str]:
    """Faults of the inputs of a split."""
    if len(x) == 0:
        return ["no samples"]
    if x.is_floating_point() and x.ndim == 1:
        return ["inputs have one axis, expected (N, features) or more: x[:, None]"]
    if x.is_floating_point() and channels_last(tuple(x.shape)):
        return [f"the images seem to have their channels last: {tuple(x.shape)}; use {CHANNELS_LAST}"]
    if not x.is_floating_point() or (isinstance(x, LazyRows) and x.reader.finite):
        return []
    count, first, start = 0, -1, 0
    for part in blocks_of(x):
        bad = (~torch.isfinite(part)).flatten(1).any(1) if x.ndim > 1 else ~torch.isfinite(part)
        if bool(bad.any()):
            first = start + int(bad.nonzero()[0, 0]) if first < 0 else first
            count += int(bad.sum())
        start += len(part)
    return [f"NaN or infinity in {count} of {len(x)} inputs, the first in row {first}"] if count else []


def _normalised(split: Split, name: str) -> Split:
    x = split.x if _is(split.x, torch.float32, torch.int64) else inputs_of(split.x)
    y = split.y
    if y is not None and not _is(y, torch.int64):
        y = labels_of(y, where=f"{name}: labels")
    ids = split.ids if _is(split.ids, torch.int64) else _ids(split.ids, name)
    about = {key: _plain(values, name) for key, values in split.about.items()}
    same = x is split.x and y is split.y and ids is split.ids
    if same and all(about[key] is split.about[key] for key in about):
        return split
    return dataclasses.replace(split, x=x, y=y, ids=ids, about=about)


def _is(values: Any, *dtypes: torch.dtype) -> bool:
    return (
        isinstance(values, Tensor)
        and values.dtype in dtypes
        and not values.requires_grad
        and values.layout == torch.strided
    )


def _ids(ids: Any, name: str) -> Tensor:
    try:
        values = np.asarray(ids.detach().cpu() if isinstance(ids, Tensor) else ids)
        whole = values.astype(np.int64)
        if values.ndim == 1 and values.dtype.kind in "iuf" and bool((whole == values).all()):
            return torch.from_numpy(whole)
    except (TypeError, ValueError, RuntimeError):
        pass
    raise DataError(f"{name}: ids are not integers", expected="int64 (N,)", got=type(ids).__name__)


def _plain(values: Any, name: str) -> Tensor:
    if isinstance(values, Tensor):
        return values
    try:
        return torch.as_tensor(np.asarray(values))
    except (TypeError, ValueError, RuntimeError) as error:
        raise DataError(
            f"{name}: an attribute of the samples is not an array of numbers", got=type(values).__name__
        ) from error


def _split_faults(split: Split, data: Dataset) -> list[str]:
    faults = input_faults(split.x)
    rows = len(split.ids)
    if len(split.x) != rows or (split.y is not None and len(split.y) != rows):
        return [*faults, "inputs, labels and ids have different lengths"]
    if rows and len(torch.unique(split.ids)) != rows:
        faults.append(f"{rows - len(torch.unique(split.ids))} ids are repeated")
    if any(len(values) != rows for values in split.about.values()):
        faults.append("an attribute of the samples differs in length")
    if split.y is None:
        return faults
    if split.y.ndim > 1 and (split.x.is_floating_point() or split.y.shape[1:] != split.x.shape[1:]):
        faults.append(
            "labels: expected one class index per sample (N,), or one per token (N, L); "
            f"got {tuple(split.y.shape)} for inputs {tuple(split.x.shape)}"
        )
    stated = split.y[split.y != UNLABELLED]
    if len(stated):
        low, high = int(stated.min()), int(stated.max())
        if low < 0 or high >= len(data.classes):
            faults.append(f"labels: expected 0..{len(data.classes) - 1}, got {low}..{high}")
    return faults


def _shape_faults(data: Dataset) -> list[str]:
    """Splits whose inputs a network for the training split could not take."""
    train = data.splits["train"].x
    faults = []
    for name, split in data.splits.items():
        if split.x.dtype != train.dtype:
            faults.append(f"{name}: inputs are {split.x.dtype}, those of train are {train.dtype}")
        elif train.is_floating_point() and split.x.shape[1:] != train.shape[1:]:
            faults.append(
                f"{name}: inputs have shape {tuple(split.x.shape[1:])}, "
                f"those of train {tuple(train.shape[1:])}"
            )
    return faults


def _class_faults(data: Dataset) -> list[str]:
    labels = data.splits["train"].y
    if labels is None:
        return ["train: has no labels"]
    if labels.ndim > 1:
        return []  # a language has words that a training set never shows
    if len(data.classes) < 2:
        there_is = f"one: {data.classes[0]}" if data.classes else "none"
        return [f"a classifier needs two classes, and there is {there_is}"]
    used = set(torch.unique(labels[labels != UNLABELLED]).tolist())
    empty = [each for index, each in enumerate(data.classes) if index not in used]
    more = f" and {len(empty) - SHOWN} more" if len(empty) > SHOWN else ""
    return [f"train: no sample of class {', '.join(empty[:SHOWN])}{more}"] if empty else []
