"""Images of the user's own: a folder a class, or a CSV list of files; few-shot subsets."""

from __future__ import annotations

import csv
import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from bequest.data.datasets import DATASETS, Dataset, Split, stratified
from bequest.data.images import SUFFIXES, Channels, Fit, Shape, cache_folder, decode_all
from bequest.data.sources import data_root
from bequest.errors import DataError
from bequest.seeding import numpy_generator

NAMES = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing"),
}
"""What folders of splits are called."""

COLUMNS = {"file": ("file", "path", "image", "filename"), "label": ("label", "class", "target")}
ID_BYTES = 6
SHOWN = 8


@dataclass(frozen=True)
class Listing:
    """Image files with their classes.

    Attributes:
        names: Each file's path as the source has it; ids follow from it.
        paths: Where each file lies.
        labels: Each file's class name.
    """

    names: tuple[str, ...]
    paths: tuple[Path, ...]
    labels: tuple[str, ...]

    def take(self, rows: Sequence[int]) -> Listing:
        """Some of the files."""
        return Listing(
            tuple(self.names[row] for row in rows),
            tuple(self.paths[row] for row in rows),
            tuple(self.labels[row] for row in rows),
        )


@DATASETS.register("folder")
def folder(
    *,
    path: str,
    splits: Mapping[str, str] | None = None,
    size: int = 224,
    channels: Channels = 3,
    fit: Fit = "crop",
    classes: Sequence[str] | None = None,
    per_class: int | None = None,
    validation: float = 0.2,
    test: float = 0.2,
    skip_unreadable: bool = False,
    cache: bool = True,
    seed: int = 0,
) -> Dataset:
    """Image folders of the user's own, a folder a class: ``folder:PATH``.

    ``PATH/train/CLASS/*``, ``PATH/val/CLASS/*`` and ``PATH/test/CLASS/*``, or ``PATH/CLASS/*``. A split that
    has no folder is dealt out of the training images, stratified by class. Only the files that are used are
    decoded; resized pixels are kept in the user's cache folder. In memory an image takes
    ``4 · channels · size²`` bytes. A sample's id follows from its path below ``PATH`` alone.

    Args:
        path: The folder; relative to ``BEQUEST_DATA`` if it is not there.
        splits: Which folder is which split, if their names do not say so: ``{test = "val"}``.
        size: Height and width in pixels.
        channels: 3 for colour, 1 for grey.
        fit: See :class:`bequest.data.images.Shape`.
        classes: Use these classes only.
        per_class: A few-shot subset: so many training images a class, chosen by ``seed``.
        validation: Share of the training images held out where there is no folder for it.
        test: Likewise.
        skip_unreadable: Leave out files that cannot be read, and say how many, instead of refusing.
        cache: Keep resized pixels.
        seed: Seeds what is dealt out and chosen.

    Raises:
        DataError: If the folder is not what it should be, a class has too few images, or files cannot be
            read; names each.
    """
    root = _found(path)
    listings = _folder_listings(root, splits)
    shape = Shape(size, channels, fit)
    return _dataset(
        f"folder:{path}", listings, shape, classes, per_class, {"validation": validation, "test": test},
        seed, skip_unreadable=skip_unreadable, cache=cache,
    )  # fmt: skip


@DATASETS.register("csv")
def listed(
    *,
    path: str,
    size: int = 224,
    channels: Channels = 3,
    fit: Fit = "crop",
    classes: Sequence[str] | None = None,
    per_class: int | None = None,
    validation: float = 0.2,
    test: float = 0.2,
    skip_unreadable: bool = False,
    cache: bool = True,
    seed: int = 0,
) -> Dataset:
    """A CSV list of the user's own image files: ``csv:FILE``.

    Its columns are ``file``, ``label`` and, if wanted, ``split`` (train, validation or test); files are
    relative to the list. The rest is as for ``folder``.

    Raises:
        DataError: As ``folder``; lists the lines that are wrong.
    """
    listings = _csv_listings(_found(path))
    shape = Shape(size, channels, fit)
    return _dataset(
        f"csv:{path}", listings, shape, classes, per_class, {"validation": validation, "test": test},
        seed, skip_unreadable=skip_unreadable, cache=cache,
    )  # fmt: skip


