"""CIFAR-10 (Krizhevsky 2009) from the files that its users have."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch

from bequest.data.datasets import DATASETS, Dataset, Split, stratified
from bequest.data.sources import data_root
from bequest.errors import DataError

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
ARRAYS = ("x_train", "y_train", "x_test", "y_test")
SIDE = 32
NPZ = "vision/cifar10.npz"
BATCHES = "vision/cifar-10-batches-py"
HARMLESS = {
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("_codecs", "encode"),
}
"""What a pickled array needs; nothing else is loaded from a batch file."""


@DATASETS.register("cifar10")
def cifar10(*, root: str | None = None, validation: int = 5000) -> Dataset:
    """CIFAR-10: 32×32 colour images in [0, 1] in 10 classes.

    50,000 training images, of which ``validation`` are held out (stratified, always the same), and 10,000
    test images. Ids are rows of the training array; test ids go on from 50,000.

    Args:
        root: A folder with ``vision/cifar10.npz`` (x_train (N, 32, 32, 3) uint8, y_train, x_test, y_test) or
            ``vision/cifar-10-batches-py``; default: the environment's ``BEQUEST_DATA``.
        validation: How many training images are held out; 0 for no validation split.

    Raises:
        DataError: If the files are absent or not what they should be.
    """
    arrays = _arrays(Path(root) if root is not None else data_root())
    x_train, y_train = _split(arrays, "train")
    x_test, y_test = _split(arrays, "test")
    count = len(x_train)
    if not 0 <= validation < count:
        raise DataError("cannot hold out so many images", expected=f"0..{count - 1}", got=validation)
    whole = Split(x_train, y_train, torch.arange(count))
    splits = {"train": whole}
    if validation:
        rows = stratified(y_train, {"train": count - validation, "validation": validation}, seed=0)
        splits = {name: whole.take(row) for name, row in rows.items()}
    splits["test"] = Split(x_test, y_test, torch.arange(count, count + len(x_test)))
    return Dataset("cifar10", splits, CLASSES)


def _arrays(root: Path) -> dict[str, np.ndarray]:
    if (root / NPZ).exists():
        return _from_npz(root / NPZ)
    if (root / BATCHES).is_dir():
        return _from_batches(root / BATCHES)
    raise DataError(
        "CIFAR-10 is not there",
        expected=f"{NPZ} or {BATCHES} in {root}",
        remedy="put the archive of Python batches, unpacked, or an npz with x_train, y_train, x_test, y_test "
        "there; BEQUEST_DATA names another folder",
    )


def _from_npz(path: Path) -> dict[str, np.ndarray]:
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            return {name: file[name] for name in ARRAYS}
    except (OSError, ValueError, EOFError, KeyError, BadZipFile) as error:
        raise DataError(f"{path} cannot be read", expected=", ".join(ARRAYS), got=error) from error


def _from_batches(folder: Path) -> dict[str, np.ndarray]:
    parts = [_batch(folder / f"data_batch_{k}") for k in range(1, 6)]
    test = _batch(folder / "test_batch")
    train = [np.concatenate([part[k] for part in parts]) for k in (0, 1)]
    return dict(zip(ARRAYS, (*train, *test), strict=True))


def _batch(path: Path) -> tuple[np.ndarray, np.ndarray]:
    try:
        with path.open("rb") as file:
            content = _ArraysOnly(file, encoding="bytes").load()
        pixels = np.asarray(content[b"data"], np.uint8).reshape(-1, 3, SIDE, SIDE)
        return pixels.transpose(0, 2, 3, 1), np.asarray(content[b"labels"], np.int64)
    except (OSError, pickle.UnpicklingError, EOFError, KeyError, ValueError, TypeError) as error:
        raise DataError(
            f"{path} is no CIFAR-10 batch", got=error, remedy="unpack the archive again"
        ) from error


class _ArraysOnly(pickle.Unpickler):
    """Reads pickled arrays, and refuses whatever else a pickle could call."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in HARMLESS:
            raise pickle.UnpicklingError(f"{module}.{name} has no place in a batch of images")
        return super().find_class(module, name)


def _split(arrays: dict[str, np.ndarray], name: str) -> tuple[torch.Tensor, torch.Tensor]:
    x, y = arrays[f"x_{name}"], arrays[f"y_{name}"].reshape(-1)
    if x.dtype != np.uint8 or x.ndim != 4 or x.shape[3] != 3 or len(x) != len(y):
        raise DataError(
            f"x_{name} of CIFAR-10 is not what it should be",
            expected=f"uint8 (N, {SIDE}, {SIDE}, 3) with N labels",
            got=f"{x.dtype} {x.shape} with {len(y)} labels",
        )
    pixels = torch.from_numpy(np.ascontiguousarray(x.transpose(0, 3, 1, 2)))
    return pixels.float().div_(255), torch.from_numpy(y.astype(np.int64))
