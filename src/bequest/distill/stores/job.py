"""The work of a build: which teachers answer which sources, one view at a time."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bequest.data.batches import Source
from bequest.data.rows import LazyRows
from bequest.distill.label_space import check_class_order
from bequest.distill.stores.codecs import Codec, check_finite
from bequest.distill.stores.manifest import (
    ArrayEntry,
    DataEntry,
    Manifest,
    Shard,
    SourceEntry,
    TeacherEntry,
    ViewsEntry,
)
from bequest.distill.stores.writer import LOGITS, PIECE_BYTES, PIECE_SECONDS, ViewWriter
from bequest.distill.teachers import AnyTeacher
from bequest.errors import SignalError, WorkerLost
from bequest.models.devices import to_device

Advance = Callable[[int], object]
"""Called with the number of rows answered since the last call."""


@dataclass(frozen=True)
class Goal:
    """One source, and the folder and manifest of each teacher's answers to it."""

    source: Source
    folders: tuple[Path, ...]
    manifests: tuple[Manifest, ...]

    @property
    def views(self) -> int:
        """The number of views to answer."""
        return self.manifests[0].views.count


@dataclass(frozen=True)
class Job:
    """A build, the same in each of its processes.

    Attributes:
        teachers: The teachers.
        goals: One per source.
        batch: Rows per forward pass.
        pieces: See :class:`~bequest.distill.stores.writer.ViewWriter`.
    """

    teachers: tuple[AnyTeacher, ...]
    goals: tuple[Goal, ...]
    batch: int
    pieces: tuple[int, float] = (PIECE_BYTES, PIECE_SECONDS)

    @property
    def tasks(self) -> list[tuple[int, int]]:
        """Every pair of a goal's index and a view."""
        return [(index, view) for index, goal in enumerate(self.goals) for view in range(goal.views)]

    def answer(self, goal: int, view: int, advance: Advance | None = None) -> tuple[tuple[Shard, ...], ...]:
        """Answer a view of a source, continuing an earlier build; returns the shards of each teacher."""
        aim = self.goals[goal]
        writers: list[ViewWriter] = []
        try:
            for folder, manifest in zip(aim.folders, aim.manifests, strict=True):
                arrays, rows = manifest.arrays, manifest.data.samples
                writers.append(ViewWriter(folder, view, arrays, rows, pieces=self.pieces))
            self._answer(aim, view, writers, advance)
            return tuple(writer.shards or writer.finish() for writer in writers)
        except OSError as error:
            raise SignalError(
                f"cannot write {aim.folders[0]}",
                expected="a writable folder with free space",
                got=error.strerror or str(error),
                remedy="free some space, then run the same command again to resume",
            ) from error
        finally:
            for writer in writers:
                writer.close()

    def _answer(self, goal: Goal, view: int, writers: Sequence[ViewWriter], advance: Advance | None) -> None:
        samples, inputs = len(goal.source.split), goal.source.split.x
        open_writers = [writer for writer in writers if not writer.done]
        first = min((writer.rows for writer in open_writers), default=samples)
        if advance and first:
            advance(first)
        for start in range(first, samples, self.batch):
            refuse_orphan()
            rows = torch.arange(start, min(start + self.batch, samples))
            x = shown(goal.source, rows, view)
            if isinstance(inputs, LazyRows) and start + self.batch < samples:
                inputs.prefetch(rows[: samples - start - self.batch] + self.batch)
            ids = goal.source.split.ids[rows]
            for index, writer in enumerate(writers):
                # After an interruption the teachers' files may differ in length: each continues at its own.
                if not writer.done and writer.rows == start:
                    writer.append(*encoded(self.teachers[index], goal.manifests[index], x, ids, view))
            if advance:
                advance(len(rows))


def shown(source: Source, rows: Tensor, view: int) -> Tensor:
    """The samples at ``rows`` in ``view``, exactly as the student will see them."""
    split = source.split
    if source.plain:
        return split.x[rows]
    assert source.view_seed is not None
    return source.view(split.x[rows], split.ids[rows], view, seed=source.view_seed, pool=(split.x, split.ids))


def encoded(
    teacher: AnyTeacher, manifest: Manifest, x: Tensor, ids: Tensor, view: int
) -> tuple[dict[str, np.ndarray], list[float]]:
    """The teacher's answers to ``x`` in the form of the store's arrays, and the codec's error in each."""
    logits, features = answers(teacher, manifest, x)
    # -inf masks a class, and each codec decides whether it can store it; NaN and +inf are never valid.
    check_finite(torch.where(logits == -math.inf, 0.0, logits), ids, "holds NaN or infinity")
    codec: Codec = Codec.parse(manifest.codec)
    blocks = {LOGITS: codec.encode(logits, ids, view, seed=manifest.views.seed)}
    for array in manifest.arrays:
        if array.name != LOGITS:
            values = features[array.name].to(getattr(torch, np.dtype(array.dtype).name))
            check_finite(values, ids, f"has activations of {array.name!r} that {values.dtype} cannot hold")
            blocks[array.name] = values.numpy()
    stored = codec.decode(as_rows(blocks[LOGITS]), manifest.logits)
    lost = codec.error(stored, logits)
    return blocks, [] if lost is None else lost.tolist()


