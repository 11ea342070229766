"""Datasets: named splits of samples, each sample with an id that never changes."""

from __future__ import annotations

import hashlib
import html
import inspect
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bequest.data.arrays import inputs_of, labels_of
from bequest.data.checks import UNLABELLED, faults_of, input_faults, name_faults, normalised
from bequest.data.dealing import in_tenths
from bequest.data.rows import LazyRows, blocks_of, rows_at
from bequest.data.rows.items import READERS
from bequest.data.text.tokenizer import Tokenizer
from bequest.data.torch_items import Unlabelled, items_of
from bequest.errors import BequestError, DataError, UnknownName
from bequest.registry import Registry, unknown

__all__ = [
    "DATASETS",
    "UNLABELLED",
    "Dataset",
    "Split",
    "as_dataset",
    "as_pool",
    "checked",
    "from_arrays",
    "load_dataset",
    "located",
]

PAIR = 2
SHOWN = 8


@dataclass(frozen=True, repr=False)
class Split:
    """Samples in a fixed order.

    Attributes:
        x: Inputs, (N, ...): float32 (images in [0, 1], vectors) or int64 (tokens).
        y: Class indices, int64 (N,) or (N, L); None for an unlabelled pool.
        ids: int64 (N,), unique in the split.
        about: Other properties of the samples, by name, (N,) each; results can be grouped by them.
    """

    x: Tensor
    y: Tensor | None
    ids: Tensor
    about: Mapping[str, Tensor] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        labels = "unlabelled" if self.y is None else "labelled"
        return f"Split({len(self):,} samples of {tuple(self.x.shape[1:])}, {labels})"

    def take(self, rows: Tensor) -> Split:
        """The samples at ``rows``."""
        about = {name: values[rows] for name, values in self.about.items()}
        y = None if self.y is None else self.y[rows]
        return Split(rows_at(self.x, rows), y, self.ids[rows], about)

    def unlabelled(self) -> Split:
        """The same samples without their labels."""
        return replace(self, y=None)

    @cached_property
    def digest(self) -> str:
        """SHA-256 over ids, inputs, labels and ``about``.

        Lazy rows enter by the digests of their rows.
        """
        state = hashlib.sha256()
        for part in (self.ids, self.x, self.y, *(self.about[name] for name in sorted(self.about))):
            if part is None:
                continue
            state.update(f"{part.dtype}{tuple(part.shape)}".encode())
            if isinstance(part, LazyRows):
                state.update(part.digests())
                continue
            for rows in blocks_of(part):
                state.update(np.ascontiguousarray(rows.cpu().numpy()).tobytes())
        return state.hexdigest()


@dataclass(frozen=True, repr=False)
class Dataset:
    """Named splits that share one label space; ``train`` is one of them.

    Attributes:
        name: The catalogue's name, or the user's.
        splits: Split names to samples.
        classes: Class names, in the order of the indices.
        notes: Remarks on the data for a reader of results.
        vocabulary: Word forms in the order of the tokens' ids; empty if inputs are not tokens.
        padding: The padding token.
        separator: The token that ends each text of a pair; None if inputs are not pairs.
        tokenizer: The tokenizer of the tokens, if they come from text.
        masked: Whether the labels of tokens are masked tokens instead of the next tokens.
    """

    name: str
    splits: Mapping[str, Split]
    classes: tuple[str, ...]
    notes: tuple[str, ...] = field(default=())
    vocabulary: tuple[str, ...] = field(default=())
    padding: int | None = None
    separator: int | None = None
    tokenizer: Tokenizer | None = None
    masked: bool = False

    def __repr__(self) -> str:
        sizes = ", ".join(f"{name} {len(split):,}" for name, split in self.splits.items())
        shape = self.input_shape if "train" in self.splits else "nothing"
        return f"Dataset({self.name}: {len(self.classes)} classes of {shape}; {sizes})"

    def _repr_html_(self) -> str:
        """HTML for a notebook: name, classes, and the size of each split."""
        classes = ", ".join(self.classes[:SHOWN]) + (" ..." if len(self.classes) > SHOWN else "")
        rows = [
            ("data", self.name),
            (f"{len(self.classes)} classes", classes),
            ("one input", str(self.input_shape)),
            *((name, f"{len(split):,} samples") for name, split in self.splits.items()),
            *(("note", note) for note in self.notes),
        ]
        cells = "".join(f"<tr><th>{html.escape(k)}</th><td>{html.escape(v)}</td></tr>" for k, v in rows)
        return f"<table>{cells}</table>"

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
        """True if each position of a sequence has a label of its own: the next token, or the one masked."""
        labels = self["train"].y
        return labels is not None and labels.ndim > 1

    @property
    def task(self) -> str:
        """The task of a network for tokens: ``classify``, ``next_token`` or ``masked_token``."""
        if not self.next_token:
            return "classify"
        return "masked_token" if self.masked else "next_token"

    @cached_property
    def digest(self) -> str:
        """SHA-256 over every split."""
        parts = [f"{name}:{split.digest}" for name, split in sorted(self.splits.items())]
        names = [*parts, *self.classes, *self.vocabulary]
        return hashlib.sha256("\n".join(names).encode()).hexdigest()

    def with_splits(self, more: Mapping[str, Split]) -> Dataset:
        """The same data with further splits.

        Raises:
            DataError: If a name cannot name a split: it becomes part of file names.
        """
        faults = [fault for name in more for fault in name_faults(name)]
        if faults:
            raise DataError(
                "a split's name cannot be a file name", got="; ".join(faults), remedy="rename the split"
            )
        return replace(self, splits={**self.splits, **more})


