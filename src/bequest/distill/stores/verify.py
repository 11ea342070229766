"""Verification of a store: checksums of every file, then a sample of answers computed again."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bequest.data.datasets import Dataset, Split
from bequest.distill.stores.job import answers, as_rows, shown
from bequest.distill.stores.recording import Recording
from bequest.distill.stores.store import SignalStore, open_store
from bequest.distill.teachers import AnyTeacher
from bequest.models.devices import Device, parse_device
from bequest.seeding import torch_generator

SAMPLES = 64


@dataclass(frozen=True)
class Verification:
    """The result of a verification.

    Attributes:
        files: Number of files read whole; all matched their checksums.
        bytes: Their size.
        probed: Number of answers computed again; 0 without a teacher.
        deviation: The largest difference between a stored answer and the current one, which is first encoded
            and decoded: relative to its largest logit, or the share of draws that differ. None without a
            teacher.
        worst: Source, sample id and view of that answer.
        kl_mean: KL(teacher ‖ decoded answer) at T = 1, in nats, over all answers when the store was built;
            None if the codec loses nothing.
        kl_largest: The same for the answer with the largest error.
    """

    files: int
    bytes: int
    probed: int = 0
    deviation: float | None = None
    worst: tuple[str, int, int] | None = None
    kl_mean: float | None = None
    kl_largest: float | None = None


def verify_store(
    path: str | Path,
    *,
    teachers: Any = (),
    data: Dataset | Split | None = None,
    samples: int = SAMPLES,
    seed: int = 0,
    device: Device | None = None,
) -> Verification:
    """Check every file of a store against its checksum, then a random sample of answers against the teachers.

    Args:
        path: The store's folder.
        teachers: The teachers that answered, to be asked again; empty for checksums only.
        data: The data that they were asked about; needed with teachers.
        samples: Number of answers per recording that are computed again.
        seed: Seeds the sample.
        device: Device of the teachers; default: where they are.

    Raises:
        SignalError: If a file is damaged, the teachers are others, or the data is other data; names it.
    """
    from bequest.distill.stores.build import as_teachers

    store = open_store(path, checksums=True)
    files = sum(len(manifest.shards) for manifest in store.manifests)
    errors = [manifest.error for manifest in store.manifests if manifest.error is not None]
    kl_mean = sum(error.mean for error in errors) / len(errors) if errors else None
    kl_largest = max(error.largest for error in errors) if errors else None
    checked = Verification(files, store.bytes, kl_mean=kl_mean, kl_largest=kl_largest)
    if not teachers and not isinstance(teachers, torch.nn.Module):
        return checked
    with ExitStack() as borrowed:
        asked = as_teachers(teachers, borrowed)
        store.check_teachers(asked)
        for teacher in asked if device is not None else ():
            teacher.to(parse_device(device or "cpu"))
        deviations = probe(store, asked, () if data is None else (data,), samples=samples, seed=seed)
    worst = max(deviations, key=lambda each: each[0])
    return replace(checked, probed=len(deviations), deviation=worst[0], worst=worst[1:])


def probe(
    store: SignalStore,
    teachers: Sequence[AnyTeacher],
    data: Sequence[Dataset | Split],
    *,
    samples: int = SAMPLES,
    seed: int = 0,
) -> list[tuple[float, str, int, int]]:
    """The deviation, source, sample id and view of a random sample of answers of each recording."""
    sources = store.sources(*data)
    probed = []
    for teacher, row in zip(teachers, store.grid, strict=True):
        for recording, source in zip(row, sources, strict=True):
            generator = torch_generator(seed, "probe", recording.manifest.data.digest)
            chosen = torch.randint(len(source.split), (samples,), generator=generator)
            views = torch.randint(recording.manifest.views.count, (samples,), generator=generator)
            for view in sorted(set(views.tolist())):
                rows = chosen[views == view]
                x, ids = shown(source, rows, view), source.split.ids[rows]
                logits, _ = answers(teacher, recording.manifest, x)
                off = deviations(recording, view, rows, ids, logits)
                probed += [(float(o), source.name, int(i), view) for o, i in zip(off, ids, strict=True)]
    return probed


def deviations(recording: Recording, view: int, rows: Tensor, ids: Tensor, logits: Tensor) -> Tensor:
    """The deviation of each stored answer from ``logits``, which are first encoded and decoded as well."""
    manifest, codec = recording.manifest, recording.codec
    encoded = as_rows(codec.encode(logits, ids, view, seed=manifest.views.seed))
    off = codec.deviation(recording.logits(view, rows), codec.decode(encoded, manifest.logits))
    # A NaN is the worst deviation, not one that compares as smaller than all others.
    return torch.where(torch.isfinite(off), off, math.inf)