def as_rows(block: np.ndarray) -> Tensor:
    """Encoded rows as a reader sees them: records of several fields as bytes."""
    if block.dtype.names is not None:
        block = block.view("u1").reshape(*block.shape, block.dtype.itemsize)
    return torch.from_numpy(block)


def answers(teacher: AnyTeacher, manifest: Manifest, x: Tensor) -> tuple[Tensor, Mapping[str, Tensor]]:
    """Float32 logits and the stored activations, on the CPU."""
    names = [array.name for array in manifest.arrays if array.name != LOGITS]
    logits, features = teacher.features(to_device(x, teacher.device), names) if names else (teacher(x), {})
    return logits.float().cpu(), {name: value.detach().cpu() for name, value in features.items()}


def manifest_of(
    teacher: AnyTeacher,
    source: Source,
    *,
    digest: str,
    names: tuple[str, str],
    classes: tuple[str, ...],
    codec: Codec,
    features: Sequence[str],
    feature_dtype: str,
    batch: int,
) -> Manifest:
    """The manifest, without shards, of ``teacher``'s answers to ``source``.

    Args:
        teacher: The teacher.
        source: The source, with the seed and number of its views.
        digest: Of the source's inputs.
        names: Of the data set and of the split.
        classes: Class names, in the data's order.
        codec: The format of the logits.
        features: Activations to store as well.
        feature_dtype: Their type.
        batch: Rows per forward pass.

    Raises:
        SignalError: If the teacher has another number of classes, or is not in eval mode.
    """
    probe = shown(source, torch.arange(min(2, len(source.split))), 0)
    asked = teacher.features(to_device(probe, teacher.device), features) if features else (teacher(probe), {})
    row = tuple(asked[0].shape[1:])
    _check_teacher(teacher, row, classes)
    dtype, shape = codec.layout(row)
    arrays = [ArrayEntry(name=LOGITS, dtype=_plain(dtype), shape=shape)]
    stored_as = np.dtype(feature_dtype).newbyteorder("<").str
    arrays += [ArrayEntry(name=n, dtype=stored_as, shape=tuple(asked[1][n].shape[1:])) for n in features]
    assert source.view_seed is not None
    assert source.view_count is not None
    return Manifest(
        teacher=TeacherEntry(
            digest=teacher.digest,
            network=hashlib.sha256(teacher.structure.encode()).hexdigest(),
            adapter=teacher.adapter_digest,
            name=teacher.name,
            batch=batch,
        ),
        data=DataEntry(
            digest=digest,
            name=names[0],
            split=names[1],
            samples=len(source.split),
            classes=len(classes),
            class_names=classes,
            shape=tuple(source.split.x.shape[1:]),
        ),
        views=ViewsEntry(
            spec=source.view.spec(),
            digest=source.view.digest(),
            seed=source.view_seed,
            count=source.view_count,
        ),
        source=SourceEntry(name=source.name, share=source.share),
        codec=codec.spec(),
        logits=row,
        arrays=tuple(arrays),
        made_with={name: metadata.version(name) for name in ("bequest", "torch")},
    )


def refuse_orphan() -> None:
    """End a worker whose builder was killed, so that it releases its view."""
    from multiprocessing import parent_process

    parent = parent_process()
    if parent is not None and not parent.is_alive():
        raise WorkerLost("the build that started this worker is gone", remedy="run the same command again")


def _check_teacher(teacher: AnyTeacher, row: tuple[int, ...], classes: tuple[str, ...]) -> None:
    if teacher.mode != "eval":
        raise SignalError(
            f"the teacher {teacher.name!r} is asked in training mode, so its answers vary",
            expected="mode 'eval'",
            got=f"mode {teacher.mode!r}",
            remedy="stored answers stand for one function of the input; query a noisy teacher live",
        )
    check_class_order(f"the teacher {teacher.name!r}", teacher.classes, classes, SignalError)
    if row[-1] != len(classes):
        raise SignalError(
            f"the teacher {teacher.name!r} has a different label space from the data",
            expected=f"{len(classes)} logits",
            got=f"{row[-1]} logits",
            remedy="replace the teacher's head, or map its classes to the data's",
        )


def _plain(dtype: np.dtype[Any]) -> Any:
    """A NumPy type as JSON values."""
    described: Any = np.lib.format.dtype_to_descr(dtype)
    if isinstance(described, str):
        return described
    return [[list(part) if isinstance(part, tuple) else part for part in field] for field in described]