def few_shot(labels: Tensor, count: int, *, seed: int) -> Tensor:
    """Rows of ``count`` samples a class, or of all where a class has fewer; in rising order.

    A larger count takes the same samples and more.

    >>> few_shot(torch.tensor([0, 0, 0, 1, 1]), 1, seed=0).shape
    torch.Size([2])

    Args:
        labels: int64 (N,).
        count: Samples a class, ≥ 1.
        seed: Seeds the choice.

    Raises:
        DataError: If ``count`` is below 1.
    """
    if count < 1:
        raise DataError("a few-shot subset needs samples", expected="at least 1 a class", got=count)
    generator = numpy_generator(seed, "few-shot")
    rows = []
    for label in torch.unique(labels).tolist():
        own = (labels == label).nonzero()[:, 0]
        order = torch.from_numpy(generator.permutation(len(own)))
        rows.append(own[order[:count]])
    return torch.cat(rows).sort().values


def subset(split: Split, per_class: int, *, seed: int) -> Split:
    """A few-shot subset of a labelled split; see :func:`few_shot`.

    Raises:
        DataError: If the split has no labels, one a sample.
    """
    if split.y is None or split.y.ndim != 1:
        raise DataError("a few-shot subset is chosen by labels", expected="one label a sample")
    return split.take(few_shot(split.y, per_class, seed=seed))


def _found(path: str) -> Path:
    given = Path(path).expanduser()
    for place in (given, data_root() / path):
        if place.exists():
            return place
    raise DataError(
        f"{path} does not exist",
        expected=f"a folder or list there, or in {data_root()}",
        remedy="check the path",
    )


def _folder_listings(root: Path, splits: Mapping[str, str] | None) -> dict[str, Listing]:
    """The files of each split that has a folder."""
    if not root.is_dir():
        raise DataError(f"{root} is no folder", remedy="for a list of files use csv:FILE")
    there = {child.name: child for child in sorted(root.iterdir()) if child.is_dir()}
    places = {} if splits else _split_folders(there)
    for split, name in (splits or {}).items():
        if split not in NAMES or name not in there:
            raise DataError(
                f"{root} has no such split",
                expected=f"splits {', '.join(NAMES)}; folders {_several(list(there), ', ')}",
                got=f"{split} = {name!r}",
            )
        places[split] = there[name]
    if places and "train" not in places:
        raise DataError(
            f"{root} has no folder of training images",
            expected="train/CLASS/*",
            got=_several(list(there), ", "),
        )
    listings = {split: _listing(root, place) for split, place in (places or {"train": root}).items()}
    if not listings["train"].names:
        raise DataError(
            f"{root} holds no images", expected=f"CLASS/* or train/CLASS/* ({', '.join(sorted(SUFFIXES))})"
        )
    return listings


def _split_folders(there: Mapping[str, Path]) -> dict[str, Path]:
    """The folders whose names are those of splits; none if ``train`` is not among them."""
    found: dict[str, Path] = {}
    for split, names in NAMES.items():
        own = [there[name] for name in names if name in there]
        found |= {split: own[0]} if own else {}
    return found if "train" in found else {}


def _listing(root: Path, place: Path) -> Listing:
    names, paths, labels = [], [], []
    for child in sorted(place.iterdir()):
        if not child.is_dir() or child.name.startswith("."):
            continue
        for file in sorted(child.rglob("*")):
            hidden = any(part.startswith(".") for part in file.relative_to(child).parts)
            if file.suffix.lower() in SUFFIXES and not hidden and file.is_file():
                names.append(file.relative_to(root).as_posix())
                paths.append(file)
                labels.append(child.name)
    return Listing(tuple(names), tuple(paths), tuple(labels))


def _csv_listings(path: Path) -> dict[str, Listing]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns = [name.strip().lower() for name in reader.fieldnames or ()]
            reader.fieldnames = columns
            rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read as CSV", got=error) from error
    used = {key: next((n for n in names if n in columns), None) for key, names in COLUMNS.items()}
    if None in used.values():
        raise DataError(f"{path} lacks a column", expected="file, label and perhaps split", got=columns)
    faults: list[str] = []
    taken: dict[str, list[tuple[str, Path, str]]] = {}
    for line, row in enumerate(rows, 2):
        name, label = ((row[str(used[key])] or "").strip() for key in ("file", "label"))
        said = (row.get("split") or "train").strip().lower()
        split = next((own for own, names in NAMES.items() if said in names), None)
        if not name or not label:
            faults.append(f"line {line}: no file or no label")
        elif split is None:
            faults.append(f"line {line}: there is no split {said!r}")
        elif not (path.parent / name).is_file():
            faults.append(f"line {line}: {name} does not exist")
        else:
            taken.setdefault(split, []).append((name, path.parent / name, label))
    if faults or "train" not in taken:
        raise DataError(f"{path} cannot be used", got=_several(faults or ["no training images"]))
    return {split: Listing(*zip(*found, strict=True)) for split, found in taken.items()}


