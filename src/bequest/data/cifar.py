"""CIFAR-10 and CIFAR-100 (Krizhevsky 2009) from local files."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from torch.nn.functional import avg_pool2d

from bequest.data.compressed import read_npz
from bequest.data.datasets import DATASETS, Dataset, Split
from bequest.data.dealing import stratified
from bequest.data.outline import SPLITS, held_out
from bequest.data.sources import PLACES, data_root
from bequest.errors import DataError

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
ARRAYS = ("x_train", "y_train", "x_test", "y_test")
SIDE = 32
NPZ = "vision/cifar10.npz"
BATCHES = "vision/cifar-10-batches-py"
PYTHON_100 = "vision/cifar-100-python"
PLACES.add("cifar10", lambda **_: (NPZ, BATCHES))
PLACES.add("cifar100", lambda **_: (PYTHON_100,))
SPLITS.add("cifar10", held_out)
SPLITS.add("cifar100", held_out)
T = TypeVar("T")
HARMLESS = {
    # Pickles name NumPy's internal module, which became numpy._core in version 2.
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    # Python 3 pickles bytes this way in the protocols that Python 2 can read.
    ("_codecs", "encode"),
}
"""The globals that a pickled array needs; a batch file may use no others."""


@DATASETS.register("cifar10")
def cifar10(
    *,
    root: str | None = None,
    validation: int = 5000,
    train: int | None = None,
    test: int | None = None,
    side: int = SIDE,
) -> Dataset:
    """CIFAR-10: 32×32 colour images in [0, 1] in 10 classes.

    50,000 training images, of which ``validation`` are held out (stratified, always the same), and 10,000
    test images. Ids are rows of the training array; test ids continue from 50,000.

    Args:
        root: A folder with ``vision/cifar10.npz`` (x_train (N, 32, 32, 3) uint8, y_train, x_test, y_test) or
            ``vision/cifar-10-batches-py``; default: the environment's ``BEQUEST_DATA``.
        validation: Number of training images held out; 0 for no validation split.
        train: Number of the others to keep, stratified and always the same; default: all.
        test: Number of test images to keep, stratified and always the same; default: all.
        side: Side of the images: 32, or a divisor of it, for which squares of pixels are averaged.

    Raises:
        DataError: If the files are absent or not what they should be.
    """
    folder = Path(root) if root is not None else data_root()
    whole = _whole("CIFAR-10", _arrays(folder), side)
    return Dataset("cifar10", _splits(whole, validation, train, test), CLASSES)


@DATASETS.register("cifar100")
def cifar100(
    *,
    root: str | None = None,
    labels: Literal["fine", "coarse"] = "fine",
    validation: int = 5000,
    train: int | None = None,
    test: int | None = None,
    side: int = SIDE,
) -> Dataset:
    """CIFAR-100: 32×32 colour images in [0, 1] in 100 classes of 20 kinds; else as :func:`cifar10`.

    Args:
        root: A folder with ``vision/cifar-100-python``, whose files are ``train``, ``test`` and ``meta``;
            default: the environment's ``BEQUEST_DATA``.
        labels: ``fine``: the 100 classes; ``coarse``: the 20 kinds.
        validation: Number of training images held out; 0 for no validation split.
        train: Number of the others to keep, stratified and always the same; default: all.
        test: Number of test images to keep, stratified and always the same; default: all.
        side: 32, or a divisor of it.

    Raises:
        DataError: If the files are absent or not what they should be.
    """
    folder = (Path(root) if root is not None else data_root()) / PYTHON_100
    if not folder.is_dir():
        raise DataError(
            "CIFAR-100 was not found",
            expected=str(folder),
            remedy="unpack the archive of Python batches there, or set BEQUEST_DATA to another folder",
        )
    key = f"{labels}_labels".encode()
    arrays = dict(zip(ARRAYS, (*_batch(folder / "train", key), *_batch(folder / "test", key)), strict=True))
    names = _read(folder / "meta", lambda content: [str(n, "utf-8") for n in content[_names(labels)]])
    whole = _whole("CIFAR-100", arrays, side)
    return Dataset("cifar100", _splits(whole, validation, train, test), tuple(names))


def _arrays(root: Path) -> dict[str, np.ndarray]:
    if (root / NPZ).exists():
        return read_npz(root / NPZ, ARRAYS)
    if (root / BATCHES).is_dir():
        return _from_batches(root / BATCHES)
    raise DataError(
        "CIFAR-10 was not found",
        expected=f"{NPZ} or {BATCHES} in {root}",
        remedy="put the archive of Python batches, unpacked, or an npz with x_train, y_train, x_test, y_test "
        "there; BEQUEST_DATA names another folder",
    )


def _from_batches(folder: Path) -> dict[str, np.ndarray]:
    parts = [_batch(folder / f"data_batch_{k}") for k in range(1, 6)]
    test = _batch(folder / "test_batch")
    train = [np.concatenate([part[k] for part in parts]) for k in (0, 1)]
    return dict(zip(ARRAYS, (*train, *test), strict=True))


def _batch(path: Path, labels: bytes = b"labels") -> tuple[np.ndarray, np.ndarray]:
    def arrays(content: dict[bytes, Any]) -> tuple[np.ndarray, np.ndarray]:
        pixels = np.asarray(content[b"data"], np.uint8).reshape(-1, 3, SIDE, SIDE)
        return pixels.transpose(0, 2, 3, 1), np.asarray(content[labels], np.int64)

    return _read(path, arrays)


def _names(labels: str) -> bytes:
    return f"{labels}_label_names".encode()


def _read(path: Path, taken: Callable[[dict[bytes, Any]], T]) -> T:
    """The result of ``taken`` for the dictionary pickled in a file."""
    try:
        with path.open("rb") as file:
            return taken(_ArraysOnly(file, encoding="bytes").load())
    except Exception as error:  # a damaged pickle raises whatever the broken instruction does
        raise DataError(
            f"{path} is not a CIFAR batch",
            got=error or type(error).__name__,
            remedy="unpack the archive again",
        ) from error


class _ArraysOnly(pickle.Unpickler):
    """Unpickles arrays, and refuses everything else that a pickle could call."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in HARMLESS:
            raise pickle.UnpicklingError(f"{module}.{name} is not allowed in a batch of images")
        return super().find_class(module, name)


