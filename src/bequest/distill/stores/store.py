"""A signal store: every teacher's answers to every source, replayed in place of the teachers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bequest.data.batches import AnySource, Source
from bequest.data.datasets import Dataset, Split
from bequest.data.views import View
from bequest.distill.objectives import Objective
from bequest.distill.stores.codecs import reading_temperature
from bequest.distill.stores.manifest import MANIFEST, SHORT, Collection, Manifest, read_manifest
from bequest.distill.stores.recording import Recording
from bequest.distill.stores.replay import Replay, teacher_records
from bequest.distill.teachers import AnyTeacher
from bequest.errors import SignalError
from bequest.records import TeacherRecord


@dataclass(frozen=True)
class SignalStore:
    """Stored answers, used in place of teachers: ``bq.distill(student, data, signal=store)``.

    Attributes:
        grid: One row per teacher, one recording per source; the sources of all rows are the same.
    """

    grid: tuple[tuple[Recording, ...], ...]

    @property
    def manifests(self) -> list[Manifest]:
        """The manifest of each recording."""
        return [recording.manifest for row in self.grid for recording in row]

    @property
    def bytes(self) -> int:
        """Size of all arrays."""
        return sum(recording.bytes for row in self.grid for recording in row)

    @property
    def teachers(self) -> tuple[TeacherRecord, ...]:
        """The teachers as entries of a run's record."""
        return teacher_records(self.grid)

    def sources(self, *candidates: Dataset | Split, labelled: bool = False) -> tuple[Source, ...]:
        """The sources that were asked about, to train on: samples from ``candidates``, views from the store.

        Args:
            candidates: Data sets or splits; the store's inputs are found among them by their content.
            labelled: Keep the labels of samples that have some.

        Raises:
            SignalError: If the inputs of a source are not among them; says what differs.
        """
        sources = []
        for recording in self.grid[0]:
            split = _find(recording.manifest, candidates)
            sources.append(recording.source(split if labelled else split.unlabelled()))
        return tuple(sources)

    def opened(
        self,
        sources: Sequence[AnySource],
        objective: Objective,
        *,
        combined: bool = False,
    ) -> Replay:
        """The answers to batches of ``sources``, as ``objective`` needs them.

        Args:
            sources: The sources that the student trains on, usually :meth:`sources`.
            objective: The objective that will read the answers.
            combined: Whether the answers of several teachers will be combined.

        Raises:
            SignalError: If the sources are not those that were asked about, or the objective cannot be
                computed from the stored values; says what differs.
        """
        _check_sources(self.grid, sources)
        temperatures = [
            reading_temperature(recording.codec, objective) for row in self.grid for recording in row
        ]
        _check_features(self.grid, objective.teacher_features)
        if combined:
            _check_combination(self.grid)
        return Replay(self.grid, temperature=max(temperatures), features=objective.teacher_features)

    def check_teachers(self, teachers: Sequence[AnyTeacher]) -> None:
        """Refuse a store with answers of other teachers.

        Raises:
            SignalError: Names the teacher whose digest differs.
        """
        stored = [row[0].manifest.teacher for row in self.grid]
        if [entry.digest for entry in stored] != [teacher.digest for teacher in teachers]:
            raise SignalError(
                "the signal store has the answers of different teachers",
                expected=", ".join(f"{teacher.name} {teacher.digest[:SHORT]}" for teacher in teachers),
                got=", ".join(f"{entry.name} {entry.digest[:SHORT]}" for entry in stored),
                remedy="build a store of these teachers",
            )

    def check_views(self, view: View) -> None:
        """Refuse a view that is not the store's.

        Raises:
            SignalError: Shows both.
        """
        for recording in self.grid[0]:
            if recording.view != view:
                raise SignalError(
                    "the signal store was built on other views",
                    expected=recording.view.spec(),
                    got=view.spec(),
                    remedy="leave out views to train on the store's, or build a store of these views",
                )


def open_store(path: str | Path, *more: str | Path, checksums: bool | None = None) -> SignalStore:
    """Open a store, or several as one: more teachers of the same sources, or more sources of the teachers.

    Sizes and headers of all files are compared with the manifest at every opening, checksums at the first.

    Args:
        path: The store's folder.
        more: Further folders.
        checksums: True: always compare them; False: never.

    Raises:
        SignalError: If a file is missing, damaged or foreign, a manifest is newer than this bequest, or the
            folders do not fit together.
    """
    recordings = [
        Recording(folder, checksums=checksums) for each in (path, *more) for folder in folders_of(Path(each))
    ]
    return SignalStore(_arranged(recordings))


