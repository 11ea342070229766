"""Predictions and activations that any program saved, with the roles that their arrays play."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bequest.cli.formats import NAMELESS, Arrays, read_arrays
from bequest.errors import DataError
from bequest.measure import pair
from bequest.measure.pairing import Unpaired

FORM = "logits or probs (N, C) or predictions (N,), labels (N,), and ids (N,) if there are any"
ROLES = ("logits", "probs", "predictions", "labels", "ids", "classes", "x")
NOT_ACTIVATIONS = ("ids", "labels", "logits", "probs", "predictions", "classes")


@dataclass(frozen=True, slots=True)
class Predictions:
    """One file of predictions.

    Attributes:
        file: Where they come from.
        answers: int (N,), the predicted class of each sample.
        labels: int (N,); None where the file has none.
        ids: (N,); None where the file has none.
        probs: (N, C), in the type that they were saved in; None for hard predictions.
        log_probs: float64 (N, C); None for hard predictions.
        names: (C,), what the classes are called; None where they are numbers.
    """

    file: str
    answers: NDArray[np.int64]
    labels: NDArray[np.int64] | None
    ids: NDArray[Any] | None
    probs: NDArray[Any] | None = None
    log_probs: NDArray[np.float64] | None = None
    names: NDArray[Any] | None = None

    @property
    def truth(self) -> NDArray[np.int64]:
        """The labels.

        Raises:
            DataError: If the file has none.
        """
        if self.labels is None:
            raise DataError(
                f"{self.file} has no labels", expected=FORM, remedy="name the array: --key labels=NAME"
            )
        return self.labels

    @property
    def distributions(self) -> tuple[NDArray[Any], NDArray[np.float64]]:
        """Probabilities and their logarithms.

        Raises:
            DataError: If the file has predicted classes only, and this measure needs scores.
        """
        if self.probs is None or self.log_probs is None:
            raise DataError(
                f"{self.file} has predicted classes only, and this measure needs scores",
                expected="logits or probs (N, C)",
            )
        return self.probs, self.log_probs

    def called(self, classes: NDArray[np.int64]) -> NDArray[Any]:
        """Classes by name, where they have names."""
        return classes if self.names is None else self.names[classes]

    def rows(self, order: NDArray[np.int64]) -> Predictions:
        """Some samples, in a new order."""

        def taken(array: NDArray[Any] | None) -> NDArray[Any] | None:
            return None if array is None else array[order]

        return Predictions(
            self.file,
            self.answers[order],
            taken(self.labels),
            taken(self.ids),
            taken(self.probs),
            taken(self.log_probs),
            self.names,
        )


def parse_keys(texts: list[str]) -> dict[str, str]:
    """``logits=preds`` as role and name.

    Raises:
        DataError: If a text has another form or names no role.
    """
    keys = {}
    for text in texts:
        role, equals, name = text.partition("=")
        if not equals or role not in ROLES or not name:
            fault = f"there is no role {role!r}" if equals and name else "not of the form ROLE=NAME"
            raise DataError(
                f"--key {text}: {fault}",
                expected=f"ROLE=NAME with a role of {', '.join(ROLES)}",
                remedy="such as --key logits=preds",
            )
        keys[role] = name
    return keys


def read_predictions(path: Path, keys: Mapping[str, str] | None = None) -> Predictions:
    """Read ``logits`` (used first), ``probs`` or ``predictions``; ``labels``, ``ids`` and ``classes``.

    Scores of shape (N,) or (N, 1) are those of class 1 of two. Labels are whole numbers, one-hot rows or
    texts; texts are classes by the file's ``classes``, else in alphabetical order.

    Raises:
        DataError: If the file cannot be read, or holds something else.
    """
    roles = _by_role(path, read_arrays(path), keys or {}, nameless="logits")
    try:
        return _predictions(str(path), roles)
    except DataError as error:
        raise _in_file(error, str(path)) from None


def read_features(
    path: Path, keys: Mapping[str, str] | None = None
) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """Read ``x`` (N, ...) and ``ids`` (N,); a file with one further array has it as ``x``.

    Raises:
        DataError: If the file cannot be read, or holds something else.
    """
    roles = _by_role(path, read_arrays(path), keys or {}, nameless="x")
    if "x" not in roles:
        layers = [name for name in roles if name not in NOT_ACTIVATIONS]
        if len(layers) != 1:
            raise DataError(
                f"{path} has no activations x",
                expected="activations x (N, ...), and ids (N,) if there are any",
                got=", ".join(roles) or "nothing",
                remedy="name the array: --key x=NAME",
            )
        roles["x"] = roles[layers[0]]
    return roles["x"], roles.get("ids")


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
        except Unpaired as error:  # its remedy in Python is a keyword argument
            error.remedy = "compare the same split"
            raise _in_file(error, both) from None
        except DataError as error:
            raise _in_file(error, both) from None
    if ids is not None or other_ids is not None:
        bare = files[1] if other_ids is None else files[0]
        raise DataError(
            f"{bare} has no ids, but the other file has", remedy="save ids in both, or in neither"
        )
    if counts[0] != counts[1]:
        raise DataError(
            f"{both} differ in length",
            expected=counts[0],
            got=counts[1],
            remedy="save ids in both to pair rows",
        )
    return np.arange(counts[0]), np.arange(counts[0])


def _by_role(path: Path, arrays: Arrays, keys: Mapping[str, str], *, nameless: str) -> Arrays:
    """The arrays by the roles that they play: their own names, unless ``keys`` say otherwise."""
    if NAMELESS in arrays:
        return {next(iter(keys), nameless): arrays[NAMELESS]}
    roles = {name: array for name, array in arrays.items() if name not in keys.values() and name not in keys}
    for role, name in keys.items():
        if name not in arrays:
            raise DataError(
                f"{path} has no array {name!r}",
                expected=f"one of {', '.join(arrays)}",
                remedy=f"--key {role}=NAME",
            )
        roles[role] = arrays[name]
    # The key of another role may be what this role is called by itself: --key x=labels hides no labels.
    return roles | {role: arrays[role] for role in ROLES if role in arrays and role not in keys}


def _predictions(file: str, roles: Arrays) -> Predictions:
    from bequest.measure.arrays import same_length

    ids, names = roles.get("ids"), roles.get("classes")
    probs: NDArray[Any] | None = None
    log_probs: NDArray[np.float64] | None = None
    if "logits" in roles or "probs" in roles:
        probs, log_probs = _scores(roles)
        count = probs.shape[1]
        if names is not None and len(names) != count:
            raise DataError(
                "the number of classes differs from the columns of the scores", expected=count, got=len(names)
            )
        labels, names = _labels(roles.get("labels"), names, count)
        answers = log_probs.argmax(axis=1)
    elif "predictions" in roles:
        answers, labels, names = _hard(roles["predictions"], roles.get("labels"), names)
    else:
        raise DataError(
            "there are no logits, probs or predictions",
            expected=FORM,
            got=", ".join(roles) or "nothing",
            remedy=_key_of_answers(roles),
        )
    present = {"labels": labels, "ids": ids}
    role = next(role for role in ("logits", "probs", "predictions") if role in roles)
    same_length(**{role: answers}, **{key: value for key, value in present.items() if value is not None})
    if ids is not None:
        pair(ids, ids)
    return Predictions(file, answers.astype(np.int64), labels, ids, probs, log_probs, names)


def _key_of_answers(roles: Arrays) -> str:
    """The option that names the array which most likely holds the answers."""
    for name, array in roles.items():
        if name in ROLES:
            continue
        if array.ndim == 2 and array.dtype.kind == "f":
            return f"if {name!r} holds logits: --key logits={name} (or probs={name})"
        if any(name.lower().startswith(start) for start in ("pred", "answer")):
            return f"if {name!r} holds predicted classes: --key predictions={name}"
    return "say which array holds them: --key logits=NAME, probs=NAME or predictions=NAME"


def _scores(roles: Arrays) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Probabilities, in the type that they come in, and their logarithms."""
    from scipy.special import log_softmax

    from bequest.measure.arrays import probabilities, refuse_probabilities, scores

    if "logits" in roles:
        logits = _two_columns(roles["logits"], "logits")
        table = scores(logits, "logits")
        if logits is roles["logits"]:  # one column, made two, holds differences of logits
            refuse_probabilities(table, "logits")
        if len(table) and np.isneginf(table).all(axis=1).any():
            raise DataError(
                "a row of logits is -inf throughout", expected="at least one finite logit per row"
            )
        log_probs = log_softmax(table, axis=1)
        return np.exp(log_probs), log_probs
    probs = _two_columns(roles["probs"], "probs")
    checked = probabilities(probs)
    with np.errstate(divide="ignore"):
        return probs, np.log(checked / checked.sum(axis=1, keepdims=True))


