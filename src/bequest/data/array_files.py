"""Users' arrays in files: ``npz:FILE``, ``npy:FOLDER`` and ``idx:FOLDER``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import Field

from bequest.config import Config
from bequest.data.arrays import inputs_of, labels_of
from bequest.data.compressed import npz_names, read_npz
from bequest.data.datasets import DATASETS, Dataset, Split
from bequest.data.dealing import by_shares
from bequest.data.folders import existing
from bequest.data.idx import read_idx
from bequest.data.image_lists import NAMES
from bequest.data.outline import SPLITS
from bequest.data.rows import room_for
from bequest.errors import DataError

WHOLE = ("x", "y")
IDX_PARTS = {"train": ("train",), "test": ("t10k", "test")}
IDX_KINDS = {"x": "images-idx3-ubyte", "y": "labels-idx1-ubyte"}


class ArrayOptions(Config):
    """How arrays in files become a dataset.

    Attributes:
        classes: Class names in the order of the labels; default: the labels.
        channels_last: Images are (N, H, W, C); they become (N, C, H, W).
        validation: Share of the training samples held out if there is no array for it.
        test: As ``validation``.
        seed: Seeds the splits.
    """

    classes: tuple[str, ...] = ()
    channels_last: bool = False
    validation: float = Field(0.1, gt=0, lt=1)
    test: float = Field(0.1, gt=0, lt=1)
    seed: int = 0


SPLITS.add("npz", lambda **_: tuple(NAMES))
SPLITS.add("npy", lambda **_: tuple(NAMES))
SPLITS.add("idx", lambda **_: tuple(NAMES))


@DATASETS.register("npz")
def npz(*, path: str, **options: Any) -> Dataset:
    """Users' arrays in an .npz archive: ``npz:FILE``.

    Either ``x`` and ``y``, or ``x_train``, ``y_train`` and, if there are any, ``x_val``, ``y_val``,
    ``x_test``, ``y_test`` (any name of a split that folders may have). Inputs (N, ...): uint8 are pixels,
    other integers tokens, floats are used unchanged; labels (N,): class indices. Missing splits are taken
    from the training samples, stratified by class. Ids are row numbers, counted through train, validation
    and test.

    Args:
        path: The archive; relative to ``BEQUEST_DATA`` if it is not found from the current folder.
        **options: See :class:`ArrayOptions`.

    Raises:
        DataError: If the archive is damaged or lacks arrays, or they cannot be used.
        ConfigError: If an option is unknown or not possible.
    """
    chosen = ArrayOptions.parse(options, f"npz:{path}")
    file = existing(path)
    keys = _keys(npz_names(file), file)
    arrays = read_npz(file, [key for pair in keys.values() for key in pair])
    pairs = {split: (arrays[x], arrays[y]) for split, (x, y) in keys.items()}
    return from_pairs(f"npz:{path}", pairs, chosen)


@DATASETS.register("npy")
def npy(*, path: str, **options: Any) -> Dataset:
    """Users' arrays in a folder of .npy files, used as memory maps: ``npy:FOLDER``.

    The files have the names of ``npz``'s arrays (``x.npy``, ``y_train.npy`` ...). float32 and int64 inputs
    are never read into memory as a whole if validation and test have files of their own.

    Args:
        path: The folder; relative to ``BEQUEST_DATA`` if it is not found from the current folder.
        **options: See :class:`ArrayOptions`.

    Raises:
        DataError: If a file is damaged or absent, or the arrays cannot be used.
        ConfigError: If an option is unknown or not possible.
    """
    chosen = ArrayOptions.parse(options, f"npy:{path}")
    folder = existing(path)
    keys = _keys([file.stem for file in sorted(folder.glob("*.npy"))], folder)
    pairs = {
        split: (_mapped(folder / f"{x}.npy"), _mapped(folder / f"{y}.npy")) for split, (x, y) in keys.items()
    }
    return from_pairs(f"npy:{path}", pairs, chosen)


@DATASETS.register("idx")
def idx_folder(*, path: str, prefix: str = "", **options: Any) -> Dataset:
    """Any set in MNIST's format: ``idx:FOLDER`` with ``train-images-idx3-ubyte`` and the three others.

    Files are plain or .gz; test files are called ``t10k-...`` or ``test-...``. Labels need not begin at 0
    (EMNIST's letters are 1..26): a class is named after its label. Ids are rows of the training file; test
    ids continue from there.

    Args:
        path: The folder; relative to ``BEQUEST_DATA`` if it is not found from the current folder.
        prefix: Prefix of the files' names, if a folder holds several sets (``emnist-letters-``).
        **options: See :class:`ArrayOptions`.

    Raises:
        DataError: If a file is absent or damaged, or the arrays cannot be used.
        ConfigError: If an option is unknown or not possible.
    """
    chosen = ArrayOptions.parse(options, f"idx:{path}")
    folder = existing(path)
    pairs = {}
    for split, parts in IDX_PARTS.items():
        files = [_idx_file(folder, prefix, parts, kind) for kind in IDX_KINDS.values()]
        if split == "train" or all(files):
            absent = [kind for kind, file in zip(IDX_KINDS.values(), files, strict=True) if file is None]
            if absent:
                raise DataError(
                    f"{folder} lacks IDX files",
                    expected=", ".join(f"{prefix}train-{kind} (plain or .gz)" for kind in absent),
                    remedy="set prefix = ... to what the file names begin with",
                )
            pairs[split] = tuple(read_idx(file) for file in files if file is not None)
    # Labels need not count from 0: EMNIST's letters are 1 to 26.
    numbers = np.unique(np.concatenate([y for _, y in pairs.values()]))
    if not chosen.classes:
        chosen = chosen.model_copy(update={"classes": tuple(str(number) for number in numbers.tolist())})
    counted = {split: (x, np.searchsorted(numbers, y)) for split, (x, y) in pairs.items()}
    return from_pairs(f"idx:{path}", counted, chosen)


def from_pairs(name: str, pairs: Mapping[str, tuple[Any, Any]], options: ArrayOptions) -> Dataset:
    """A Dataset of inputs and labels by split; a missing ``validation`` or ``test`` is taken from ``train``.

    Raises:
        DataError: If the arrays cannot be used.
    """
    splits: dict[str, Split] = {}
    first = 0
    # For all splits together: either all are held in memory or none.
    room = room_for(4 * np.size(x) for x, _ in pairs.values())
    for split in (each for each in NAMES if each in pairs):
        x, y = pairs[split]
        if options.channels_last and np.ndim(x) == 4:
            x = np.moveaxis(np.asarray(x), -1, 1)
        inputs, labels = inputs_of(x, room=room), labels_of(y, where=f"{split}: labels")
        if len(inputs) != len(labels) or not len(inputs):
            raise DataError(
                f"{split}: x and y need the same number of rows, at least one",
                got=f"{len(inputs)} inputs and {len(labels)} labels",
            )
        if int(labels.min()) < 0:
            raise DataError(f"{split}: labels must start at 0", got=int(labels.min()))
        splits[split] = Split(inputs, labels, torch.arange(first, first + len(inputs)))
        first += len(inputs)
    names = options.classes or _numbers(splits)
    shares = {"validation": options.validation, "test": options.test}
    missing = {split: share for split, share in shares.items() if split not in splits}
    train = splits["train"]
    if missing and train.y is not None:
        if train.y.ndim != 1:
            raise DataError(
                "multi-label samples cannot be split by class", remedy="give validation and test arrays"
            )
        dealt = by_shares(train.y, missing, seed=options.seed)
        splits |= {split: train.take(rows) for split, rows in dealt.items()}
    return Dataset(name, {split: splits[split] for split in NAMES}, names)


def _numbers(splits: Mapping[str, Split]) -> tuple[str, ...]:
    """The names 0..C-1; labels so high that most classes would be empty are refused."""
    labels = [split.y for split in splits.values() if split.y is not None]
    highest, rows = max(int(y.max()) for y in labels), sum(y.numel() for y in labels)
    if highest >= rows:
        raise DataError(
            f"labels go up to {highest:,} in {rows:,} samples",
            expected="classes 0..C-1, each with a sample",
            remedy="number the classes without gaps: classes, y = np.unique(y, return_inverse=True)",
        )
    return tuple(str(number) for number in range(highest + 1))


def _keys(names: Sequence[str], where: Path) -> dict[str, tuple[str, str]]:
    """The names of inputs and labels by split."""
    keys: dict[str, tuple[str, str]] = {}
    for split, words in NAMES.items():
        for word in words:
            pair = (f"x_{word}", f"y_{word}")
            if set(pair) <= set(names):
                # The first of the usual names wins, should there be several.
                keys.setdefault(split, pair)
    if "train" not in keys and set(WHOLE) <= set(names):
        keys["train"] = WHOLE
    if "train" not in keys:
        raise DataError(
            f"{where} lacks arrays",
            expected="x and y, or x_train and y_train (and x_val, y_val, x_test, y_test)",
            got=", ".join(sorted(names)) or "none",
        )
    return keys


def _mapped(path: Path) -> np.ndarray:
    try:
        array: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
        return array
    except Exception as error:  # NumPy raises a dozen types on damaged files
        raise DataError(
            f"{path} cannot be read", expected="an array of numbers in NumPy's format", got=error
        ) from error


def _idx_file(folder: Path, prefix: str, parts: Sequence[str], kind: str) -> Path | None:
    """The file of one part and kind, under any of its usual names."""
    names = (
        f"{prefix}{part}-{form}{end}"
        for part in parts
        for form in (kind, kind.replace("-idx", ".idx"))
        for end in ("", ".gz")
    )
    return next((folder / name for name in names if (folder / name).is_file()), None)
