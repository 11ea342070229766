"""Random labels, which a network can only memorise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from bequest.data.datasets import DATASETS, Dataset, Split, load_dataset, located
from bequest.data.outline import SPLITS
from bequest.data.sources import PLACES, places_of
from bequest.errors import DataError
from bequest.seeding import torch_generator

NAMES = ("train", "shown", "test", "validation")


@SPLITS.register("random_labels")
def _split_names(**_: object) -> tuple[str, ...]:
    return NAMES


@PLACES.register("random_labels")
def _places(
    *, of: str | None = None, options: Mapping[str, Any] | None = None, **_: object
) -> tuple[str, ...]:
    return places_of(located(of)[0], options or {}) if of else ()


@DATASETS.register("random_labels")
def random_labels(
    *,
    of: str | None = None,
    options: Mapping[str, Any] | None = None,
    samples: int = 1000,
    width: int = 64,
    classes: int = 10,
    share: float = 0.6,
    seed: int = 0,
) -> Dataset:
    """Samples with labels drawn at random: of normal noise, or of another data set (``of``).

    Splits: ``train`` has all samples, ``shown`` a ``share`` of them with the same labels, ``test`` the rest.
    A network trained on ``train`` can have memorised the labels of ``test``; one trained on ``shown`` alone
    can only learn them from a teacher that was trained on both. ``validation`` has a tenth as many other
    samples with labels of their own, which no network can know. Over all samples classes are balanced.

    Args:
        of: A data set of the catalogue whose training samples get such labels; default: independent standard
            normal numbers.
        options: Options of its loader.
        samples: Number of samples, at most the training samples of another data set.
        width: Numbers of an input, if they are noise.
        classes: How many classes.
        share: Share of the samples in ``shown``.
        seed: Seeds the noise, the labels and the choice of ``shown``.

    Raises:
        DataError: If a split or a class would be without a sample, or the other data set has too few samples.
    """
    held = samples // 10
    if not (0 < share < 1 and classes > 1 and held >= 1 and classes <= samples):
        raise DataError(
            "these random labels leave a split or a class empty",
            expected="a share between 0 and 1, 2 classes or more, and at least 10 samples and one per class",
            got=f"{samples} samples of {classes} classes, a share of {share:g}",
        )
    generator = torch_generator(seed, "random labels")
    x = (
        torch.randn(samples + held, width, generator=generator)
        if of is None
        else _inputs(of, options or {}, samples + held)
    )
    # Dealt, not drawn: every class has as many samples as any other, up to one.
    y = torch.randperm(samples + held, generator=generator) % classes
    ids = torch.arange(samples + held)
    whole = Split(x, y, ids)
    shown = torch.randperm(samples, generator=generator)[: round(share * samples)].sort().values
    hidden = ids[:samples][~torch.isin(ids[:samples], shown)]
    rows = {"train": ids[:samples], "shown": shown, "test": hidden, "validation": ids[samples:]}
    splits = {name: whole.take(rows[name]) for name in NAMES}
    return Dataset("random_labels", splits, tuple(map(str, range(classes))))


def _inputs(of: str, options: Mapping[str, Any], count: int) -> torch.Tensor:
    """The first training samples of a data set."""
    x = load_dataset(of, **options)["train"].x
    if len(x) < count:
        raise DataError(
            f"{of} has too few training samples",
            expected=f"{count:,}: a tenth more than `samples`",
            got=f"{len(x):,}",
        )
    return x[:count]