def folders_of(path: Path) -> list[Path]:
    """The folders of the recordings that make up the store ``path``.

    Raises:
        SignalError: If it is not a store, or was not finished.
    """
    if not (path / MANIFEST).exists() and any(path.glob(".building*")):
        raise SignalError(
            f"the signal store {path} is not finished",
            expected=f"a folder with {MANIFEST}",
            got="what an interrupted build left",
            remedy="run the same build command again: it resumes where it stopped",
        )
    manifest = read_manifest(path / MANIFEST)
    return [path / name for name in manifest.stores] if isinstance(manifest, Collection) else [path]


def input_digest(split: Split) -> str:
    """SHA-256 over ids and inputs, in order."""
    # A split without labels is asked itself, since it keeps its digest; a copy would compute it again.
    return split.unlabelled().digest if split.y is not None else split.digest


def _arranged(recordings: Sequence[Recording]) -> tuple[tuple[Recording, ...], ...]:
    """Recordings as a grid; teachers and sources are in the order of their first recording."""
    cells: dict[tuple[str, str], dict[str, Recording]] = {}
    for recording in recordings:
        manifest = recording.manifest
        row = cells.setdefault((manifest.teacher.digest, manifest.teacher.name), {})
        source = (
            f"{manifest.source.name}|{manifest.data.digest}|{manifest.views.digest}|{manifest.views.seed}"
        )
        if source in row:
            raise SignalError(
                "two of the stores hold the same teacher's answers to the same source",
                got=f"{row[source].folder} and {recording.folder}",
                remedy="name each once",
            )
        row[source] = recording
    columns = list(next(iter(cells.values())))
    for (_, name), row in cells.items():
        if set(row) != set(columns):
            raise SignalError(
                "the stores do not fit together",
                expected="every teacher's answers to every source",
                got=f"{name!r} answered {len(row)} of {len({s for r in cells.values() for s in r})} sources",
                remedy="build the missing ones with the same data, views and seed",
            )
    return tuple(tuple(row[source] for source in columns) for row in cells.values())


def _find(manifest: Manifest, candidates: Sequence[Dataset | Split]) -> Split:
    entry = manifest.data
    tried = []
    for each in candidates:
        splits = {"": each} if isinstance(each, Split) else dict(each.splits)
        # The split with the recorded name first: digests of the others need not be computed then.
        for name in sorted(splits, key=lambda name: name != entry.split):
            if len(splits[name]) == entry.samples and input_digest(splits[name]) == entry.digest:
                return splits[name]
            tried.append(
                f"{name or 'the pool'} ({len(splits[name])} samples, {input_digest(splits[name])[:SHORT]})"
            )
    raise SignalError(
        "the signal store was built on other samples",
        expected=f"{entry.name}/{entry.split}: {entry.samples} samples, {entry.digest[:SHORT]}",
        got=", ".join(tried) or "none",
        remedy="train on the data that the store was built on, or build a store of this data",
    )


def _check_sources(grid: Sequence[Sequence[Recording]], sources: Sequence[AnySource]) -> None:
    if len(sources) != len(grid[0]):
        raise _misfit([f"sources: stored {len(grid[0])}, asked {len(sources)}"])
    lines = []
    for recording, source in zip(grid[0], sources, strict=True):
        if not isinstance(source, Source):
            lines.append(f"{source.name}: inputs that are made for each step have no stored answers")
            continue
        entry, views = recording.manifest.data, recording.manifest.views
        compared = [
            ("samples", entry.samples, len(source.split)),
            ("inputs", entry.digest[:SHORT], input_digest(source.split)[:SHORT]),
            ("views", recording.view.spec(), source.view.spec()),
        ]
        # Without augmentation all views are the same, whatever their seed and number.
        if not source.plain:
            compared += [
                ("view seed", views.seed, source.view_seed),
                ("view count", views.count, source.view_count),
            ]
        lines += [
            f"{source.name}: {key}: stored {old}, asked {new}" for key, old, new in compared if old != new
        ]
    if lines:
        raise _misfit(lines)


def _misfit(lines: Sequence[str]) -> SignalError:
    return SignalError(
        "\n".join(
            ["the signal store does not fit the training sources:", *(f"  - {line}" for line in lines)]
        ),
        remedy="train on store.sources(data), or build a store of these sources",
    )


def _check_features(grid: Sequence[Sequence[Recording]], wanted: Sequence[str]) -> None:
    for recording in (each for row in grid for each in row):
        missing = set(wanted) - set(recording.features)
        if missing:
            raise SignalError(
                "the objective reads activations that the store does not hold",
                expected=", ".join(sorted(missing)),
                got=", ".join(recording.features) or "logits only",
                remedy=f"build it with features={tuple(wanted)!r}",
            )


def _check_combination(grid: Sequence[Sequence[Recording]]) -> None:
    lossy = {recording.codec.name for row in grid for recording in row} - {"dense"}
    if len(grid) > 1 and lossy:
        raise SignalError(
            "combining the answers of several teachers needs all of their logits",
            expected="dense stores",
            got=", ".join(sorted(lossy)),
            remedy="build dense stores, or bind each teacher to a token of its own",
        )
