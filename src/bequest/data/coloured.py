"""Images whose colour reveals the class: data with a shortcut."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from bequest.data.colour import CHANNELS, tinted
from bequest.data.datasets import DATASETS, Dataset, Split, load_dataset, located
from bequest.data.outline import OUTLINES, SPLITS, Outline, outline_of, splits_of
from bequest.data.sources import PLACES, places_of
from bequest.errors import DataError
from bequest.seeding import integers, uniform

TRAINED = ("train", "validation")
EVERY = ("train", "validation", "test")
"""The splits assumed for a set that cannot name them before it is loaded."""


@OUTLINES.register("coloured")
def _outline(*, of: str = "digits", options: Mapping[str, Any] | None = None, **_: object) -> Outline:
    grey = outline_of(of, dict(options or {}))
    shape = (CHANNELS, *grey.input_shape[1:])
    return Outline(shape, grey.kind, grey.classes, grey.samples)


@SPLITS.register("coloured")
def _split_names(
    *, of: str = "digits", options: Mapping[str, Any] | None = None, **_: object
) -> tuple[str, ...]:
    return splits_of(of, options or {}) or EVERY


@PLACES.register("coloured")
def _places(*, of: str = "digits", options: Mapping[str, Any] | None = None, **_: object) -> tuple[str, ...]:
    return places_of(located(of)[0], options or {})


@DATASETS.register("coloured")
def coloured(
    *,
    of: str = "digits",
    options: Mapping[str, Any] | None = None,
    aligned: float = 0.95,
    seed: int = 0,
) -> Dataset:
    """Images of another data set in colours; in training, the colour tells the class.

    Class k of C has the hue k / C. An image of ``train`` and ``validation`` has the colour of its class with
    probability ``aligned``, else that of another class, each equally likely. Every other split has each image
    twice: in the colour of its class, and in that of another one.

    ``about`` holds ``shortcut``, the class whose colour a sample has; ``aligned``, 1 if that is its own
    class; ``group``, 2 · class + ``aligned``.

    Args:
        of: The data set of the catalogue that the images come from.
        options: Options of its loader.
        aligned: Share of the training images in the colour of their class.
        seed: Seeds the colours; another seed, another choice.

    Raises:
        DataError: If the share is not in [0, 1], or the inputs are not labelled images.
    """
    if not 0 <= aligned <= 1:
        raise DataError("aligned must lie between 0 and 1", expected="aligned of 0 to 1", got=aligned)
    grey = load_dataset(of, **(options or {}))
    colours = _Colours(len(grey.classes), aligned, seed)
    splits = {
        name: colours.biased(split, name) if name in TRAINED else colours.both(split)
        for name, split in grey.splits.items()
    }
    return Dataset("coloured", splits, grey.classes, grey.notes)


class _Colours:
    """The choice of a colour for each image."""

    def __init__(self, classes: int, aligned: float, seed: int) -> None:
        self._classes, self._aligned, self._seed = classes, aligned, seed

    def biased(self, split: Split, name: str) -> Split:
        """Each image once, in the colour of its class with the probability ``aligned``."""
        labels = _labels(split)
        aligned = uniform(self._seed, f"aligned {name}", split.ids, 0, 1)[:, 0] < self._aligned
        return self._tinted(split, torch.where(aligned, labels, self._another(split, labels)), split.ids)

    def both(self, split: Split) -> Split:
        """Each image twice: sample i in the colour of its class has id 2 i, in that of another 2 i + 1."""
        labels = _labels(split)
        parts = [
            self._tinted(split, shown, 2 * split.ids + k)
            for k, shown in enumerate((labels, self._another(split, labels)))
        ]
        about = {name: torch.cat([part.about[name] for part in parts]) for name in parts[0].about}
        x, ids = torch.cat([part.x for part in parts]), torch.cat([part.ids for part in parts])
        return Split(x, labels.repeat(2), ids, about)

    def _another(self, split: Split, labels: Tensor) -> Tensor:
        """A class other than its own for each image."""
        by = integers(self._seed, "another colour", split.ids, 0, 1, low=1, high=self._classes - 1)[:, 0]
        return torch.remainder(labels + by, self._classes)

    def _tinted(self, split: Split, shortcut: Tensor, ids: Tensor) -> Split:
        labels = _labels(split)
        aligned = (shortcut == labels).long()
        about = {**split.about, "shortcut": shortcut, "aligned": aligned, "group": 2 * labels + aligned}
        return Split(tinted(split.x, shortcut / self._classes), labels, ids, about)


def _labels(split: Split) -> Tensor:
    if split.y is None or split.y.ndim > 1:
        raise DataError(
            "only labelled images can have the colour of their class", expected="one label per sample"
        )
    return split.y
