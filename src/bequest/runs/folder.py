"""A run folder: its files, its lock, and how its configuration may change."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from bequest.config import read_toml, to_toml
from bequest.errors import ConfigError, RunFolderError

# Importing the kinds registers them, before a study that names one is parsed.
from bequest.evidence import kinds as kinds
from bequest.files import file_digest, tidy, write_text
from bequest.parts import load_parts
from bequest.printable import counted
from bequest.record_files import read_record, read_records
from bequest.records import VERSION, CellRecord, Record, RunRecord, StudyRecord
from bequest.runs.jobs.leases import DRIVER, Leases, at_work
from bequest.runs.jobs.workers import AT_WORK
from bequest.studies.cell import cell_folder
from bequest.studies.plan import Plan, make_plan

STORES = "stores"
"""The folder of a run in which its stores lie."""
CELLS = "cells"
MEASUREMENTS, CURVES, CLAIMS = "measurements.json", "curves.json", "claims.json"
MEASURED = (MEASUREMENTS, CURVES)
RESULTS = (*MEASURED, CLAIMS)
SHOWN = 8
"""So many differences or cells are named in a message."""

R = TypeVar("R", bound=Record)


@dataclass(frozen=True)
class RunFolder:
    """The files of one study's run."""

    path: Path

    @property
    def configuration(self) -> Path:
        """The configuration as resolved, with the scale it was resolved at."""
        return self.path / "study.toml"

    @property
    def study(self) -> Path:
        """The study's record."""
        return self.path / "study.json"

    def __truediv__(self, name: str) -> Path:
        return self.path / name

    def plan(self) -> Plan:
        """The plan that the folder holds.

        Raises:
            RunFolderError: If the folder holds no run.
        """
        if not self.configuration.is_file():
            raise RunFolderError(
                f"{self.path} is not a run folder",
                expected="a folder that bequest run wrote, with study.toml",
                got="a folder without study.toml" if self.path.is_dir() else "no such folder",
                remedy="check the path, or run the study first",
            )
        content = read_toml(self.configuration)
        if "scale" not in content:  # as `bequest new` writes it: only resolved configurations have that key
            raise RunFolderError(
                f"{self.path} is not a run folder",
                expected="a folder that bequest run wrote",
                got="a study file, not a run of it",
                remedy=f"bequest run {self.configuration}; its last line names the run folder",
            )
        scale = str(content.pop("scale"))
        use = content.get("use", [])
        if not isinstance(use, list) or not all(isinstance(file, str) for file in use):
            raise ConfigError.of(str(self.configuration), ["use: expected a list of Python files"])
        load_parts(use)
        return make_plan(content, scale=scale, where=str(self.configuration))

    def prepare(
        self,
        plan: Plan,
        *,
        fresh: bool = False,
        amend: bool = False,
        within: Plan | None = None,
        leases: Leases | None = None,
    ) -> None:
        """Make the folder ready for ``plan``; half-written files of an interrupted run are deleted.

        A changed configuration replaces the old one, and whatever both need is reused.

        Args:
            plan: The study.
            fresh: Delete the run that is there.
            amend: Go on even if that leaves finished cells unused.
            within: A plan of which ``plan`` is a part, and whose other cells may be used later.
            leases: The leases of the folder's jobs, which other processes may hold.

        Raises:
            RunFolderError: If finished cells would be left unused, or the folder cannot be written.
        """
        there = self.holds_run
        if there and fresh:
            if leases is not None:
                refuse_others(self.path, leases)
            self._clear()
        elif there:
            unused = [] if amend else self._left_unused(within or plan)
            if unused:
                raise self._refusal(plan, unused)
            if leases is None or not leases.others_at_work():  # their half-written files are still in use
                tidy(self.path)
        else:
            self._refuse_foreign()
        configuration = to_toml({"scale": plan.scale, **plan.resolved})
        # Equal content is not written again: `bequest watch` takes a newer file for a run that has grown.
        if not self.configuration.is_file() or self.configuration.read_bytes() != configuration.encode():
            write_text(self.configuration, configuration)

    @property
    def holds_run(self) -> bool:
        """Whether a run wrote this folder; a user's own study.toml among other files is no run."""
        if self.study.exists():
            return True
        try:
            return "scale" in read_toml(self.configuration)  # only resolved configurations have that key
        except ConfigError:
            return False

    def complete(self, plan: Plan) -> bool:
        """True if the study of ``plan`` was measured and judged here, and its results are undamaged."""
        record = self.readable_record()
        if record is None or record.config_hash != plan.hash or not self.measured(plan):
            return False
        return self._whole(CLAIMS, record)

    def concluded(self, plan: Plan, failed: Collection[str]) -> bool:
        """True if the study of ``plan`` was measured and judged with all cells but those in ``failed``."""
        record = self.readable_record()
        if not failed or record is None:
            return self.complete(plan)
        lost = {cell.id for cell in record.cells if cell.status == "failed"}
        partial = record.status == "partial" and record.config_hash == plan.hash
        return partial and lost == set(failed) and all(self._whole(name, record) for name in RESULTS)

    def measured(self, plan: Plan) -> bool:
        """True if the folder has the measurements and curves that measuring again would give."""
        record = self.readable_record()
        if record is None or record.status != "complete" or record.measuring_key != plan.measuring_key:
            return False
        return all(self._whole(name, record) for name in MEASURED)

    def record(self) -> StudyRecord:
        """The study's record."""
        return read_record(self.study, StudyRecord)

    def readable_record(self) -> StudyRecord | None:
        """The study's record; None if it is absent or damaged."""
        try:
            return self.record() if self.study.is_file() else None
        except RunFolderError:
            return None

    def records(self, name: str, kind: type[R]) -> list[R]:
        """A list of records by the name of its file."""
        return read_records(self / name, kind)

    @contextlib.contextmanager
    def locked(self, *, alone: bool = False) -> Iterator[Leases]:
        """Hold the folder for one run at a time; in a folder that holds something else nothing is written.

        Yields the leases of the folder's jobs. The hold on the folder is a lease too: unlike a lock of the
        platform it is valid on every machine that sees the folder.

        Args:
            alone: Refuse also if ``bequest work`` processes are at work in it.

        Raises:
            RunFolderError: If another process holds it, it cannot be written, or it is somebody else's.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            taken = isinstance(error, FileExistsError)
            raise RunFolderError(
                f"{self.path} is a file, not a folder" if taken else f"cannot write to {self.path}",
                got=None if taken else error.strerror,
                remedy="choose another folder with --out",
            ) from error
        # Before `at_work` writes its first file: a foreign folder stays as it is.
        if not self.holds_run:
            self._refuse_foreign()
        with at_work(self.path, DRIVER) as leases:
            if not leases.lead():
                raise RunFolderError(
                    f"another run is at work in {self.path}",
                    got=leases.driver(),
                    remedy="wait for it, or choose another folder with --out",
                )
            if alone:
                refuse_others(self.path, leases)
            yield leases

    def _whole(self, name: str, record: StudyRecord) -> bool:
        path = self / name
        return path.is_file() and file_digest(path) == record.files.get(name)

    def _clear(self) -> None:
        # Both are looked at before either is deleted, since the error says that nothing was.
        for name in (CELLS, STORES):
            if (self.path / name).is_symlink():
                raise RunFolderError(
                    f"{self.path / name} is a symbolic link",
                    expected="a folder of the run",
                    remedy="nothing was deleted; remove the link, or choose another folder with --out",
                )
        for name in (CELLS, STORES):
            if (self.path / name).exists():
                shutil.rmtree(self.path / name)
        logs = [log.name for log in self.path.glob("worker-*.log")]
        # The last two make it a run folder: if this is killed, the next --fresh still knows what to delete.
        for name in (*RESULTS, "report.html", *logs, "study.json", "study.toml"):
            (self.path / name).unlink(missing_ok=True)

    def _left_unused(self, plan: Plan) -> list[CellRecord]:
        """Finished cells of the run in this folder that ``plan`` does not need.

        Which cells the run has is in the study's record; whether they are finished is in their own, since a
        killed run had no time to note it. Without a readable study record every finished cell counts.
        """
        record = self.readable_record()
        if record is not None and record.version < VERSION:
            return []  # the cells of older versions are trained once more in any case
        lines = self._cells_on_disk() if record is None else record.cells
        return [line for line in lines if line.id not in plan.by_id and self._finished(line.id)]

    def _cells_on_disk(self) -> list[CellRecord]:
        lines = []
        for path in sorted((self.path / CELLS).glob("*/record.json")):
            with contextlib.suppress(RunFolderError):
                cell = read_record(path, RunRecord)
                lines.append(CellRecord(id=cell.id, arm=cell.arm, seed=cell.seed, status=cell.status))
        return lines

    def _finished(self, cell_id: str) -> bool:
        record = cell_folder(self.path, cell_id).readable_record()
        return record is not None and record.status == "done"

    def _refusal(self, plan: Plan, unused: list[CellRecord]) -> RunFolderError:
        try:
            earlier: Mapping[str, Any] = read_toml(self.configuration)
        except ConfigError:
            earlier = {}
        if earlier.get("name", plan.study.name) != plan.study.name:  # a list of differences would be useless
            return RunFolderError(
                f"{self.path} holds a run of another study: {earlier['name']!r}",
                expected=f"a run of {plan.study.name!r}, or a new folder",
                got=f"{len(unused)} of its cells finished",
                remedy="choose another folder with --out; if only the name changed, --amend",
            )
        differing = differences(earlier, {"scale": plan.scale, **plan.resolved})
        differing += self._changed_parts(plan, unused)
        cells = [f"{cell.arm} seed {cell.seed}" for cell in unused]
        count = counted(len(unused), "finished cell")
        return RunFolderError(
            f"this configuration would leave {count} of {self.path} unused",
            expected="a configuration that needs every cell that was trained there",
            got="\n    " + "\n    ".join(_first(differing)) + f"\n    unused: {', '.join(_first(cells))}",
            remedy="--amend continues in this folder (bequest prune deletes what is unused); or choose "
            "another folder with --out",
        )

    def _changed_parts(self, plan: Plan, unused: list[CellRecord]) -> list[str]:
        """One line for each of the user's parts that has changed since the unused cells were trained."""
        current = {part: digest for cell in plan.cells for part, digest in _parts_of(cell.config.plain())}
        changed: dict[str, None] = {}
        for line in unused:
            path = cell_folder(self.path, line.id).record
            config = read_record(path, RunRecord).config if path.is_file() else {}
            parts = _parts_of(config)
            changed |= {part: None for part, digest in parts if current.get(part, digest) != digest}
        return [f"the {part} has changed" for part in changed]

    def _refuse_foreign(self) -> None:
        # AT_WORK is our lease's
        entries = [entry.name for entry in self.path.iterdir() if entry.name != AT_WORK]
        if entries:
            raise RunFolderError(
                f"{self.path} is not empty, and not a run folder",
                got=", ".join(sorted(entries)[:5]),
                remedy="choose another folder with --out",
            )


