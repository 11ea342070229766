"""Building a store: teachers answer every view once. A build that is killed can be resumed at any point."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from bequest.data.batches import Source
from bequest.data.datasets import Dataset, Split, as_dataset, as_pool
from bequest.data.views import View, parse_views
from bequest.distill.stores.codecs import Codec, parse_codec
from bequest.distill.stores.folder import (
    BUILDING,
    Finished,
    alone,
    check_space,
    clear,
    rank_and_world,
    taken_up,
    until,
)
from bequest.distill.stores.job import Goal, Job, manifest_of
from bequest.distill.stores.manifest import (
    MANIFEST,
    Collection,
    Manifest,
    Shard,
    StoreDamaged,
    read_manifest,
    write_manifest,
)
from bequest.distill.stores.store import SignalStore, input_digest, open_store
from bequest.distill.stores.workers import answer_in_processes
from bequest.distill.stores.writer import PIECE_BYTES, PIECE_SECONDS, finished, journal_path
from bequest.distill.teachers import AnyTeacher
from bequest.errors import ConfigError, SignalError
from bequest.files import tidy
from bequest.models.devices import Device, parse_device, worker_devices

BATCH = 256
Progress = Callable[[int, int], object]
"""Called with the number of answers stored so far, and the number in all."""


def build_store(
    teachers: Any,
    data: Any,
    *,
    path: str | Path,
    views: Any = None,
    count: int = 1,
    codec: Codec | str | Mapping[str, Any] = "float16",
    queries: Any = None,
    split: str = "train",
    seed: int = 0,
    features: Sequence[str] = (),
    feature_dtype: str = "float16",
    batch: int = BATCH,
    workers: int = 1,
    device: Device | None = None,
    per_device: int | None = None,
    fresh: bool | Literal["damaged"] = False,
    wait: bool = False,
    pieces: tuple[int, float] = (PIECE_BYTES, PIECE_SECONDS),
    progress: Progress | None = None,
) -> SignalStore:
    """Ask teachers about every view of the data once, and store the answers.

    The result depends on the arguments alone: an interrupted build that is called again ends with the same
    bytes. Under ``torchrun`` each process answers its share of the views. More views can be added to a store
    later; a folder that holds anything else is refused.

    Args:
        teachers: A fitted model, a network, a :class:`bequest.distill.teachers.Teacher`, or several of them.
        data: See :func:`bequest.load_dataset`.
        path: The store's folder.
        views: A view, its name, a table, or a list of them; default: no augmentation, which is one view.
        count: Number of views; epoch e of a training shows view e modulo this count.
        codec: ``float32``, ``float16`` or ``bfloat16`` for all logits, or one of ``TopK``, ``Sampled``.
        queries: Ask about an unlabelled pool instead, or about a mixture of
            :class:`bequest.data.batches.Source`, whose own ``view_count`` overrides ``count``.
        split: The split of the data that is asked about.
        seed: Seeds the views.
        features: Activations to store with the logits, such as ``penultimate``.
        feature_dtype: ``float16`` or ``float32``.
        batch: Rows per forward pass. It is part of the result: kernels round differently at other sizes.
        workers: Processes on this machine, with one torch thread each, that share the views.
        device: Device of the teachers; workers are dealt round-robin over the GPUs that ``cuda`` and
            ``auto`` mean. Default: where the teachers are. A GPU's answers differ from a CPU's in bits.
        per_device: Number of workers on each GPU, instead of ``workers``.
        fresh: Start over even if the folder holds a store; ``damaged``: only if that is another store, or
            its manifests are damaged.
        wait: Wait for another builder of the same folder instead of raising an error.
        pieces: Bytes and seconds after which answers are synced to disk, which is what a crash can cost.
        progress: See :data:`Progress`.

    Raises:
        SignalError: If the folder holds something else, another builder is at work, the disk is too small, or
            an answer cannot be kept.
        InputError: If data, teachers and options do not fit.

    >>> import tempfile
    >>> import bequest as bq
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     store = bq.build_store(bq.fit("mlp", "digits", epochs=1), "digits", path=folder)
    ...     store.bytes
    26068
    """
    with ExitStack() as borrowed:
        asked = as_teachers(teachers, borrowed)
        devices = () if device is None else _devices(device, workers, per_device)
        for teacher in asked if devices else ():
            teacher.to(parse_device(devices[0]))
        job = _job(
            asked,
            sources_of(as_dataset(data), queries, parse_views(views), split, count=count, seed=seed),
            Path(path),
            codec=parse_codec(codec),
            features=features,
            feature_dtype=feature_dtype,
            batch=batch,
            pieces=pieces,
        )
        with alone(Path(path), wait=wait):
            several = len(devices) or workers
            build(job, Path(path), workers=several, devices=devices, fresh=fresh, progress=progress)
        for teacher in asked:
            teacher.verify()
    return open_store(path)


def _devices(device: Device, workers: int, per_device: int | None) -> tuple[str, ...]:
    """The device of each worker; under torchrun, where ranks share the views, that of the rank."""
    if rank_and_world()[1] > 1:
        return (str(parse_device(device)),) * workers
    on_cpu = parse_device(device).type == "cpu"
    several = workers if on_cpu or per_device is None else None
    return worker_devices(device, cores=workers, workers=several, per_device=None if on_cpu else per_device)


def build(
    job: Job,
    path: Path,
    *,
    workers: int = 1,
    devices: Sequence[str] = (),
    fresh: bool | Literal["damaged"] = False,
    progress: Progress | None = None,
) -> None:
    """Do the rest of ``job``; :func:`build_store` has checked the arguments."""
    rank, world = rank_and_world()
    folders = {path, *(folder for goal in job.goals for folder in goal.folders)}
    if world == 1:  # other ranks may be writing by now
        tidy(path)
    if fresh is True:
        _start_over(folders, world)
    try:
        finished_views = taken_up(job)
    except StoreDamaged as error:
        if fresh != "damaged" or world > 1:
            raise
        warnings.warn(f"{error.message}; the store is built again", stacklevel=2)
        _start_over(folders, world)
        finished_views = taken_up(job)
    # After the finished views are known: only the missing ones need space.
    check_space(job)
    mine = [
        task for place, task in enumerate(job.tasks) if place % world == rank and task not in finished_views
    ]
    counter = _Counter(job, progress, done=len(finished_views))
    if workers > 1 and len(mine) > 1:
        answer_in_processes(job, mine, workers, counter.advance, devices=devices)
    else:
        for goal, view in mine:
            job.answer(goal, view, counter.advance)
    if rank == 0:
        _conclude(job, finished_views, path)
    else:
        until(lambda: _complete(job, path))


def _start_over(folders: set[Path], world: int) -> None:
    if world > 1:
        raise ConfigError.of("the store", ["fresh: ranks cannot start over together; delete the folder"])
    for folder in folders:
        clear(folder)


def sources_of(
    data: Dataset, queries: Any, view: View, split: str, *, count: int, seed: int
) -> list[tuple[Source, str, Dataset]]:
    """The sources to ask about, with seed and number of views, the name of their samples, and the data.

    Raises:
        ConfigError: If the number of views is not positive.
    """
    if count < 1:
        raise ConfigError.of("the store", [f"count: expected at least one view, got {count}"])
    if queries is None:
        asked_about = [Source(split, data[split].unlabelled(), view)]
    elif isinstance(queries, list | tuple) and queries and all(isinstance(q, Source) for q in queries):
        asked_about = list(queries)
    else:
        asked_about = [Source("queries", as_pool(queries), view)]
    seeded_sources = []
    for source in asked_about:
        # Without augmentation all views would be the same.
        views = 1 if source.plain else source.view_count or count
        seeded = replace(
            source,
            view_count=views,
            view_seed=seed if source.view_seed is None else source.view_seed,
        )
        seeded_sources.append((seeded, _split_name(data, source.split), data))
    return seeded_sources


def as_teachers(answerers: Any, borrowed: ExitStack) -> tuple[AnyTeacher, ...]:
    """Teachers from one or several teachers, fitted students or networks.

    Networks get their modes back when ``borrowed`` closes.

    Raises:
        SignalError: If there is none, or the same one twice.
    """
    from bequest.distill.fit import as_teacher

    several = answerers if isinstance(answerers, list | tuple) else [answerers]
    if not several:
        raise SignalError("a store needs a teacher", expected="at least one", got="none")
    teachers = tuple(as_teacher(each, index) for index, each in enumerate(several))
    for teacher, each in zip(teachers, several, strict=True):
        if teacher is not each:
            borrowed.callback(teacher.release)
    if len({(teacher.name, teacher.digest) for teacher in teachers}) < len(teachers):
        raise SignalError("the same teacher is given twice", got=", ".join(t.name for t in teachers))
    return teachers


def _split_name(data: Dataset, split: Split) -> str:
    for name, candidate in data.splits.items():
        # Identity first: a digest reads all of the data.
        if candidate.x is split.x or (
            len(candidate) == len(split) and input_digest(candidate) == input_digest(split)
        ):
            return name
    return "pool"


def _job(
    teachers: tuple[AnyTeacher, ...],
    sources: Sequence[tuple[Source, str, Dataset]],
    path: Path,
    *,
    codec: Codec,
    features: Sequence[str],
    feature_dtype: str,
    batch: int,
    pieces: tuple[int, float],
) -> Job:
    if feature_dtype not in ("float16", "float32"):
        raise ConfigError.of(
            "the store", [f"feature_dtype: expected float16 or float32, got {feature_dtype!r}"]
        )
    single = len(teachers) == len(sources) == 1
    goals = []
    for place, (source, name, data) in enumerate(sources):
        digest = input_digest(source.split)
        manifests = [
            manifest_of(
                teacher,
                source,
                digest=digest,
                names=(data.name, name),
                classes=tuple(data.classes),
                codec=codec,
                features=features,
                feature_dtype=feature_dtype,
                batch=batch,
            )
            for teacher in teachers
        ]
        folders = [path if single else path / f"teacher-{t}-source-{place}" for t in range(len(teachers))]
        goals.append(Goal(source, tuple(folders), tuple(manifests)))
    return Job(teachers, tuple(goals), batch, pieces)


def _conclude(job: Job, finished_views: Finished, path: Path) -> None:
    """Wait for the other ranks' views, then write the manifests."""
    for index, goal in enumerate(job.goals):
        for teacher, (folder, manifest) in enumerate(zip(goal.folders, goal.manifests, strict=True)):
            shards: list[Shard] = []
            for view in range(goal.views):
                before = finished_views.get((index, view))
                shards += before[teacher] if before else _awaited(folder, view)
            write_manifest(folder, manifest.model_copy(update={"shards": tuple(shards)}))
            (folder / BUILDING).unlink(missing_ok=True)
            for view in range(goal.views):
                # After the manifest: until it exists, only the journals know which views are finished.
                journal_path(folder, view).unlink(missing_ok=True)
    folders = [folder for goal in job.goals for folder in goal.folders]
    if folders != [path]:
        names = sorted(str(folder.relative_to(path)) for folder in folders)
        write_manifest(path, Collection(stores=tuple(names)))


def _awaited(folder: Path, view: int) -> tuple[Shard, ...]:
    until(lambda: finished(folder, view) is not None)
    return finished(folder, view) or ()


def _complete(job: Job, path: Path) -> bool:
    """True if every manifest exists and lists every view."""
    expected = [(folder, goal.views) for goal in job.goals for folder in goal.folders]
    if not all((folder / MANIFEST).exists() for folder in {path, *(folder for folder, _ in expected)}):
        return False
    manifests = [(read_manifest(folder / MANIFEST), views) for folder, views in expected]
    return all(isinstance(m, Manifest) and m.views.count >= views for m, views in manifests)


class _Counter:
    """Counts the answers for a progress display."""

    def __init__(self, job: Job, progress: Progress | None, *, done: int) -> None:
        samples = [len(goal.source.split) for goal in job.goals for _ in range(goal.views)]
        self._total = sum(samples)
        self._done = 0
        self._progress = progress
        if done:
            # Which views are finished is unknown here: assume the smallest, so the count cannot overshoot.
            self.advance(sum(sorted(samples)[:done]))

    def advance(self, rows: int) -> None:
        self._done += rows
        if self._progress is not None:
            self._progress(self._done, self._total)