def _two_columns(array: NDArray[Any], role: str) -> NDArray[Any]:
    """(N,) or (N, 1), the score of class 1 of two, as (N, 2)."""
    if (
        array.dtype.kind not in "biuf"
        or array.ndim not in (1, 2)
        or (array.ndim == 2 and array.shape[1] != 1)
    ):
        return array
    column = array.reshape(len(array))
    if role == "logits":
        if array.dtype.kind in "iu":
            raise DataError(
                "logits are one integer per sample",
                expected="floats: scores (N, C), or for two classes the scores of class 1 (N,)",
                got=f"{array.dtype} of shape {array.shape}",
                remedy="if they are predicted classes: --key predictions=NAME",
            )
        return np.stack([np.zeros_like(column), column], axis=1)
    if len(column) and not ((column >= 0) & (column <= 1)).all():
        raise DataError("probs are out of range", expected="0..1", got=f"{column.min()}..{column.max()}")
    return np.stack([1 - column, column], axis=1)


def _labels(
    labels: NDArray[Any] | None, names: NDArray[Any] | None, count: int
) -> tuple[NDArray[np.int64] | None, NDArray[Any] | None]:
    """Labels as class indices, and the classes' names."""
    from bequest.measure.arrays import classes

    if labels is None:
        return None, names
    column = _one_column(labels)
    if column.dtype.kind not in "US":
        return classes(column, "labels", count=count), names
    if names is None:
        names = np.unique(column)
        if len(names) != count:
            raise DataError(
                "labels are texts, and nothing says which column each stands for",
                expected=f"{count} different labels, or an array `classes` with the columns' names",
                got=f"{len(names)} different labels",
            )
    return _places(column, names), names