def _dataset(
    name: str,
    listings: dict[str, Listing],
    shape: Shape,
    classes: Sequence[str] | None,
    per_class: int | None,
    shares: Mapping[str, float],
    seed: int,
    *,
    skip_unreadable: bool,
    cache: bool,
) -> Dataset:
    """The splits decoded, dealt out where one has no files of its own, the training split made few-shot."""
    order = _classes(listings, classes)
    listings = {
        split: found.take([row for row, label in enumerate(found.labels) if label in order])
        for split, found in listings.items()
    }
    listings = _dealt(listings, order, shares, seed)
    if per_class is not None:
        rows = few_shot(_indices(listings["train"], order), per_class, seed=seed)
        listings["train"] = listings["train"].take(rows.tolist())
    splits, unreadable = {}, []
    for split in (each for each in NAMES if each in listings):
        found = listings[split]
        decoded = decode_all(found.paths, shape, cache=cache_folder() if cache else None)
        unreadable += list(decoded.unreadable)
        kept = found.take(decoded.kept.tolist())
        ids = torch.tensor([_id(each) for each in kept.names], dtype=torch.int64)
        splits[split] = Split(decoded.x.float() / 255, _indices(kept, order), ids)
    if unreadable and not skip_unreadable:
        raise DataError(
            f"{len(unreadable)} files of {name} cannot be read as images",
            got=_several(unreadable),
            remedy="mend or remove them, or leave them out with skip_unreadable = true",
        )
    notes = (
        (f"{len(unreadable)} unreadable files were left out: {_several(unreadable)}",) if unreadable else ()
    )
    return Dataset(name, splits, tuple(order), notes)


def _classes(listings: Mapping[str, Listing], wanted: Sequence[str] | None) -> list[str]:
    """Class names in the order of their indices: sorted, or as wanted."""
    train = sorted(set(listings["train"].labels))
    faults = [f"there is no class {name!r}" for name in wanted or () if name not in train]
    for split, found in listings.items():
        other = sorted(set(found.labels) - set(train))
        faults += (
            [f"{split} has classes that train lacks: {', '.join(other)}"] if other and not wanted else []
        )
    order = list(wanted) if wanted is not None else train
    if not faults and len(order) < 2:
        faults.append(f"a classifier needs two classes, and there is {', '.join(order) or 'none'}")
    if faults:
        raise DataError("the classes cannot be used", expected=f"of {', '.join(train)}", got=_several(faults))
    return order


def _dealt(
    listings: dict[str, Listing], order: Sequence[str], shares: Mapping[str, float], seed: int
) -> dict[str, Listing]:
    """The listings with a validation and a test split, dealt out of the training images if need be."""
    needed = {split: shares[split] for split in ("validation", "test") if split not in listings}
    if not needed:
        return listings
    if not all(share > 0 for share in needed.values()) or sum(needed.values()) >= 1:
        raise DataError("shares to hold out must be above 0 and leave training images", got=dict(needed))
    train = listings["train"]
    counts = Counter(train.labels)
    few = [f"{name} ({counts[name]})" for name in order if counts[name] < 1 + len(needed)]
    if few:
        raise DataError(
            f"some classes have too few images to hold out {' and '.join(needed)} images",
            expected=f"at least {1 + len(needed)} a class",
            got=_several(few),
            remedy=f"add images, give folders for {' and '.join(needed)}, or name the others in classes",
        )
    labels = _indices(train, order)
    sizes = {split: max(len(order), round(share * len(labels))) for split, share in needed.items()}
    rows = stratified(labels, {"train": len(labels) - sum(sizes.values()), **sizes}, seed=seed)
    return {**listings, **{split: train.take(row.tolist()) for split, row in rows.items()}}


def _indices(listing: Listing, order: Sequence[str]) -> Tensor:
    place = {name: index for index, name in enumerate(order)}
    return torch.tensor([place[label] for label in listing.labels], dtype=torch.int64)


def _id(name: str) -> int:
    """48 bits of the SHA-256 of the path."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:ID_BYTES], "big")


def _several(names: Sequence[str], mark: str = "; ") -> str:
    """The first few, and how many more."""
    more = f"{mark}and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return mark.join(names[:SHOWN]) + more