def _whole(name: str, arrays: dict[str, np.ndarray], side: int) -> tuple[Split, Split]:
    """Training and test images, ids counted through both."""
    if side < 1 or SIDE % side:
        raise DataError(f"{name} cannot be shown at this size", expected=f"a divisor of {SIDE}", got=side)
    x_train, y_train = _tensors(name, arrays, "train", side)
    x_test, y_test = _tensors(name, arrays, "test", side)
    count = len(x_train)
    test = Split(x_test, y_test, torch.arange(count, count + len(x_test)))
    return Split(x_train, y_train, torch.arange(count)), test


def _splits(
    whole: tuple[Split, Split], validation: int, train: int | None, test: int | None
) -> dict[str, Split]:
    """The splits; validation images are taken first, so that they do not depend on ``train`` and ``test``."""
    samples, count = whole[0], len(whole[0])
    if not 0 <= validation < count or samples.y is None:
        raise DataError(
            "too many images for validation",
            expected=f"0..{count - 1}",
            got=validation,
        )
    splits = {"train": samples}
    if validation:
        rows = stratified(samples.y, {"train": count - validation, "validation": validation}, seed=0)
        splits = {name: samples.take(row) for name, row in rows.items()}
    return {**splits, "train": _some(splits["train"], train), "test": _some(whole[1], test)}


def _some(split: Split, count: int | None) -> Split:
    """``count`` samples, stratified and always the same."""
    if count is None or split.y is None:
        return split
    if not 0 < count <= len(split):
        raise DataError("more images are asked for than there are", expected=f"1..{len(split)}", got=count)
    return split.take(stratified(split.y, {"kept": count, "left": len(split) - count}, seed=0)["kept"])


def _tensors(
    data: str, arrays: dict[str, np.ndarray], name: str, side: int
) -> tuple[torch.Tensor, torch.Tensor]:
    x, y = arrays[f"x_{name}"], arrays[f"y_{name}"].reshape(-1)
    if x.dtype != np.uint8 or x.ndim != 4 or x.shape[3] != 3 or len(x) != len(y):
        raise DataError(
            f"x_{name} of {data} has the wrong type or shape",
            expected=f"uint8 (N, {SIDE}, {SIDE}, 3) with N labels",
            got=f"{x.dtype} {x.shape} with {len(y)} labels",
        )
    pixels = torch.from_numpy(np.ascontiguousarray(x.transpose(0, 3, 1, 2))).float().div_(255)
    if side < SIDE:
        pixels = avg_pool2d(pixels, SIDE // side)
    return pixels, torch.from_numpy(y.astype(np.int64))
