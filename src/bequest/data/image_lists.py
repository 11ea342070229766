"""The image files of a dataset, from class folders or a CSV list, with notes on files left out."""

from __future__ import annotations

import csv
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bequest.data.image_file import RARE_SUFFIXES, SUFFIXES, is_image
from bequest.errors import DataError

NAMES = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing"),
}
"""Names of the folders of splits, in any case, optionally with ``_set``, ``_data`` or ``_images``."""

ENDING = re.compile(r"[-_ ]?(set|data|images)$")
COLUMNS = {"file": ("file", "path", "image", "filename"), "label": ("label", "class", "target")}
SHOWN = 8


@dataclass(frozen=True)
class Listing:
    """Image files with their classes.

    Attributes:
        names: Each file's path relative to the source, from which its id is computed.
        paths: Each file's path.
        labels: Each file's class name.
    """

    names: tuple[str, ...]
    paths: tuple[Path, ...]
    labels: tuple[str, ...]

    def take(self, rows: Sequence[int]) -> Listing:
        """The files at the given rows."""
        return Listing(
            tuple(self.names[row] for row in rows),
            tuple(self.paths[row] for row in rows),
            tuple(self.labels[row] for row in rows),
        )


@dataclass(frozen=True)
class Listings:
    """The files of each split, and notes on what is left out."""

    splits: dict[str, Listing]
    notes: tuple[str, ...] = ()


def folder_listings(
    root: Path,
    splits: Mapping[str, str] | None,
    *,
    classes: Sequence[str] | None = None,
    nested: bool = False,
) -> Listings:
    """The image files of each split that has a folder; ``train`` if the class folders are in ``root``.

    Args:
        root: The folder.
        splits: Folders by split, if their names do not say so.
        classes: The classes that are used; others may lack images.
        nested: Accept images in folders below the class folders even if no class folder holds images itself.

    Raises:
        DataError: If there are no training images, a class has none, or the root is a folder too high.
    """
    if not root.is_dir():
        raise DataError(f"{root} is not a folder", remedy="for a list of files use csv:FILE")
    folders = {child.name: child for child in _class_folders(root)}
    places = _chosen_splits(root, folders, splits) if splits else _split_folders(root, folders)
    notes = []
    if places:
        others = [name for name in folders if folders[name] not in places.values()]
        notes += [f"folders that are not splits were left out: {several(others, ', ')}"] if others else []
    listings = {}
    for split, place in (places or {"train": root}).items():
        listings[split], remarks = _listing(root, place, classes, nested=nested, complete=split == "train")
        notes += [f"{split}: {remark}" for remark in remarks]
    if not listings["train"].names:
        raise DataError(
            f"{root} holds no images", expected=f"CLASS/* or train/CLASS/* ({', '.join(sorted(SUFFIXES))})"
        )
    _refuse_overlaps(listings)
    return Listings(listings, tuple(notes))


def csv_listings(path: Path, rows: Sequence[Mapping[str, str]]) -> Listings:
    """The image files that the rows of a CSV list name; files are relative to the list.

    Raises:
        DataError: Lists the lines that are wrong: no file, no label, a file twice or in two splits.
    """
    columns = list(rows[0]) if rows else []
    used = {key: next((n for n in names if n in columns), None) for key, names in COLUMNS.items()}
    if None in used.values():
        raise DataError(f"{path} lacks a column", expected="file, label and perhaps split", got=columns)
    faults: list[str] = []
    taken: dict[str, list[tuple[str, Path, str]]] = {}
    lines: dict[str, int] = {}
    # Line 1 is the header.
    for line, row in enumerate(rows, 2):
        name, label = ((row[str(used[key])] or "").strip() for key in ("file", "label"))
        word = (row.get("split") or "train").strip()
        split = split_of(word)
        # "./a.png" and "a.png" are one file.
        place = os.path.normpath(name)
        if not name or not label:
            faults.append(f"line {line}: no file or no label")
        elif split is None:
            faults.append(f"line {line}: there is no split {word!r}")
        elif "\0" in name or not (path.parent / name).is_file():
            faults.append(f"line {line}: {name} does not exist")
        elif place in lines:
            faults.append(f"line {line}: {name} was listed in line {lines[place]}")
        else:
            lines[place] = line
            taken.setdefault(split, []).append((name, path.parent / name, label))
    if faults or "train" not in taken:
        raise DataError(f"{path} cannot be used", got=several(faults or ["no training images"]))
    listings = {split: Listing(*zip(*files, strict=True)) for split, files in taken.items()}
    _refuse_overlaps(listings)
    return Listings(listings)


