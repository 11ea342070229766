"""Predictions and activations that any program saved as ``.npz``."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bequest.errors import DataError
from bequest.measure import pair

FORM = "an .npz file with logits or probs (N, C) and labels (N,), and ids (N,) if there are any"


@dataclass(frozen=True, slots=True)
class Predictions:
    """One file of predictions.

    Attributes:
        file: Where they come from.
        log_probs: float64 (N, C).
        labels: int (N,); None where the file has none.
        ids: (N,); None where the file has none.
    """

    file: str
    log_probs: NDArray[np.float64]
    labels: NDArray[Any] | None
    ids: NDArray[Any] | None

    @property
    def probs(self) -> NDArray[np.float64]:
        """Probabilities, (N, C)."""
        found: NDArray[np.float64] = np.exp(self.log_probs)
        return found

    @property
    def truth(self) -> NDArray[Any]:
        """The labels.

        Raises:
            DataError: If the file has none.
        """
        if self.labels is None:
            raise DataError(f"{self.file} has no labels", expected=FORM)
        return self.labels

    def rows(self, order: NDArray[np.int64]) -> Predictions:
        """Some samples, in a new order."""
        labels = None if self.labels is None else self.labels[order]
        ids = None if self.ids is None else self.ids[order]
        return Predictions(self.file, self.log_probs[order], labels, ids)


def read_predictions(path: Path) -> Predictions:
    """Read ``logits`` (used first) or ``probs``, ``labels`` and ``ids``.

    Raises:
        DataError: If the file cannot be read, or holds something else.
    """
    from scipy.special import log_softmax

    from bequest.measure.arrays import classes, probabilities, same_length, scores

    held = _read(path)
    name = str(path)
    try:
        if "logits" in held:
            table = log_softmax(_finite(scores(held["logits"], "logits")), axis=1)
        elif "probs" in held:
            probs = probabilities(held["probs"])
            with np.errstate(divide="ignore"):
                table = np.log(probs / probs.sum(axis=1, keepdims=True))
        else:
            raise DataError(
                "there are neither logits nor probs", expected=FORM, got=", ".join(held) or "nothing"
            )
        labels, ids = held.get("labels"), held.get("ids")
        if labels is not None:
            labels = classes(labels, "labels", count=table.shape[1])
        present = {"labels": labels, "ids": ids}
        same_length(predictions=table, **{key: value for key, value in present.items() if value is not None})
        if ids is not None:
            pair(ids, ids)
    except DataError as error:
        raise _in_file(error, name) from None
    return Predictions(name, table, labels, ids)


def read_features(path: Path) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """Read ``x`` (N, ...) and ``ids`` (N,).

    Raises:
        DataError: If the file cannot be read, or holds something else.
    """
    held = _read(path)
    if "x" not in held:
        raise DataError(
            f"{path} has no x",
            expected="an .npz file with x (N, ...), and ids (N,) if there are any",
            got=", ".join(held) or "nothing",
        )
    return held["x"], held.get("ids")


def paired(
    ids: NDArray[Any] | None, other_ids: NDArray[Any] | None, counts: tuple[int, int], files: tuple[str, str]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Row numbers that pair two files: by ids where both have them, else row by row.

    Raises:
        DataError: If one file alone has ids, lengths differ without ids, or ids do not pair.
    """
    both = f"{files[0]} and {files[1]}"
    if ids is not None and other_ids is not None:
        try:
            return pair(ids, other_ids)
        except DataError as error:
            raise _in_file(error, both) from None
    if ids is not None or other_ids is not None:
        bare = files[1] if other_ids is None else files[0]
        raise DataError(
            f"{bare} has no ids, and the other file has", remedy="save ids in both, or in neither"
        )
    if counts[0] != counts[1]:
        raise DataError(
            f"{both} differ in length",
            expected=counts[0],
            got=counts[1],
            remedy="save ids in both to pair rows",
        )
    return np.arange(counts[0]), np.arange(counts[0])


def _read(path: Path) -> dict[str, NDArray[Any]]:
    try:
        file = np.load(path, allow_pickle=False)
        if isinstance(file, np.ndarray):
            raise DataError(f"{path} holds one array without a name", expected=FORM, remedy="use np.savez")
        with file:
            return {name: file[name] for name in file.files}
    except FileNotFoundError:
        raise DataError(f"{path} does not exist", remedy="check the path") from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} cannot be read", expected=FORM, got=error) from None


def _finite(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    if not np.isfinite(logits).all():
        raise DataError("logits holds -inf", expected="finite logits")
    return logits


def _in_file(error: DataError, file: str) -> DataError:
    return DataError(f"{file}: {error.message}", expected=error.expected, got=error.got, remedy=error.remedy)
