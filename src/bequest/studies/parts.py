"""The samples of a source: a split, a share of it, or so many of each class."""

from __future__ import annotations

from bequest.data.datasets import Dataset, Split
from bequest.data.folders import subset
from bequest.data.fractions import fraction
from bequest.studies.spec import SourceSpec


def part_of(data: Dataset, spec: SourceSpec, *, seed: int) -> Split:
    """The samples that ``spec`` names; the same for all arms at a seed.

    Raises:
        DataError: If there is no such split, or it cannot be divided by class.
    """
    part = fraction(data[spec.of], spec.fraction, seed=seed)
    return part if spec.per_class is None else subset(part, spec.per_class, seed=seed)
