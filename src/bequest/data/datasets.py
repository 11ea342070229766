"""Datasets: named splits of samples, each sample with an id that never changes."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bequest.errors import DataError
from bequest.registry import Registry, unknown
from bequest.seeding import numpy_generator

PAIR = 2
UNLABELLED = -100
"""The label of a row (or position) without a label; cross-entropy leaves it out."""


@dataclass(frozen=True)
class Split:
    """Samples in a fixed order.

    Attributes:
        x: Inputs, (N, ...): float32 (images in [0, 1], vectors) or int64 (tokens).
        y: Class indices, int64 (N,) or (N, L); None for an unlabelled pool.
        ids: int64 (N,), unique in the split.
        about: What else is known of each sample, by name, (N,) each; results can be split by it.
    """

    x: Tensor
    y: Tensor | None
    ids: Tensor
    about: Mapping[str, Tensor] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows: Tensor) -> Split:
        """The samples at ``rows``."""
        about = {name: values[rows] for name, values in self.about.items()}
        return Split(self.x[rows], None if self.y is None else self.y[rows], self.ids[rows], about)

    def unlabelled(self) -> Split:
        """The same samples without their labels."""
        return replace(self, y=None)

    @cached_property
    def digest(self) -> str:
        """SHA-256 over ids, inputs, labels and what else is known."""
        state = hashlib.sha256()
        for part in (self.ids, self.x, self.y, *(self.about[name] for name in sorted(self.about))):
            if part is not None:
                state.update(f"{part.dtype}{tuple(part.shape)}".encode())
                state.update(np.ascontiguousarray(part.cpu().numpy()).tobytes())
        return state.hexdigest()


@dataclass(frozen=True)
class Dataset:
    """Named splits that share one label space; ``train`` is one of them.

    Attributes:
        name: The catalogue's name, or the user's.
        splits: Split names to samples.
        classes: Class names, in the order of the indices.
        notes: What a reader of results should know of the data.
        vocabulary: Word forms in the order of the tokens' ids; empty where inputs are no tokens.
        padding: The token that fills sequences up.
    """

    name: str
    splits: Mapping[str, Split]
    classes: tuple[str, ...]
    notes: tuple[str, ...] = field(default=())
    vocabulary: tuple[str, ...] = field(default=())
    padding: int | None = None

    def __getitem__(self, split: str) -> Split:
        if split not in self.splits:
            raise unknown("split", split, self.splits)
        return self.splits[split]

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one input."""
        return tuple(self["train"].x.shape[1:])

    @property
    def next_token(self) -> bool:
        """True if each position of a sequence has a label of its own: the token that follows."""
        labels = self["train"].y
        return labels is not None and labels.ndim > 1

    @cached_property
    def digest(self) -> str:
        """SHA-256 over every split."""
        parts = [f"{name}:{split.digest}" for name, split in sorted(self.splits.items())]
        names = [*parts, *self.classes, *self.vocabulary]
        return hashlib.sha256("\n".join(names).encode()).hexdigest()

    def with_splits(self, more: Mapping[str, Split]) -> Dataset:
        """The same data with further splits."""
        return replace(self, splits={**self.splits, **more})


DATASETS: Registry[Callable[..., Dataset]] = Registry("dataset")


def load_dataset(name: str, **options: Any) -> Dataset:
    """Load a dataset of the catalogue (``bequest ls datasets``), checked.

    >>> digits = load_dataset("digits")
    >>> digits.input_shape, len(digits["train"]), len(digits.classes)
    ((1, 12, 12), 1297, 10)

    ``folder:PATH`` and ``csv:FILE`` are images of the user's own; see :mod:`bequest.data.folders`.

    Raises:
        UnknownName: If the catalogue has no such dataset.
        DataError: If its files are absent or damaged, or it has no such option.
    """
    known, place = located(name)
    factory = DATASETS[known]
    try:
        inspect.signature(factory).bind(**place, **options)
    except TypeError as error:
        options_known = ", ".join(inspect.signature(factory).parameters)
        raise DataError(
            f"the dataset {known!r} cannot be loaded so", expected=f"options of {options_known}", got=error
        ) from None
    return checked(factory(**place, **options))


