"""Outlines of datasets, known without their files: enough to count steps and parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from bequest.data.datasets import load_dataset, located
from bequest.errors import InputError
from bequest.registry import Registry


@dataclass(frozen=True)
class Outline:
    """The size of a dataset.

    Attributes:
        input_shape: Shape of one input.
        kind: ``float32`` for images and vectors, ``int64`` for tokens.
        classes: Width of the logits.
        samples: Training samples.
        vocabulary: Number of tokens; 0 if inputs are not tokens.
        padding: The padding token.
        separator: The token that ends each text of a pair.
        task: The task of a network for tokens; see :attr:`bequest.data.datasets.Dataset.task`.
    """

    input_shape: tuple[int, ...]
    kind: str
    classes: int
    samples: int
    vocabulary: int = 0
    padding: int | None = None
    separator: int | None = None
    task: str = "classify"


OUTLINES: Registry[Callable[..., Outline]] = Registry("outline")
"""By a dataset's name: a function of its options that returns its outline, without its files."""


OF_TOKENS: set[str] = set()
"""Families of datasets, named with a path, in which each token has a label."""

SPLITS: Registry[Callable[..., tuple[str, ...]]] = Registry("names of splits")
"""By a dataset's name: a function of its options that returns its possible splits, without its files."""


def splits_of(name: str, options: Mapping[str, Any]) -> tuple[str, ...] | None:
    """The splits that a dataset of the catalogue can have; None if they are unknown until it is loaded.

    >>> splits_of("digits", {})
    ('train', 'validation', 'test')
    """
    family = located(name)[0]
    if family not in SPLITS:
        return None
    try:
        return SPLITS[family](**options)
    except (TypeError, InputError):  # options that do not fit are a fault of the data
        return None


def held_out(*, validation: int = 1, **_: Any) -> tuple[str, ...]:
    """The splits of a set that has test samples, and whose validation samples are held out."""
    return ("train", "validation", "test") if validation else ("train", "test")


def outline_of(name: str, options: dict[str, Any]) -> Outline:
    """The outline of a dataset of the catalogue, which is loaded if it has none.

    Raises:
        UnknownName: If the catalogue has no such dataset.
        DataError: If it must be loaded and its files are absent.
    """
    if name in OUTLINES:
        return OUTLINES[name](**options)
    data = load_dataset(name, **options)
    train = data["train"]
    return Outline(
        data.input_shape,
        str(train.x.dtype).removeprefix("torch."),
        len(data.classes),
        len(train),
        len(data.vocabulary),
        data.padding,
        data.separator,
        data.task,
    )