DATASETS: Registry[Callable[..., Dataset]] = Registry("dataset")


def load_dataset(name: str, **options: Any) -> Dataset:
    """Load a dataset of the catalogue (``bequest ls datasets``), checked.

    >>> digits = load_dataset("digits")
    >>> digits.input_shape, len(digits["train"]), len(digits.classes)
    ((1, 12, 12), 1297, 10)

    ``folder:PATH`` and ``csv:FILE`` are users' images; see :mod:`bequest.data.folders`.

    Raises:
        UnknownName: If the catalogue has no such dataset.
        DataError: If its files are absent or damaged, or it has no such option.
    """
    family, place = located(name)
    if family not in DATASETS:
        raise _unknown_dataset(name, family)
    factory = DATASETS[family]
    try:
        inspect.signature(factory).bind(**place, **options)
    except TypeError as error:
        accepted = ", ".join(inspect.signature(factory).parameters)
        raise DataError(
            f"wrong options for the dataset {family!r}: {str(error).removeprefix('got ')}",
            expected=f"options of {accepted}",
        ) from None
    return checked(_made(factory, {**place, **options}, name=family))


def _made(factory: Callable[..., Dataset], options: dict[str, Any], *, name: str) -> Dataset:
    """The dataset; an exception of a user's function becomes a message that names its line."""
    if DATASETS.origin(name) is None:
        return factory(**options)
    try:
        return factory(**options)
    except (BequestError, MemoryError):
        raise
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        raise DataError(
            f"the function that makes the dataset {name!r} fails",
            got=f"{type(error).__name__}: {error} ({place.filename}, line {place.lineno})",
            remedy="fix that function, then run the same command again",
        ) from error


def _unknown_dataset(name: str, family: str) -> UnknownName:
    error = unknown("dataset", family, DATASETS)
    kind = Path(family).suffix.lstrip(".") or "folder"
    if kind in DATASETS and ("." in family or "/" in family):
        error.remedy = f"say what kind of data a path holds: {kind}:{name}"
    return error


def located(name: str) -> tuple[str, dict[str, str]]:
    """The catalogue's name in ``name``, and the path after the colon, if there is one.

    >>> located("folder:photos"), located("digits")
    (('folder', {'path': 'photos'}), ('digits', {}))
    """
    family, colon, path = name.partition(":")
    return family, {"path": path} if colon else {}


def as_dataset(
    data: Dataset | str | Any,
    *,
    validation: Any = None,
    test: Any = None,
    seed: int = 0,
    frozen: bool = False,
    readers: int = READERS,
) -> Dataset:
    """The :class:`Dataset` from any form of data that a user may give.

    Args:
        data: A Dataset, a catalogue name, a pair ``(x, y)`` of arrays, or a map-style
            ``torch.utils.data.Dataset`` of ``(x, y)`` pairs. Of the last two, a tenth each becomes validation
            and test unless given, stratified by class; ids are the row numbers. Inputs of type uint8 are
            pixels and become [0, 1], other integers are tokens.
        validation: The validation split: ``(x, y)``, a torch Dataset or a Split.
        test: The test split, in the same forms.
        seed: Seeds the splits.
        frozen: Read each item of a torch Dataset once, although its transform is random.
        readers: Processes that read a torch Dataset's items during training, if these would take more than
            256 MiB of memory; 0 to read in this process.

    Raises:
        DataError: If it is none of these, or its content is wrong; lists every fault.
    """
    extra = {name: value for name, value in (("validation", validation), ("test", test)) if value is not None}
    if isinstance(data, Dataset | str):
        dataset = checked(data) if isinstance(data, Dataset) else load_dataset(data)
        if not extra:
            return dataset
        first = 1 + max(int(split.ids.max()) for split in dataset.splits.values())
        for name, value in extra.items():
            dataset = dataset.with_splits({name: _split_of(value, first, frozen=frozen, readers=readers)})
            first += len(dataset[name])
        return checked(dataset)
    if not (isinstance(data, tuple | list) and len(data) == PAIR):
        data = items_of(data, frozen=frozen, readers=readers)
    splits = {name: _split_of(value, 0, frozen=frozen, readers=readers) for name, value in extra.items()}
    x, y = data
    return checked(from_arrays(x, y, validation=splits.get("validation"), test=splits.get("test"), seed=seed))


