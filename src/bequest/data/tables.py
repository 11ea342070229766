"""Users' tables, ``csv:FILE`` and ``parquet:FILE``: numbers, texts, or lists of image files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import Field

from bequest.config import Config
from bequest.data.datasets import DATASETS, Dataset, Split
from bequest.data.dealing import by_shares
from bequest.data.folders import ImageOptions, existing, images_of
from bequest.data.image_lists import COLUMNS, NAMES, csv_listings, read_rows, several, split_of
from bequest.data.outline import SPLITS
from bequest.data.text.texts import TextForm, coded, text_columns, text_dataset, texts_of
from bequest.data.text.tokenizer_names import WORDS
from bequest.data.text.words import MOST
from bequest.errors import DataError, MissingExtra

SPLIT = "split"
# pandas writes its index as a column without a name, and reads it back as "Unnamed: 0".
ROW_NUMBERS = ("id", "ids", "index", "unnamed: 0", "")
"""Columns of row numbers, which are not features."""

Columns = Mapping[str, Sequence[Any]]


class TableOptions(Config):
    """How a table becomes a dataset.

    Attributes:
        inputs: Numeric columns that are the inputs; default: every column but label, split and row numbers.
        label: The column of class names or indices; default: ``label``, ``class`` or ``target``.
        standardise: Subtract each column's training mean and divide by its standard deviation.
        text: The column of texts that are the inputs, or two columns of pairs; default: ``text`` or
            ``sentence``, ``sentence1`` and ``sentence2``, ``premise`` and ``hypothesis``, if they hold text.
        tokenizer: Of texts: a folder or file of ``tokenizers`` or ``transformers``, a name on the hub, or
            ``words`` for a word-level one that is trained from the training texts.
        length: Most tokens of a text; longer ones are cut. Default: the limit of the tokenizer's networks,
            at most 512.
        vocabulary: The most tokens of a word-level tokenizer.
        validation: Share of the rows held out, or another file with the same columns.
        test: As ``validation``.
        seed: Seeds the splits.
    """

    inputs: tuple[str, ...] = ()
    label: str | None = None
    standardise: bool = False
    text: str | tuple[str, ...] = ()
    tokenizer: str = WORDS
    length: int | None = Field(None, ge=2)
    vocabulary: int = Field(MOST, ge=10)
    validation: float | str = Field(0.1)
    test: float | str = Field(0.1)
    seed: int = 0

    @property
    def text_names(self) -> tuple[str, ...]:
        """The columns of texts that were named."""
        return (self.text,) if isinstance(self.text, str) else self.text


SPLITS.add("csv", lambda **_: tuple(NAMES))
SPLITS.add("parquet", lambda **_: tuple(NAMES))


@DATASETS.register("csv")
def listed(*, path: str, **options: Any) -> Dataset:
    """A user's CSV table, ``csv:FILE``: numbers or texts in columns, or a list of image files.

    A table with a column ``file`` (or ``path``, ``image``, ``filename``) and without ``inputs`` and ``text``
    lists images: its columns are ``file``, ``label`` and, if wanted, ``split`` (train, validation or test);
    files are relative to the list, and the options are those of ``folder``. Otherwise the columns of ``text``
    are texts, as tokens (N, L) int64, or those of ``inputs`` are features (N, F) float32, and ``label`` holds
    class names or indices; a column ``split`` names the split of each row.

    Args:
        path: The file; relative to ``BEQUEST_DATA`` if it is not found from the current folder.
        **options: See :class:`TableOptions`, for images :class:`bequest.data.folders.ImageOptions`.

    Raises:
        DataError: If the table cannot be used; lists the lines that are wrong.
        ConfigError: If an option is unknown or not possible.
    """
    file, name = existing(path), f"csv:{path}"
    rows = read_rows(file)
    header = list(rows[0]) if rows else []
    if not rows:
        raise DataError(f"{file} holds no rows")
    chosen_columns = options.get("inputs") or options.get("text")
    if not chosen_columns and any(column in header for column in COLUMNS["file"]):
        chosen = ImageOptions.parse(options, name)
        return images_of(name, csv_listings(file, rows), chosen)
    return _table(name, file, TableOptions.parse(options, name), _csv_columns)


@DATASETS.register("parquet")
def parquet(*, path: str, **options: Any) -> Dataset:
    """A user's Parquet table, numbers or texts in columns: ``parquet:FILE`` (extra ``tables``).

    Args:
        path: The file; relative to ``BEQUEST_DATA`` if it is not found from the current folder.
        **options: See :class:`TableOptions`; column names are lower-cased.

    Raises:
        DataError: If the table cannot be used.
        ConfigError: If an option is unknown or not possible.
        MissingExtra: If pyarrow is not installed.
    """
    name = f"parquet:{path}"
    return _table(name, existing(path), TableOptions.parse(options, name), _parquet_columns)


def table_dataset(
    name: str, tables: Mapping[str, Columns], options: TableOptions, *, beside: Path | None = None
) -> Dataset:
    """A Dataset of numeric columns, or of one or two columns of text, and a column of labels, by split.

    Args:
        name: Of the dataset.
        tables: Columns by split; ``train`` may have a column ``split`` with the split of each row.
        options: The columns, and the shares to hold out.
        beside: The folder of the data, which may hold a tokenizer.

    Raises:
        DataError: If columns are absent, not numeric, or labels do not fit together.
    """
    train = tables["train"]
    header, label = list(train), _label_column(list(train), options.label)
    text = () if options.inputs else text_columns(train, options.text_names)
    inputs = text or options.inputs or tuple(n for n in header if n not in (label, SPLIT, *ROW_NUMBERS))
    absent = [n for n in (*inputs, label) for table in tables.values() if n not in table]
    if absent or not inputs:
        raise DataError(
            f"{name} lacks columns", expected=several([*inputs, label], ", "), got=several(header, ", ")
        )
    # Before rows are assigned to splits, so that errors give a row's place in its own file.
    columns = [{n: table[n] for n in inputs} for table in tables.values()]
    if text:
        texts = [each for part in columns for each in texts_of(part)]
    else:
        numbers = torch.cat([_numbers(name, part) for part in columns])
    rows, classes = _rows_by_split(name, tables, label)
    rows = _held_out(rows, options)
    if text:
        form = TextForm(options.tokenizer, options.length, options.vocabulary, beside)
        tokens = coded(texts, {split: part.x for split, part in rows.items()}, form)
        splits = {split: replace(rows[split], x=tokens.splits[split]) for split in NAMES}
        return text_dataset(name, splits, classes, tokens, pairs=len(text) > 1)
    splits = {split: replace(rows[split], x=numbers[rows[split].x]) for split in NAMES}
    return Dataset(name, _standardised(splits) if options.standardise else splits, classes)


def _rows_by_split(
    name: str, tables: Mapping[str, Columns], label: str
) -> tuple[dict[str, Split], tuple[str, ...]]:
    """Splits whose inputs are row numbers, counted through all tables; and the classes."""
    parts, counted = {}, 0
    for split, table in tables.items():
        labels = [_text(value) for value in table[label]]
        parts[split] = (torch.arange(counted, counted + len(labels)), labels)
        counted += len(labels)
    parts = _by_column(parts, tables["train"])
    classes = _class_order(parts["train"][1])
    rows, first = {}, 0
    for split in (each for each in NAMES if each in parts):
        x, names = parts[split]
        rows[split] = Split(x, _indices(name, split, names, classes), torch.arange(first, first + len(x)))
        first += len(x)
    return rows, classes


def _table(name: str, file: Path, options: TableOptions, read: Any) -> Dataset:
    tables = {"train": read(file)}
    for split, other in (("validation", options.validation), ("test", options.test)):
        if isinstance(other, str):
            beside = file.parent / other
            tables[split] = read(beside if beside.exists() else existing(other))
    return table_dataset(name, tables, options, beside=file.parent)


def _csv_columns(path: Path) -> Columns:
    rows = read_rows(path)
    return {name: [row[name] for row in rows] for name in (rows[0] if rows else {})}


def _parquet_columns(path: Path) -> Columns:
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtra(
            "Parquet files need pyarrow",
            got=error,
            remedy="python -m pip install -c constraints.txt -e '.[tables]'",
        ) from None
    try:
        table = pyarrow.parquet.read_table(path)
    except Exception as error:  # Arrow's errors have no common base
        raise DataError(f"{path} cannot be read as Parquet", got=str(error).split("\n")[0]) from error
    return {name.strip().lower(): table[name].to_pylist() for name in table.column_names}


def _label_column(header: Sequence[str], label: str | None) -> str:
    names = (label.strip().lower(),) if label else COLUMNS["label"]
    column = next((name for name in names if name in header), None)
    if column is None:
        raise DataError(
            "the table has no column of labels",
            expected=" or ".join(names),
            got=several(list(header), ", "),
            remedy='name it: label = "COLUMN"',
        )
    return column


def _numbers(name: str, columns: Columns) -> torch.Tensor:
    """The input columns as float32 (N, F)."""
    faults, numbers = [], []
    for column, values in columns.items():
        try:
            numbers.append(np.asarray(values, dtype=np.float64))
            continue
        except (TypeError, ValueError):
            row = next(row for row, value in enumerate(values) if not _is_number(value))
        faults.append(f"column {column!r}, row {row + 1}: {values[row]!r}")
    if faults:
        raise DataError(
            f"inputs of {name} are not numbers",
            got=several(faults),
            remedy='text = "COLUMN" names a column of texts; inputs = [...] the numeric columns',
        )
    return torch.from_numpy(np.stack(numbers, axis=1).astype(np.float32))


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True


def _text(label: Any) -> str:
    # pandas stores a column of whole numbers as floats as soon as one is missing: 3.0 is the class 3.
    if isinstance(label, float) and label.is_integer():
        label = int(label)
    return "" if label is None else str(label).strip()


def _by_column(
    parts: dict[str, tuple[torch.Tensor, list[str]]], table: Columns
) -> dict[str, tuple[torch.Tensor, list[str]]]:
    """The rows of ``train`` assigned to splits, if a column names the split of each."""
    if SPLIT not in table:
        return parts
    words = [_text(word) or "train" for word in table[SPLIT]]
    unknown = sorted({word for word in words if split_of(word) is None})
    if unknown:
        raise DataError(
            "the column 'split' has values that are not splits",
            expected=", ".join(NAMES),
            got=several(unknown, ", "),
        )
    x, names = parts["train"]
    sorted_out = dict(parts)
    for split in NAMES:
        rows = [row for row, word in enumerate(words) if split_of(word) == split]
        if not rows and split == "train":
            raise DataError(
                "the column 'split' leaves no training rows", got=several(sorted(set(words)), ", ")
            )
        if rows and split != "train" and split in parts:
            raise DataError(
                f"{split} is given both as a file and as rows of the table", remedy="give one of them"
            )
        if rows:
            sorted_out[split] = (x[rows], [names[row] for row in rows])
    return sorted_out


def _class_order(labels: Sequence[str]) -> tuple[str, ...]:
    """Class names in the order of their indices: numbers by size, others by the alphabet."""
    names = sorted(set(labels))
    if all(name.lstrip("-").isdecimal() for name in names):
        names.sort(key=int)
    return tuple(names)


def _indices(name: str, split: str, labels: Sequence[str], classes: Sequence[str]) -> torch.Tensor:
    empty = [row for row, label in enumerate(labels) if not label]
    other = sorted({label for label in labels if label and label not in set(classes)})
    if empty or other:
        raise DataError(
            f"labels of {name} cannot be used: {split}",
            expected=f"one of {several(list(classes), ', ')}",
            got=several([*(f"row {row + 1} has none" for row in empty), *other]),
        )
    place = {label: index for index, label in enumerate(classes)}
    return torch.tensor([place[label] for label in labels], dtype=torch.int64)


def _held_out(splits: dict[str, Split], options: TableOptions) -> dict[str, Split]:
    shares = {"validation": options.validation, "test": options.test}
    missing = {s: share for s, share in shares.items() if s not in splits and not isinstance(share, str)}
    train = splits["train"]
    if not missing or train.y is None:
        return splits
    dealt = by_shares(train.y, missing, seed=options.seed)
    return splits | {split: train.take(rows) for split, rows in dealt.items()}


def _standardised(splits: Mapping[str, Split]) -> dict[str, Split]:
    """Every split in units of the training split's standard deviations; constant columns become 0."""
    # In double precision: float32 loses the digits of a column whose mean is large against its deviation.
    train = splits["train"].x.double()
    mean, deviation = train.mean(0), train.std(0, correction=0)
    deviation = torch.where(deviation > 0, deviation, 1.0)
    scaled = {split: ((part.x.double() - mean) / deviation).float() for split, part in splits.items()}
    return {split: Split(scaled[split], part.y, part.ids, part.about) for split, part in splits.items()}
