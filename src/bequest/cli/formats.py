"""Files of arrays as other programs save them: .npz .npy .csv .parquet .safetensors .pt."""

from __future__ import annotations

import csv
import pickle
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bequest.errors import DataError, MissingExtra

Arrays = dict[str, NDArray[Any]]

NAMELESS = ""
"""The name of an array in a file that holds one without a name."""

COLUMN = re.compile(r"(?P<name>.+?)(?:_|\.|\[)?(?P<place>\d+)\]?")
"""A column that is one place of an array: logits_0, logits.0, logits[0] or logits0."""

FORMATS = ".npz, .npy, .csv, .parquet, .safetensors or .pt"


def read_arrays(path: Path) -> Arrays:
    """Every array of a file by its name; columns NAME_0, NAME_1, … of a table are one array NAME (N, C).

    Nothing is unpickled: of a ``.pt`` file tensors, numbers and containers of them are read alone.

    Raises:
        DataError: If the file is absent, of an unknown kind, or cannot be read.
        MissingExtra: If pyarrow is needed and not installed.
    """
    reader = READERS.get(path.suffix.lower())
    if not path.exists():
        raise DataError(f"no such file: {path}", remedy="check the path")
    if path.is_dir() or reader is None:
        kind = "a folder" if path.is_dir() else path.suffix or "no suffix"
        raise DataError(f"{path} is not a file that can be measured", expected=FORMATS, got=kind)
    try:
        return reader(path)
    except (DataError, MissingExtra):
        raise
    except Exception as error:
        # Readers of six formats raise what they like on a damaged file: zlib, struct, csv, arrow, torch.
        text = str(error).strip().split("\n", 1)[0] or type(error).__name__
        raise DataError(f"{path} cannot be read", expected=FORMATS, got=text[:200]) from None


def _npz(path: Path) -> Arrays:
    if not zipfile.is_zipfile(path):
        raise DataError(
            f"{path} cannot be read", expected="an .npz file", got="not a zip archive, or a truncated one"
        )
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def _npy(path: Path) -> Arrays:
    return {NAMELESS: np.load(path, allow_pickle=False)}


def _csv(path: Path) -> Arrays:
    with path.open(newline="", encoding="utf-8-sig") as file:
        header, *rows = list(csv.reader(file))
    if not header or any(len(row) != len(header) for row in rows):
        raise DataError(f"{path} is not a table", expected="a header, and as many values in every row")
    return _gathered({name: _typed([row[k] for row in rows]) for k, name in enumerate(header)})


def _typed(texts: list[str]) -> NDArray[Any]:
    """Whole numbers, else numbers, else the texts themselves."""
    for kind in (np.int64, np.float64):
        try:
            return np.array(texts, dtype=str).astype(kind) if texts else np.zeros(0, dtype=kind)
        except (ValueError, OverflowError):
            continue
    return np.array(texts, dtype=str)


def _parquet(path: Path) -> Arrays:
    try:
        from pyarrow import parquet
    except ImportError:
        raise MissingExtra(
            "reading .parquet needs pyarrow", remedy="python -m pip install -c constraints.txt -e '.[tables]'"
        ) from None
    columns = {}
    for name, values in parquet.read_table(path).to_pydict().items():
        if any(value is None for value in values):
            raise DataError(f"{path}: the column {name!r} has empty cells", expected="a value in each row")
        columns[name] = np.array(values)
    return _gathered(columns)


def _safetensors(path: Path) -> Arrays:
    from safetensors.torch import load_file

    return {name: _numpy(tensor) for name, tensor in load_file(path).items()}


def _pt(path: Path) -> Arrays:
    import torch

    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise DataError(
            f"{path} holds more than tensors, and is not opened, because a pickle can run code",
            expected="a tensor, or a dict of them",
            got=_first_global(str(error)),
            remedy="save the arrays alone, such as torch.save({'logits': logits, 'labels': labels}, FILE)",
        ) from None
    if isinstance(content, torch.Tensor):
        return {NAMELESS: _numpy(content)}
    if not isinstance(content, dict):
        raise DataError(
            f"{path} holds no arrays", expected="a tensor, or a dict of them", got=type(content).__name__
        )
    return {
        str(name): _numpy(value) if isinstance(value, torch.Tensor) else np.asarray(value)
        for name, value in content.items()
        if isinstance(value, (torch.Tensor, list, tuple))
    }


def _first_global(message: str) -> str:
    """What torch names as the class that it does not load; else the kind of the failure."""
    match = re.search(r"GLOBAL ([\w.]+)", message)
    return f"an object of {match[1]}" if match else "a pickle that torch.load(weights_only=True) refuses"


def _numpy(tensor: Any) -> NDArray[Any]:
    import torch

    dense = tensor.detach().cpu()
    converted: NDArray[Any] = (dense.float() if dense.dtype == torch.bfloat16 else dense).numpy()
    return converted


def _gathered(columns: Arrays) -> Arrays:
    """Columns NAME_0 … NAME_{C−1} as one array NAME; NAME_a, NAME_b of one prefix with names stay apart."""
    places: dict[str, dict[int, str]] = {}
    for column in columns:
        match = COLUMN.fullmatch(column)
        if match is not None:
            places.setdefault(match["name"], {})[int(match["place"])] = column
    arrays = dict(columns)
    for name, by_place in places.items():
        if name in columns or sorted(by_place) != list(range(len(by_place))):
            continue
        arrays[name] = np.stack([columns[by_place[k]] for k in range(len(by_place))], axis=1)
        for column in by_place.values():
            del arrays[column]
    return arrays


READERS: dict[str, Callable[[Path], Arrays]] = {
    ".npz": _npz,
    ".npy": _npy,
    ".csv": _csv,
    ".parquet": _parquet,
    ".safetensors": _safetensors,
    ".pt": _pt,
    ".pth": _pt,
}
