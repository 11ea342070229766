"""Users' images: one folder per class, or a CSV list of files; few-shot subsets."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from pydantic import Field
from torch import Tensor

from bequest.config import Config
from bequest.data.datasets import DATASETS, Dataset, Split
from bequest.data.dealing import stratified
from bequest.data.image_file import Channels, Fit, Shape
from bequest.data.image_lists import NAMES, Listing, Listings, folder_listings, several
from bequest.data.images import cache_folder, decode_all
from bequest.data.outline import SPLITS
from bequest.data.rows import room_for
from bequest.data.sources import data_root
from bequest.errors import DataError
from bequest.printable import counted
from bequest.seeding import numpy_generator

ID_BYTES = 6


class ImageOptions(Config):
    """How users' images become a dataset.

    Attributes:
        size: Height and width in pixels.
        channels: 3 for colour, 1 for grey.
        fit: See :class:`bequest.data.image_file.Shape`.
        classes: Use these classes only.
        per_class: Number of training images per class, chosen by ``seed``: a few-shot subset.
        validation: Share of the training images held out if there are no files for it.
        test: As ``validation``.
        skip_unreadable: Leave out files that cannot be read, with a note, instead of raising an error.
        cache: Keep resized pixels in the user's cache folder.
        seed: Seeds the splits and the few-shot subset.
    """

    size: int = Field(224, ge=1)
    channels: Channels = 3
    fit: Fit = "crop"
    classes: tuple[str, ...] | None = None
    per_class: int | None = None
    validation: float = 0.2
    test: float = 0.2
    skip_unreadable: bool = False
    cache: bool = True
    seed: int = 0

    @property
    def shape(self) -> Shape:
        """The size, channels and fit of every image."""
        return Shape(self.size, self.channels, self.fit)


SPLITS.add("folder", lambda **_: tuple(NAMES))


@DATASETS.register("folder")
def folder(
    *, path: str, splits: Mapping[str, str] | None = None, nested: bool = False, **options: Any
) -> Dataset:
    """Users' images with one folder per class: ``folder:PATH``.

    ``PATH/train/CLASS/*``, ``PATH/val/CLASS/*`` and ``PATH/test/CLASS/*`` (or ``Training``, ``test_set``
    ...), or ``PATH/CLASS/*``. A split without a folder is taken from the training images, stratified by
    class. Only the files that are used are decoded, in advance and in parallel; resized pixels are kept in
    the user's cache folder. Images that would take more than 256 MiB of memory, ``4 · channels · size²``
    bytes each, are read from there when batches need them. A sample's id depends only on its path below
    ``PATH``.

    Args:
        path: The folder; relative to ``BEQUEST_DATA`` if it is not found from the current folder.
        splits: The folder of each split, if its name does not say so: ``{test = "val"}``.
        nested: Accept images in folders below the class folders even if no class folder holds images itself.
        **options: See :class:`ImageOptions`.

    Raises:
        DataError: If the folder is not what it should be, a class has too few images, or files cannot be
            read; names each.
        ConfigError: If an option is unknown or not possible.
    """
    chosen = ImageOptions.parse(options, f"folder:{path}")
    listings = folder_listings(existing(path), splits, classes=chosen.classes, nested=nested)
    return images_of(f"folder:{path}", listings, chosen)


def few_shot(labels: Tensor, count: int, *, seed: int) -> Tensor:
    """Rows of ``count`` samples per class, or of all if a class has fewer; in rising order.

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
        raise DataError("per_class must be at least 1", expected="at least 1 per class", got=count)
    generator = numpy_generator(seed, "few-shot")
    rows = []
    for label in torch.unique(labels).tolist():
        members = (labels == label).nonzero()[:, 0]
        # All members are permuted for any count, so that the draws of the next class do not depend on it.
        order = torch.from_numpy(generator.permutation(len(members)))
        rows.append(members[order[:count]])
    return torch.cat(rows).sort().values


def subset(split: Split, per_class: int, *, seed: int) -> Split:
    """A few-shot subset of a labelled split; see :func:`few_shot`.

    Raises:
        DataError: If the split has no labels, one a sample.
    """
    if split.y is None or split.y.ndim != 1:
        raise DataError("per_class needs one class label per sample", expected="one label per sample")
    return split.take(few_shot(split.y, per_class, seed=seed))


def existing(path: str) -> Path:
    """``path`` relative to the current folder, or else to the data folder.

    Raises:
        DataError: If it exists in neither place.
    """
    try:
        for place in (Path(path).expanduser(), data_root() / path):
            if place.exists():
                return place
    except (OSError, ValueError, RuntimeError) as error:  # too long, a null byte, an unknown user
        raise DataError(f"{path[:200]!r} is not a path", got=error) from error
    raise DataError(
        f"no such file or folder: {path}",
        expected=f"a path from here, or from the data folder {data_root()}",
        remedy="check the path",
    )


def images_of(name: str, listings: Listings, options: ImageOptions) -> Dataset:
    """The Dataset of the listed images: decoded, with missing splits held out, and few-shot if asked.

    Raises:
        DataError: If classes do not fit together, are too small, or files cannot be read.
    """
    order = _classes(listings.splits, options.classes)
    splits = {
        split: listing.take([row for row, label in enumerate(listing.labels) if label in order])
        for split, listing in listings.splits.items()
    }
    shares = {"validation": options.validation, "test": options.test}
    splits = _dealt(splits, order, shares, options.seed)
    if options.per_class is not None:
        rows = few_shot(_indices(splits["train"], order), options.per_class, seed=options.seed)
        splits["train"] = splits["train"].take(rows.tolist())
    decoded, unreadable = {}, []
    # 4 bytes: float32. For all splits together: either all are held in memory or none.
    room = room_for(4 * options.channels * options.size**2 * len(each.paths) for each in splits.values())
    for split in (each for each in NAMES if each in splits):
        decoded[split], failures = _decoded(splits[split], order, options, room)
        unreadable += failures
    if unreadable and not options.skip_unreadable:
        raise DataError(
            f"{counted(len(unreadable), 'file')} of {name} cannot be read as images",
            got=several(unreadable),
            remedy="fix or remove them, or skip them with skip_unreadable = true",
        )
    were = "file was" if len(unreadable) == 1 else "files were"
    notes = (f"{len(unreadable)} unreadable {were} left out: {several(unreadable)}",) if unreadable else ()
    return Dataset(name, decoded, tuple(order), (*notes, *listings.notes))


def _decoded(
    listing: Listing, order: Sequence[str], options: ImageOptions, room: int
) -> tuple[Split, list[str]]:
    """The images of one split, and the files that cannot be read."""
    cache = cache_folder() if options.cache else None
    decoded = decode_all(listing.paths, options.shape, cache=cache)
    readable = listing.take(decoded.readable.tolist())
    ids = torch.tensor([_id(each) for each in readable.names], dtype=torch.int64)
    x = decoded.inputs(room=room)
    return Split(x, _indices(readable, order), ids), list(decoded.unreadable)


def _classes(listings: Mapping[str, Listing], wanted: Sequence[str] | None) -> list[str]:
    """Class names in the order of their indices: sorted, or as wanted."""
    train = sorted(set(listings["train"].labels))
    faults = [f"there is no class {name!r}" for name in wanted or () if name not in train]
    for split, listing in listings.items():
        other = sorted(set(listing.labels) - set(train))
        faults += (
            [f"{split} has classes that train lacks: {', '.join(other)}"] if other and not wanted else []
        )
    order = list(wanted) if wanted is not None else train
    faults += [f"class {name!r} is named twice" for name in sorted({n for n in order if order.count(n) > 1})]
    if not faults and len(order) < 2:
        faults.append(
            f"a classifier needs two classes, and there is {f'one: {order[0]}' if order else 'none'}"
        )
    if faults:
        raise DataError("the classes cannot be used", expected=f"of {', '.join(train)}", got=several(faults))
    return order


def _dealt(
    listings: dict[str, Listing], order: Sequence[str], shares: Mapping[str, float], seed: int
) -> dict[str, Listing]:
    """The listings with a validation and a test split, held out from the training images if missing."""
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
            expected=f"at least {1 + len(needed)} per class",
            got=several(few),
            remedy=f"add images, give folders for {' and '.join(needed)}, or list the others in classes",
        )
    labels = _indices(train, order)
    # Large enough for an image of each class.
    sizes = {split: max(len(order), round(share * len(labels))) for split, share in needed.items()}
    sizes = {"train": len(labels) - sum(sizes.values()), **sizes}
    rows = stratified(labels, sizes, seed=seed, covered="train")
    return {**listings, **{split: train.take(row.tolist()) for split, row in rows.items()}}


def _indices(listing: Listing, order: Sequence[str]) -> Tensor:
    place = {name: index for index, name in enumerate(order)}
    return torch.tensor([place[label] for label in listing.labels], dtype=torch.int64)


def _id(name: str) -> int:
    """48 bits of the SHA-256 of the path: an id that other files in the folder cannot change."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:ID_BYTES], "big")
