"""MNIST (LeCun et al. 1998) from local files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bequest.data.compressed import read_npz
from bequest.data.datasets import DATASETS, Dataset, Split
from bequest.data.dealing import stratified
from bequest.data.idx import idx_bytes, read_idx
from bequest.data.outline import OUTLINES, SPLITS, Outline, held_out
from bequest.data.sources import MNIST_FILES, PLACES, READERS, DataSource, data_root
from bequest.errors import DataError

CLASSES = tuple("0123456789")
ARRAYS = ("x_train", "y_train", "x_test", "y_test")
FOLDERS = ("vision/mnist", "mnist", "MNIST/raw", ".")
ARCHIVES = ("vision/mnist.npz", "mnist.npz")
SIDE = 28
TRAINING, TEST = 60_000, 10_000


@OUTLINES.register("mnist")
def _outline(
    *, root: str | None = None, validation: int = 5000, train: int | None = None, test: int | None = None
) -> Outline:
    del root, test
    return Outline((1, SIDE, SIDE), "float32", len(CLASSES), train or TRAINING - validation)


SPLITS.add("mnist", held_out)


@DATASETS.register("mnist")
def mnist(
    *, root: str | None = None, validation: int = 5000, train: int | None = None, test: int | None = None
) -> Dataset:
    """MNIST: 28×28 grey handwritten digits in [0, 1], 10 classes.

    60,000 training images, of which ``validation`` are held out (stratified, always the same), and 10,000
    test images. Ids are rows of the training array; test ids continue from 60,000. Subsets are stratified and
    always the same; the held-out images do not depend on the number of training images.

    Args:
        root: A folder with the four IDX files (plain or .gz; in it, or in ``vision/mnist``, ``mnist`` or
            ``MNIST/raw``) or with ``mnist.npz`` (x_train (N, 28, 28) uint8, y_train, x_test, y_test), or
            that archive itself; default: the environment's ``BEQUEST_DATA``.
        validation: Number of training images held out; 0 for no validation split.
        train: Number of training images used; None for all that are not held out.
        test: Number of test images used; None for all.

    Raises:
        DataError: If the files are absent or not what they should be.
    """
    arrays = read_mnist(Path(root) if root is not None else data_root())
    labels = torch.from_numpy(arrays["y_train"].astype(np.int64))
    wanted = len(labels) - validation if train is None else train
    rest = len(labels) - validation - wanted
    if min(validation, rest) < 0 or wanted < 1:
        raise DataError(
            "more training images are asked for than MNIST has",
            expected=f"validation + train within 1..{len(labels)}",
            got=f"validation {validation}, train {wanted}",
        )
    rows = stratified(labels, {"validation": validation, "train": wanted, "rest": rest}, seed=0)
    splits = {name: _split(arrays, "train", rows[name], 0) for name in ("train", "validation")}
    splits["test"] = _split(arrays, "test", _first(arrays["y_test"], test), len(labels))
    return Dataset("mnist", {name: split for name, split in splits.items() if len(split)}, CLASSES)


def read_mnist(root: Path) -> dict[str, np.ndarray]:
    """The four arrays (x_train, y_train, x_test, y_test) of the file set in ``root``, uint8.

    Raises:
        DataError: If there is none, or it is not what it should be.
    """
    archives = [path for path in (root, *(root / name for name in ARCHIVES)) if path.is_file()]
    folders = [root / name for name in FOLDERS]
    for folder in folders:
        files = [_file(folder, name) for name in MNIST_FILES]
        if all(files):
            arrays = [read_idx(path) for path in files if path is not None]
            return _checked(dict(zip(ARRAYS, arrays, strict=True)), folder)
    if archives:
        return _checked(read_npz(archives[0], ARRAYS), archives[0])
    raise DataError(
        "MNIST was not found",
        expected=f"{', '.join(MNIST_FILES)} (plain or .gz) in {root / FOLDERS[0]}, or {root / ARCHIVES[0]}",
        remedy="`bequest data fetch mnist` downloads it, `bequest data import mnist PATH` imports yours; "
        "BEQUEST_DATA names another folder",
    )


def _files(source: DataSource, path: Path) -> dict[str, bytes]:
    """The published files, from any form that :func:`read_mnist` reads."""
    del source
    arrays = read_mnist(path)
    return {name: idx_bytes(arrays[key]) for name, key in zip(MNIST_FILES, ARRAYS, strict=True)}


READERS["mnist"] = _files


def _spellings(name: str) -> list[str]:
    """The usual names of a file of the set."""
    # Some copies of the set have a dot before "idx".
    return [f"{stem}{end}" for stem in (name, name.replace("-idx", ".idx")) for end in ("", ".gz")]


@PLACES.register("mnist")
def _places(**_: Any) -> tuple[str, ...]:
    spellings = [file for name in MNIST_FILES for file in _spellings(name)]
    return (*(f"{folder}/{file}" for folder in FOLDERS for file in spellings), *ARCHIVES)


def _file(folder: Path, name: str) -> Path | None:
    """The file ``name`` in ``folder``, under any of its usual names."""
    return next((path for file in _spellings(name) if (path := folder / file).is_file()), None)


def _checked(arrays: dict[str, np.ndarray], where: Path) -> dict[str, np.ndarray]:
    """``arrays``, if they are images of one size with a label each."""
    for part in ("train", "test"):
        x, y = arrays[f"x_{part}"], arrays[f"y_{part}"]
        if x.dtype != np.uint8 or x.shape[1:] != (SIDE, SIDE) or y.shape != x.shape[:1]:
            raise DataError(
                f"{where} has the wrong type or shape: {part}",
                expected=f"uint8 (N, {SIDE}, {SIDE}) with N labels",
                got=f"{x.dtype} {x.shape} with labels {y.shape}",
            )
    return arrays


def _split(arrays: dict[str, np.ndarray], part: str, rows: Tensor, first: int) -> Split:
    pixels = torch.from_numpy(np.ascontiguousarray(arrays[f"x_{part}"][rows.numpy()]))[:, None]
    labels = torch.from_numpy(arrays[f"y_{part}"][rows.numpy()].astype(np.int64))
    return Split(pixels.float().div_(255), labels, rows + first)


def _first(labels: np.ndarray, count: int | None) -> Tensor:
    """The rows of ``count`` test images with the classes in the data's proportions; None for all."""
    if count is None:
        return torch.arange(len(labels))
    if not 0 < count <= len(labels):
        raise DataError(
            "more test images are asked for than MNIST has", expected=f"1..{len(labels)}", got=count
        )
    sizes = {"used": count, "rest": len(labels) - count}
    # A fixed seed: scores are compared, so everyone must be tested on the same images.
    return stratified(torch.from_numpy(labels.astype(np.int64)), sizes, seed=0)["used"]