def as_pool(pool: Any) -> Split:
    """Unlabelled inputs, as a :class:`Split` without labels; ids of arrays and torch Datasets count rows."""
    pool = load_dataset(pool) if isinstance(pool, str) else pool
    if isinstance(pool, Split):
        return pool.unlabelled()
    if isinstance(pool, Dataset):
        return pool["train"].unlabelled()
    x = items_of(Unlabelled(pool))[0] if isinstance(pool, torch.utils.data.Dataset) else inputs_of(pool)
    faults = input_faults(x)
    if faults:
        raise DataError("the query pool is wrong: " + "; ".join(faults))
    return Split(x, None, torch.arange(len(x)))


def checked(data: Dataset) -> Dataset:
    """``data`` with inputs, labels and ids in the library's types, if nothing is wrong with it.

    Raises:
        DataError: Lists every fault: NaN, labels out of range, an empty class, repeated ids ...
    """
    data = normalised(data)
    faults = faults_of(data)
    if faults:
        raise DataError(
            f"the data {data.name!r} cannot be used:\n" + "\n".join(f"  - {fault}" for fault in faults),
            remedy="fix the data; bequest never drops samples by itself",
        )
    return data


def from_arrays(
    x: Any,
    y: Any,
    *,
    validation: Any = None,
    test: Any = None,
    seed: int = 0,
    name: str = "arrays",
    classes: Sequence[str] = (),
) -> Dataset:
    """A Dataset of arrays; missing splits are taken from the training samples, a tenth each.

    Ids are row numbers; those of a given validation or test split continue after the others.

    Args:
        x: Inputs; see :func:`bequest.data.arrays.inputs_of`.
        y: Class indices; see :func:`bequest.data.arrays.labels_of`.
        validation: ``(x, y)``, a torch Dataset or a Split; None: taken from the training samples.
        test: As ``validation``.
        seed: Seeds the splits.
        name: Of the dataset.
        classes: Class names in the order of the indices; default: the indices.

    Raises:
        DataError: If the arrays cannot be used; says why.
    """
    train = _split_of((x, y), 0)
    if train.y is None or train.y.ndim != 1:
        raise DataError("the arrays cannot be used as data: y: expected one label per sample (N,)")
    provided: dict[str, Split] = {}
    first = len(train)
    for split, value in (("validation", validation), ("test", test)):
        if value is not None:
            provided[split] = _split_of(value, first)
            first += len(provided[split])
    names = tuple(str(each) for each in classes) or _class_names([train, *provided.values()])
    missing = tuple(split for split in ("validation", "test") if split not in provided)
    splits = {split: train.take(rows) for split, rows in in_tenths(train.y, missing, seed=seed).items()}
    if not missing:
        splits = {"train": train}  # not even copied: it may be a memory map
    ordered = {**splits, **provided}
    return Dataset(name, {split: ordered[split] for split in ("train", "validation", "test")}, names)


def _split_of(value: Any, first: int, *, frozen: bool = False, readers: int = READERS) -> Split:
    """Samples whose ids count from ``first``: a Split, an ``(x, y)`` pair, or a torch Dataset."""
    if isinstance(value, Split):
        return replace(value, ids=torch.arange(first, first + len(value)))
    if not (isinstance(value, tuple | list) and len(value) == PAIR):
        value = items_of(value, frozen=frozen, readers=readers)
    inputs, labels = inputs_of(value[0]), labels_of(value[1])
    faults = []
    if len(labels) != len(inputs):
        faults.append(f"x has {len(inputs)} rows and y has {len(labels)}")
    if len(labels) and int(labels.min()) < 0:
        faults.append(f"y: labels must start at 0, got {int(labels.min())}")
    if not len(inputs):
        faults.append("no samples")
    if faults:
        raise DataError("the arrays cannot be used as data: " + "; ".join(faults))
    return Split(inputs, labels, torch.arange(first, first + len(inputs)))


def _class_names(splits: Sequence[Split]) -> tuple[str, ...]:
    """Names of the classes 0..C-1; labels so high that most classes would be empty are refused."""
    labels = [split.y for split in splits if split.y is not None]
    highest, rows = max(int(y.max()) for y in labels), sum(y.numel() for y in labels)
    if highest >= rows:
        used = sorted({int(label) for y in labels for label in torch.unique(y)[:SHOWN]})
        raise DataError(
            f"the arrays cannot be used as data: labels go up to {highest:,} in {rows:,} samples",
            expected="classes 0..C-1, each with a sample",
            got=", ".join(map(str, used[:SHOWN])) + " ...",
            remedy="number the classes without gaps: classes, y = np.unique(y, return_inverse=True)",
        )
    return tuple(str(k) for k in range(highest + 1))
