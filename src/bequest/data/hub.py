"""Data sets of Hugging Face: ``hf:NAME_OR_FOLDER``; needs the package ``datasets``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import Field

from bequest.config import Config
from bequest.data.arrays import inputs_of
from bequest.data.datasets import DATASETS, Dataset, Split
from bequest.data.dealing import by_shares
from bequest.data.image_file import Channels, Fit, Shape, pixels_of
from bequest.data.image_lists import COLUMNS, NAMES, several, split_of
from bequest.data.outline import SPLITS
from bequest.data.rows.stored import scratch_array
from bequest.data.tables import TableOptions, table_dataset
from bequest.data.text.tokenizer_names import WORDS
from bequest.data.text.words import MOST
from bequest.errors import DataError, MissingExtra


class HubOptions(Config):
    """How a data set of Hugging Face is read.

    Attributes:
        config: The name of its configuration, if it has several.
        label: The column of labels; default: ``label``, ``class`` or ``target``.
        inputs: The column of images, or numeric columns; default: the first column of images, else that of
            texts, else all columns.
        text: See :class:`bequest.data.tables.TableOptions`, as ``tokenizer``, ``length`` and ``vocabulary``.
        tokenizer: See there.
        length: See there.
        vocabulary: See there.
        size: Height and width in pixels of every image; see :class:`bequest.data.image_file.Shape`.
        channels: 3 for colour, 1 for grey.
        fit: ``crop``, ``pad`` or ``stretch``.
        validation: Share of the training samples held out if the set has no such split.
        test: As ``validation``.
        seed: Seeds the splits.
    """

    config: str | None = None
    label: str | None = None
    inputs: tuple[str, ...] = ()
    text: str | tuple[str, ...] = ()
    tokenizer: str = WORDS
    length: int | None = Field(None, ge=2)
    vocabulary: int = Field(MOST, ge=10)
    size: int = Field(224, ge=1)
    channels: Channels = 3
    fit: Fit = "crop"
    validation: float = 0.1
    test: float = 0.1
    seed: int = 0


SPLITS.add("hf", lambda **_: tuple(NAMES))


@DATASETS.register("hf")
def hugging_face(*, path: str, **options: Any) -> Dataset:
    """A data set of Hugging Face: ``hf:NAME``, or ``hf:FOLDER`` that ``save_to_disk`` wrote.

    Inputs are images, texts or numeric columns; labels are class labels, numbers or text. Splits are
    recognised by their names; missing ones are held out from the training samples. Code of a data set is
    never run.

    Args:
        path: A name on the hub, or a folder.
        **options: See :class:`HubOptions`.

    Raises:
        DataError: If it cannot be loaded, or its columns cannot be used.
        ConfigError: If an option is unknown or not possible.
        MissingExtra: If ``datasets`` is not installed.
    """
    chosen = HubOptions.parse(options, f"hf:{path}")
    parts = _loaded(path, chosen.config)
    train = parts["train"]
    images = [n for n, feature in train.features.items() if type(feature).__name__ == "Image"]
    column = next((n for n in images if not chosen.inputs or n in chosen.inputs), None)
    if column is None or chosen.text:
        tables = {split: _columns(part) for split, part in parts.items()}
        shared = TableOptions.model_fields.keys() & HubOptions.model_fields.keys()
        table = TableOptions(**chosen.model_dump(include=shared))
        return table_dataset(f"hf:{path}", tables, table)
    return _image_dataset(f"hf:{path}", parts, column, chosen)


def _loaded(path: str, config: str | None) -> dict[str, Any]:
    """The splits under bequest's names, including ``train``."""
    try:
        import datasets  # type: ignore[import-not-found, unused-ignore]
    except ImportError as error:
        raise MissingExtra(
            "data sets of Hugging Face need the package datasets",
            got=error,
            remedy="python -m pip install -c constraints.txt -e '.[datasets]'",
        ) from None
    try:
        folder = Path(path).expanduser()
        whole = (
            datasets.load_from_disk(str(folder)) if folder.is_dir() else datasets.load_dataset(path, config)
        )
    except Exception as error:  # network, names, formats: the package's errors have no common base
        raise DataError(
            f"hf:{path} cannot be loaded",
            expected="a name on the hub, or a folder that save_to_disk wrote",
            got=" ".join(str(error).split())[:300],
        ) from error
    parts = dict(whole) if isinstance(whole, Mapping) else {"train": whole}
    named = {split_of(name): part for name, part in parts.items() if split_of(name)}
    if "train" not in named:
        raise DataError(f"hf:{path} has no training split", expected="train", got=several(list(parts), ", "))
    return {str(split): part for split, part in named.items()}


def _image_dataset(name: str, parts: Mapping[str, Any], column: str, options: HubOptions) -> Dataset:
    label = _label(parts["train"], options.label)
    feature = parts["train"].features[label]
    texts = {split: [str(value) for value in part[label]] for split, part in parts.items()}
    names = getattr(feature, "names", None)
    classes = tuple(names) if names else tuple(sorted(set(texts["train"])))
    splits, first = {}, 0
    for split in (each for each in NAMES if each in parts):
        y = parts[split][label] if names else [_place(classes, text, split) for text in texts[split]]
        x = _pixels(parts[split], column, options)
        splits[split] = Split(x, torch.tensor(list(y)), torch.arange(first, first + len(x)))
        first += len(x)
    shares = {"validation": options.validation, "test": options.test}
    missing = {split: share for split, share in shares.items() if split not in splits}
    train = splits["train"]
    if missing and train.y is not None:
        splits |= {s: train.take(rows) for s, rows in by_shares(train.y, missing, seed=options.seed).items()}
    return Dataset(name, {split: splits[split] for split in NAMES}, classes)


def _place(classes: Sequence[str], text: str, split: str) -> int:
    if text not in classes:
        raise DataError(
            f"{split} has a class that train lacks", expected=several(list(classes), ", "), got=text
        )
    return classes.index(text)


def _pixels(part: Any, column: str, options: HubOptions) -> torch.Tensor:
    shape = Shape(options.size, options.channels, options.fit)
    size = (len(part), options.channels, options.size, options.size)
    pixels = scratch_array(size, np.dtype(np.uint8))  # on the disk: there may be more than memory holds
    for row in range(len(part)):
        try:
            pixels[row] = pixels_of(part[row][column], shape)
        except Exception as error:  # Pillow's plugins raise whatever the damaged bytes lead to
            raise DataError(f"image {row} cannot be read", got=error) from error
    return inputs_of(pixels)


def _label(part: Any, label: str | None) -> str:
    names = (label,) if label else COLUMNS["label"]
    column = next((name for name in names if name in part.features), None)
    if column is None:
        raise DataError(
            "the data set has no column of labels",
            expected=" or ".join(names),
            got=several(list(part.features), ", "),
        )
    return column


def _columns(part: Any) -> dict[str, list[Any]]:
    """Columns by lower-case name; class labels as their names."""
    columns = {}
    for name, feature in part.features.items():
        values = list(part[name])
        names = getattr(feature, "names", None)
        columns[name.lower()] = [names[value] for value in values] if names else values
    return columns