def refuse_others(path: Path, leases: Leases) -> None:
    """Refuse to go on while other processes are at work in the folder.

    Raises:
        RunFolderError: If other processes are at work in the folder; names them.
    """
    others = leases.others_at_work(prove=True)
    if others:
        raise RunFolderError(
            f"other workers are at work in {path}; nothing was deleted",
            got=", ".join(_first([other.where for other in others])),
            remedy="wait until they are done, or end them",
        )


def _parts_of(config: Mapping[str, Any]) -> list[tuple[str, str]]:
    return list(config.get("parts", {}).items())


def _first(lines: list[str]) -> list[str]:
    more = [f"... and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
    return [*lines[:SHOWN], *more]


def differences(earlier: Mapping[str, Any], later: Mapping[str, Any], path: str = "") -> list[str]:
    """One line for each value that differs.

    >>> differences({"a": {"b": 1}}, {"a": {"b": 2}, "c": 3})
    ['a.b: 1 there, 2 here', 'c: absent there, 3 here']
    """
    lines = []
    for key in sorted({*earlier, *later}):
        name = f"{path}.{key}" if path else key
        old, new = earlier.get(key, "absent"), later.get(key, "absent")
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            lines += differences(old, new, name)
        elif old != new:
            lines.append(f"{name}: {old} there, {new} here")
    return lines
