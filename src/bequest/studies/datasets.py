"""The data of a study, for training and for tests; loaded once per process."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from bequest import parts
from bequest.config import content_hash
from bequest.data.content import content_digest
from bequest.data.corruptions import corrupt
from bequest.data.datasets import Dataset, Split, load_dataset, located
from bequest.data.folders import subset
from bequest.data.fractions import fraction
from bequest.data.outline import OF_TOKENS, OUTLINES, outline_of
from bequest.data.rows import ChangedRows, LazyRows
from bequest.data.transforms import Transform
from bequest.errors import DataError, UnknownName
from bequest.studies.source import SourceSpec
from bequest.studies.spec import DataSpec, SplitSpec

PROBE_SPLIT = "test"
"""The split on which representations are compared."""


def load(spec: DataSpec) -> Dataset:
    """The dataset that ``spec`` names, with its files as they were when last checked."""
    return _load(_key(spec), content_hash(used_parts(spec)))


def is_language(spec: DataSpec) -> bool:
    """Whether tokens have labels, judged by the name alone; nothing is loaded."""
    if spec.name in OUTLINES:
        return outline_of(spec.name, spec.options).task != "classify"
    return located(spec.name)[0] in OF_TOKENS


def tested_on(data: DataSpec, spec: SplitSpec) -> Split:
    """The samples of a test split of ``data``."""
    return _test_split(_key(data), content_hash(used_parts(data)), json.dumps(spec.samples(), sort_keys=True))


def used_parts(spec: DataSpec) -> dict[str, str]:
    """Digests of what decides the content of a dataset besides its name and options: a user's part, files.

    The files are hashed once; :func:`look_again` says that they may have changed.
    """
    key = _key(spec)
    if key not in _looked_at:
        part = parts.part_of("dataset", located(spec.name)[0])
        digests = {} if part is None else {f"dataset {part.name}": part.digest}
        content = content_digest(spec.name, spec.plain().get("options", {}))
        _looked_at[key] = digests if content is None else {**digests, f"data {spec.name}": content}
    return _looked_at[key]


def look_again() -> None:
    """Check the files of datasets again at the next use, and load again those that have changed."""
    _looked_at.clear()


_looked_at: dict[str, dict[str, str]] = {}
"""The results of :func:`used_parts`, by the specification of the dataset."""


def _key(spec: DataSpec) -> str:
    return json.dumps(spec.plain(), sort_keys=True)


@lru_cache(maxsize=4)
def _load(spec: str, content: str) -> Dataset:
    del content  # only a part of the cache's key: with other files it is another dataset
    plain = json.loads(spec)
    return load_dataset(plain["name"], **plain.get("options", {}))


@lru_cache(maxsize=64)
def _test_split(data: str, content: str, spec: str) -> Split:
    return shifted(_load(data, content), SplitSpec.model_validate({"description": "", **json.loads(spec)}))


def shifted(data: Dataset, spec: SplitSpec) -> Split:
    """The samples of ``spec.of``, corrupted or under each of K variants; copy k of sample i has id i·K + k.

    Raises:
        UnknownName: If there is no such split, or its samples have no such attribute.
        DataError: If no sample meets ``where``.
    """
    base = _where(data[spec.of], spec)
    if spec.corruption is not None:
        return Split(corrupt(spec.corruption, base.x, base.ids, spec.level), base.y, base.ids)
    if not spec.variants:
        return base
    count = len(spec.variants)
    x = _varied(base.x, spec.variants)
    ids = torch.cat([base.ids * count + k for k in range(count)])
    about = {name: values.repeat(count) for name, values in base.about.items()}
    return Split(x, None if base.y is None else base.y.repeat(count), ids, about)


def _where(base: Split, spec: SplitSpec) -> Split:
    """The samples whose attributes all have one of the values that ``spec.where`` lists."""
    if not spec.where:
        return base
    rows = np.arange(len(base))
    for name, values in spec.where.items():
        if name not in base.about:
            known = ", ".join(base.about) or "nothing"
            raise UnknownName(f"nothing is known of {name!r} in the split {spec.of!r}", expected=known)
        rows = rows[np.isin(base.about[name].numpy()[rows], values)]
    if not len(rows):
        raise DataError(f"no sample of {spec.of!r} is where the split says", expected=str(spec.where))
    return base.take(torch.tensor(rows, device=base.ids.device))


def _varied(x: Tensor, variants: Sequence[Transform]) -> Tensor:
    """``x`` under each variant, one after another; rows that are not in memory are changed when read."""
    if not isinstance(x, LazyRows):
        return torch.cat([variant(x) for variant in variants])

    def change(part: Tensor, rows: Tensor) -> Tensor:
        # One image at a time: a batch may hold rows of several variants.
        chosen = (rows // len(x)).tolist()
        return torch.cat([variants[k](image[None]) for k, image in zip(chosen, part, strict=True)])

    return LazyRows(ChangedRows(x.take(torch.arange(len(x), device=x.device).repeat(len(variants))), change))


def part_of(data: Dataset, spec: SourceSpec, *, seed: int) -> Split:
    """The samples that a source names: a split, a share of it, or a number of samples per class.

    They are the same for all arms at a seed.

    Raises:
        UnknownName: If there is no such split.
        DataError: If it cannot be divided by class.
    """
    part = fraction(data[spec.of], spec.fraction, seed=seed)
    return part if spec.per_class is None else subset(part, spec.per_class, seed=seed)