def _hard(
    predictions: NDArray[Any], labels: NDArray[Any] | None, names: NDArray[Any] | None
) -> tuple[NDArray[np.int64], NDArray[np.int64] | None, NDArray[Any] | None]:
    """Predictions and labels without scores, as indices of the same classes."""
    from bequest.measure.arrays import classes

    answers = _one_column(predictions)
    truth = None if labels is None else _one_column(labels)
    if answers.dtype.kind in "US" or (truth is not None and truth.dtype.kind in "US"):
        kinds = {array.dtype.kind in "US" for array in (answers, truth) if array is not None}
        if len(kinds) > 1:
            raise DataError(
                "predictions and labels are of different kinds",
                expected="both texts, or both integers",
                got=f"{answers.dtype} and {None if truth is None else truth.dtype}",
            )
        seen = answers if truth is None else np.concatenate([answers, truth])
        names = np.unique(seen) if names is None else names
        return _places(answers, names), None if truth is None else _places(truth, names), names
    return classes(answers, "predictions"), None if truth is None else classes(truth, "labels"), names


def _one_column(array: NDArray[Any]) -> NDArray[Any]:
    """(N,): of a column (N, 1), of one-hot rows, of whole numbers that are saved as floats or texts."""
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim == 2 and array.dtype.kind in "biuf":
        if not (((array == 0) | (array == 1)).all() and (array.sum(axis=1) == 1).all()):
            raise DataError(
                "labels have the wrong shape", expected="(N,), or one-hot rows (N, C)", got=array.shape
            )
        return np.asarray(array.argmax(axis=1), dtype=np.int64)
    if array.dtype.kind == "S":
        array = np.char.decode(array, "utf-8")
    if array.dtype.kind == "b":
        return array.astype(np.int64)
    if array.dtype.kind == "f" and np.isfinite(array).all() and (array == np.floor(array)).all():
        return array.astype(np.int64)
    if array.dtype.kind == "U" and len(array) and np.char.isdecimal(array).all():
        return array.astype(np.int64)
    return array


def _places(texts: NDArray[Any], names: NDArray[Any]) -> NDArray[np.int64]:
    """Where each text stands among the classes' names."""
    column = np.asarray(names).astype(str)
    place_of = {name: place for place, name in enumerate(column.tolist())}
    unknown = [text for text in np.unique(texts).tolist() if text not in place_of]
    if unknown:
        raise DataError(
            f"the label {unknown[0]!r} is not a class",
            expected=f"one of {', '.join(column[:20])}",
            got=unknown[0],
        )
    return np.array([place_of[text] for text in texts.tolist()], dtype=np.int64)


def _in_file(error: DataError, file: str) -> DataError:
    return DataError(f"{file}: {error.message}", expected=error.expected, got=error.got, remedy=error.remedy)