def read_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file, by column name in lower case.

    Raises:
        DataError: If it cannot be read, or a row has more or fewer values than columns.
    """
    try:
        # utf-8-sig: spreadsheets write a byte order mark, which would become part of the first column's name.
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, strict=True)
            columns = [name.strip().lower() for name in reader.fieldnames or ()]
            twice = sorted(name for name, count in Counter(columns).items() if count > 1)
            if twice:
                raise DataError(f"{path} has two columns of the same name", got=", ".join(twice))
            reader.fieldnames = columns
            rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read as CSV", got=error) from error
    # DictReader puts surplus values under the key None, and fills missing ones with the value None.
    uneven = [line for line, row in enumerate(rows, 2) if None in row or None in row.values()]
    if uneven:
        raise DataError(
            f"{path} has rows with more or fewer values than columns",
            expected=f"{len(columns)} values per row",
            got=f"lines {several(list(map(str, uneven)), ', ')}",
        )
    return rows


def split_of(name: str) -> str | None:
    """The split that a folder or a word in a CSV file names.

    >>> split_of("Training_Set"), split_of("val"), split_of("cats")
    ('train', 'validation', None)
    """
    word = ENDING.sub("", name.strip().lower())
    return next((split for split, names in NAMES.items() if word in names), None)


def several(names: Sequence[str], mark: str = "; ") -> str:
    """The first few of ``names``, and how many more there are."""
    more = f"{mark}and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return mark.join(names[:SHOWN]) + more


def _class_folders(place: Path) -> Iterator[Path]:
    """The folders in ``place``, without hidden ones and leftovers of archivers (``__MACOSX``)."""
    try:
        children = sorted(place.iterdir())
    except OSError as error:
        raise DataError(f"{place} cannot be read", got=error) from error
    return (child for child in children if child.is_dir() and not child.name.startswith((".", "__")))


def _chosen_splits(root: Path, folders: Mapping[str, Path], splits: Mapping[str, str]) -> dict[str, Path]:
    for split, name in splits.items():
        if split not in NAMES or name not in folders:
            raise DataError(
                f"{root} has no such split",
                expected=f"splits {', '.join(NAMES)}; folders {several(list(folders), ', ')}",
                got=f"{split} = {name!r}",
            )
    if "train" not in splits:
        raise _without_training(root, folders)
    return {split: folders[name] for split, name in splits.items()}


def _split_folders(root: Path, folders: Mapping[str, Path]) -> dict[str, Path]:
    """The folders that are named after splits; none if they are class folders."""
    places: dict[str, Path] = {}
    for name, place in folders.items():
        split = split_of(name)
        if split in places:
            raise DataError(
                f"{root} has two folders for the split {split}",
                got=f"{places[split].name}, {name}",
                remedy=f'name one: splits = {{train = "...", {split} = "{name}"}}',
            )
        if split is not None:
            places[split] = place
    if "train" in places:
        return places
    if folders and len(places) == len(folders):
        raise _without_training(root, folders)
    return {}  # a class may be called "test"


def _without_training(root: Path, folders: Mapping[str, Path]) -> DataError:
    return DataError(
        f"{root} has no folder of training images",
        expected="train/CLASS/*",
        got=several(list(folders), ", "),
        remedy='name it: splits = {train = "FOLDER"}',
    )


def _files_below(folder: Path) -> list[Path]:
    """Every file below a folder, in order.

    Not ``rglob``, which silently skips folders without permission.
    """

    def unreadable(error: OSError) -> None:
        raise error

    try:
        # By default os.walk skips folders that it cannot read: their images would be missing unnoticed.
        walk = os.walk(folder, onerror=unreadable)
        files = [Path(place, name) for place, _, names in walk for name in names]
        return sorted(file for file in files if file.is_file())
    except OSError as error:
        raise DataError(
            f"{error.filename or folder} cannot be read",
            got=error.strerror,
            remedy="get permission to read it, or move it away",
        ) from error


@dataclass
class _Walk:
    """The content of the class folders of one split; names are relative to the root."""

    images: list[tuple[str, Path, str]] = field(default_factory=list)
    by_content: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    empty: dict[str, str] = field(default_factory=dict)
    direct: bool = False

    def add(self, root: Path, folder: Path) -> None:
        """Add the files of one class folder."""
        images, others = len(self.images), len(self.others)
        for file in _files_below(folder):
            inside = file.relative_to(folder)
            # macOS puts a hidden ._NAME.jpg, which is no image, beside each NAME.jpg on some disks.
            if any(part.startswith(".") for part in inside.parts):
                continue
            name, suffix = file.relative_to(root).as_posix(), file.suffix.lower()
            if suffix in SUFFIXES or (suffix in RARE_SUFFIXES and is_image(file)):
                self.images.append((name, file, folder.name))
                self.by_content += [name] if suffix in RARE_SUFFIXES else []
                self.direct = self.direct or len(inside.parts) == 1
            else:
                self.others.append(name)
        if len(self.images) == images:
            count = len(self.others) - others
            self.empty[folder.name] = f"{folder.name!r}" + (f" ({_no_images(count)})" if count else "")

    def notes(self) -> list[str]:
        """Notes on files left out, and on images whose names do not say that they are."""
        notes = []
        if self.others:
            count = len(self.others)
            verb = "was" if count == 1 else "were"
            notes.append(f"{_no_images(count)} {verb} left out: {several(self.others)}")
        if self.by_content:
            count, names = len(self.by_content), several(self.by_content)
            kind = "file is an image by its" if count == 1 else "files are images by their"
            notes.append(f"{count} {kind} content, not by name: {names}")
        return notes


def _no_images(count: int) -> str:
    return "1 file that is not an image" if count == 1 else f"{count} files that are not images"


def _listing(
    root: Path, place: Path, classes: Sequence[str] | None, *, nested: bool, complete: bool
) -> tuple[Listing, list[str]]:
    """The images below ``place``, and notes on other files; ``complete``: each class needs some."""
    walk = _Walk()
    for child in _class_folders(place):
        walk.add(root, child)
    empty = [text for name, text in walk.empty.items() if classes is None or name in classes]
    if walk.images and empty and complete:
        raise DataError(
            f"class folders without images in {place}",
            expected=f"CLASS/* ({', '.join(sorted(SUFFIXES))})",
            got=several(empty, ", "),
            remedy="add images, remove the folder, or list the classes to use: classes = [...]",
        )
    if walk.images and not walk.direct and not nested:
        raise DataError(
            f"no class folder in {place} holds images itself; they lie in subfolders",
            expected="CLASS/*",
            got=several([name for name, _, _ in walk.images], ", "),
            remedy=f"use {place / walk.images[0][2]} if its folders are the classes, or set nested = true",
        )
    images = Listing(*zip(*walk.images, strict=True)) if walk.images else Listing((), (), ())
    return images, walk.notes()


def _refuse_overlaps(listings: Mapping[str, Listing]) -> None:
    """Refuse a file that is in two splits, also by a link: a test on training images is meaningless."""
    seen: dict[tuple[int, int], tuple[str, str]] = {}
    faults = []
    for split, listing in listings.items():
        for name, path in zip(listing.names, listing.paths, strict=True):
            facts = path.stat()
            other, first = seen.setdefault((facts.st_dev, facts.st_ino), (split, name))
            if other != split:
                faults.append(
                    f"{name} is in {other}" + (f" (as {first})" if first != name else "") + f" and {split}"
                )
    if faults:
        raise DataError(
            f"{len(faults)} file{'s are' if len(faults) != 1 else ' is'} in two splits",
            got=several(faults),
            remedy="keep each in one split",
        )
