"""The data of a study: what networks train on and what they are tested on; loaded once a process."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path

import torch

from bequest import parts
from bequest.config import content_hash
from bequest.data.corruptions import corrupt
from bequest.data.datasets import Dataset, Split, load_dataset, located
from bequest.data.folders import subset
from bequest.data.fractions import fraction
from bequest.data.sources import data_root
from bequest.files import file_digest
from bequest.studies.source import SourceSpec
from bequest.studies.spec import DataSpec, SplitSpec

PROBE_SPLIT = "test"
"""The split on which representations are compared."""

CONTENT_BYTES = 2**30
"""Data sets of at most this size are told apart by content."""


def load(spec: DataSpec) -> Dataset:
    """The dataset that ``spec`` names."""
    return _load(json.dumps(spec.plain(), sort_keys=True))


def tested_on(data: DataSpec, spec: SplitSpec) -> Split:
    """The samples of a test split of ``data``."""
    return _test_split(json.dumps(data.plain(), sort_keys=True), json.dumps(spec.samples(), sort_keys=True))


def used_parts(spec: DataSpec) -> dict[str, str]:
    """What decides the content of a dataset beside its name and options: a user's part, files on disk."""
    family, place = located(spec.name)
    part = parts.part_of("dataset", family)
    digests = {} if part is None else {f"dataset {family}": part.digest}
    for root in (Path(place.get("path", "")).expanduser(), data_root() / place.get("path", "")):
        if place and root.exists():
            return {**digests, f"data {spec.name}": _content(_stamps(root))}
    return digests


def _stamps(root: Path) -> tuple[tuple[str, int, int], ...]:
    """Path, size and time of every file of a data set."""
    files = sorted(path for path in root.rglob("*") if path.is_file()) if root.is_dir() else [root]
    return tuple((str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files)


@lru_cache(maxsize=16)
def _content(stamps: tuple[tuple[str, int, int], ...]) -> str:
    """A digest of the files' contents; of more than a GiB the sizes and times must do."""
    if sum(size for _, size, _ in stamps) > CONTENT_BYTES:
        return content_hash([[Path(name).name, size, time] for name, size, time in stamps])
    return content_hash([[Path(name).name, file_digest(name)] for name, _, _ in stamps])


@lru_cache(maxsize=4)
def _load(spec: str) -> Dataset:
    plain = json.loads(spec)
    return load_dataset(plain["name"], **plain.get("options", {}))


@lru_cache(maxsize=64)
def _test_split(data: str, spec: str) -> Split:
    return shifted(_load(data), SplitSpec.model_validate({"description": "", **json.loads(spec)}))


def shifted(data: Dataset, spec: SplitSpec) -> Split:
    """The samples of ``spec.of`` corrupted, or under each variant; copy k of sample i has id i·K + k."""
    base = data[spec.of]
    if spec.corruption is not None:
        return Split(corrupt(spec.corruption, base.x, base.ids, spec.level), base.y, base.ids)
    if not spec.variants:
        return base
    count = len(spec.variants)
    x = torch.cat([variant(base.x) for variant in spec.variants])
    ids = torch.cat([base.ids * count + k for k in range(count)])
    about = {name: values.repeat(count) for name, values in base.about.items()}
    return Split(x, None if base.y is None else base.y.repeat(count), ids, about)


def part_of(data: Dataset, spec: SourceSpec, *, seed: int) -> Split:
    """The samples that a source names: a split, a share of it, or so many of each class.

    The same for all arms at a seed.

    Raises:
        UnknownName: If there is no such split.
        DataError: If it cannot be divided by class.
    """
    part = fraction(data[spec.of], spec.fraction, seed=seed)
    return part if spec.per_class is None else subset(part, spec.per_class, seed=seed)