def located(name: str) -> tuple[str, dict[str, str]]:
    """The catalogue's name in ``name``, and the path after the colon where it has one.

    >>> located("folder:photos"), located("digits")
    (('folder', {'path': 'photos'}), ('digits', {}))
    """
    known, colon, path = name.partition(":")
    return known, {"path": path} if colon else {}


def as_dataset(data: Dataset | str | Any, *, seed: int = 0) -> Dataset:
    """What a user calls data, as a :class:`Dataset`.

    Args:
        data: A Dataset, a catalogue name, a pair ``(x, y)`` of arrays, or a map-style
            ``torch.utils.data.Dataset`` of ``(x, y)`` pairs. The last two are split 80/10/10 into train,
            validation and test, stratified by class; ids are the row numbers. Inputs of type uint8 are
            pixels and become [0, 1], other integers are tokens.
        seed: Seeds that split.

    Raises:
        DataError: If it is none of these, or its content is wrong; lists every fault.
    """
    if isinstance(data, Dataset):
        return checked(data)
    if isinstance(data, str):
        return load_dataset(data)
    if isinstance(data, (tuple, list)) and len(data) == PAIR:
        return checked(_from_arrays(*data, seed=seed))
    if hasattr(data, "__getitem__") and hasattr(data, "__len__"):
        pairs = [data[row] for row in range(len(data))]
        if pairs and all(isinstance(pair, Sequence) and len(pair) == PAIR for pair in pairs):
            x = torch.stack([torch.as_tensor(pair[0]) for pair in pairs])
            return checked(_from_arrays(x, [int(pair[1]) for pair in pairs], seed=seed))
    raise DataError(
        "this cannot be read as data",
        expected="a dataset's name, a bequest Dataset, (x, y) arrays, or a torch Dataset of (x, y) pairs",
        got=type(data).__name__,
    )


def as_pool(pool: Any) -> Split:
    """Unlabelled inputs, as a :class:`Split` without labels; an array's ids are its row numbers."""
    if isinstance(pool, Split):
        return pool.unlabelled()
    if isinstance(pool, Dataset):
        return pool["train"].unlabelled()
    x = _inputs(pool)
    faults = _input_faults(x)
    if faults:
        raise DataError("the query pool is wrong: " + "; ".join(faults))
    return Split(x, None, torch.arange(len(x)))


def stratified(labels: Tensor, sizes: Mapping[str, int], *, seed: int) -> dict[str, Tensor]:
    """Disjoint row numbers for splits of ``sizes``, each with the classes in the data's proportions.

    Class counts are rounded by largest remainder; which rows of a class go where follows from ``seed``.

    Raises:
        DataError: If the sizes do not add up to the number of labels.
    """
    if sum(sizes.values()) != len(labels):
        raise DataError("split sizes must use every sample", expected=len(labels), got=dict(sizes))
    generator = numpy_generator(seed, "split")
    values = labels.numpy()
    waiting = [generator.permutation(np.flatnonzero(values == label)) for label in np.unique(values)]
    dealt = {}
    for name, size in sizes.items():
        counts = _in_proportion(np.array([len(rows) for rows in waiting]), size)
        taken = [rows[:count] for rows, count in zip(waiting, counts, strict=True)]
        waiting = [rows[count:] for rows, count in zip(waiting, counts, strict=True)]
        dealt[name] = torch.from_numpy(np.sort(np.concatenate([*taken, np.empty(0, np.int64)])))
    return dealt


def checked(data: Dataset) -> Dataset:
    """``data``, if nothing is wrong with it.

    Raises:
        DataError: Lists every fault: NaN, labels out of range, an empty class, repeated ids ...
    """
    faults = [f"{name}: {fault}" for name, split in data.splits.items() for fault in _faults(split, data)]
    if "train" not in data.splits:
        faults.append("there is no split 'train'")
    elif not faults:
        faults = _class_faults(data)
    if faults:
        raise DataError(
            f"the data {data.name!r} cannot be used:\n" + "\n".join(f"  - {fault}" for fault in faults),
            remedy="mend the data; bequest never drops samples by itself",
        )
    return data


def _in_proportion(available: np.ndarray, size: int) -> np.ndarray:
    """``size`` split among classes in proportion to ``available``, by largest remainder."""
    exact = available * size / max(1, available.sum())
    counts: np.ndarray = np.floor(exact).astype(np.int64)
    first = np.argsort(counts - exact, kind="stable")[: size - counts.sum()]
    counts[first] += 1
    return counts


def _from_arrays(x: Any, y: Any, *, seed: int) -> Dataset:
    inputs = _inputs(x)
    labels = torch.as_tensor(np.asarray(y)) if not isinstance(y, Tensor) else y
    if labels.is_floating_point() and torch.equal(labels, labels.round()):
        labels = labels.long()
    faults = []
    if labels.is_floating_point() or labels.ndim != 1:
        faults.append(f"y: expected integer class indices (N,), got {labels.dtype} {tuple(labels.shape)}")
    if len(labels) != len(inputs):
        faults.append(f"x has {len(inputs)} rows and y has {len(labels)}")
    if not faults and len(labels) and int(labels.min()) < 0:
        faults.append(f"y: labels must start at 0, got {int(labels.min())}")
    if faults:
        raise DataError("the arrays cannot be used as data: " + "; ".join(faults))
    labels = labels.long()
    tenth = len(labels) // 10
    sizes = {"train": len(labels) - 2 * tenth, "validation": tenth, "test": tenth}
    whole = Split(inputs, labels, torch.arange(len(labels)))
    rows = stratified(labels, sizes, seed=seed)
    names = tuple(str(k) for k in range(int(labels.max()) + 1)) if len(labels) else ()
    return Dataset("arrays", {name: whole.take(row) for name, row in rows.items()}, names)


def _inputs(x: Any) -> Tensor:
    try:
        tensor = x if isinstance(x, Tensor) else torch.as_tensor(np.asarray(x))
    except (TypeError, ValueError) as error:
        raise DataError("the inputs are not an array", got=type(x).__name__) from error
    if tensor.dtype == torch.uint8:
        return tensor.float() / 255
    return tensor.float() if tensor.is_floating_point() else tensor.long()


def _faults(split: Split, data: Dataset) -> list[str]:
    faults = _input_faults(split.x)
    rows = len(split.ids)
    if len(split.x) != rows or (split.y is not None and len(split.y) != rows):
        return [*faults, "inputs, labels and ids have different lengths"]
    if rows and len(torch.unique(split.ids)) != rows:
        faults.append(f"{rows - len(torch.unique(split.ids))} ids are repeated")
    if any(len(values) != rows for values in split.about.values()):
        faults.append("what is known of the samples has another length")
    known = split.y[split.y != UNLABELLED] if split.y is not None else None
    if known is not None and len(known):
        low, high = int(known.min()), int(known.max())
        if low < 0 or high >= len(data.classes):
            faults.append(f"labels: expected 0..{len(data.classes) - 1}, got {low}..{high}")
    return faults


def _input_faults(x: Tensor) -> list[str]:
    if len(x) == 0:
        return ["no samples"]
    if x.is_floating_point():
        bad = (~torch.isfinite(x)).flatten(1).any(1) if x.ndim > 1 else ~torch.isfinite(x)
        if bool(bad.any()):
            first = int(bad.nonzero()[0, 0])
            return [f"{int(bad.sum())} inputs hold NaN or infinity, the first in row {first}"]
    return []


def _class_faults(data: Dataset) -> list[str]:
    labels = data["train"].y
    if labels is None:
        return ["train: has no labels"]
    if labels.ndim > 1:
        return []  # a language has words that a training set never shows
    counts = torch.bincount(labels[labels != UNLABELLED], minlength=len(data.classes))
    empty = [data.classes[k] for k in (counts == 0).nonzero()[:, 0].tolist()]
    return [f"train: no sample of class {', '.join(empty)}"] if empty else []
