"""Leases say who does which job of a run folder; one is taken by creating a file that must not exist yet.

A job's leases are numbered. The process that takes the job creates number 0; when that process is dead,
another takes the job over by creating the next number, so that of several that try one succeeds and nobody
deletes another's file. The highest number counts. This needs no ``flock`` and no synchronised clocks, and so
works on network file systems. A lease saves work and decides no result: a job that two processes do by
accident leaves the same bytes twice.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from bequest.errors import RunFolderError
from bequest.files import refuse_link, tidy, write_text
from bequest.records import Record
from bequest.runs.jobs.workers import AT_WORK, BEAT, SILENCE, WORKERS, Presence, Watch, WorkerRecord

LEASES = f"{AT_WORK}/leases"
"""The folder of a run's leases."""

DRIVER = "run"
"""The lease, and the role, of the one process that prepares and concludes the run."""

PAUSE = 0.5
"""Seconds between two looks at a driver that gives no sign of life."""

FAILED = ".failed"
"""Suffix of a file that says why a job failed."""

LEASE_NAME = re.compile(r"(?P<key>[a-z]+(?:-[A-Za-z0-9]+)?)\.(?P<number>[0-9]+)")

R = TypeVar("R", bound=Record)


class LeaseRecord(Record):
    """The content of a lease: its holder, and how many earlier holders died without any progress.

    ``progress`` changes whenever the job's checkpoint does.
    """

    holder: str = ""
    deaths: int = 0
    progress: str = ""


class FailureRecord(Record):
    """How a job failed: ``failed``, or ``lost`` with its workers."""

    status: str
    error: str | None = None


@dataclass(frozen=True)
class Lease:
    """A lease as it stands in the folder.

    Attributes:
        key: The job's id, as in the name of its file.
        number: How often the job was taken over.
        record: Who holds it.
    """

    key: str
    number: int
    record: LeaseRecord


class Leases:
    """The leases of a run folder as one process sees and takes them.

    Args:
        root: The run folder.
        presence: This process among the workers.
        watch: Sees which others are alive.
    """

    def __init__(self, root: Path, presence: Presence, watch: Watch) -> None:
        self.folder = root / LEASES
        self._presence, self._watch = presence, watch
        self._ours: dict[str, int] = {}
        self._latest: dict[str, Lease] = {}
        self._failed = set[str]()

    def refresh(self) -> None:
        """Look which leases and failures there are."""
        numbers: dict[str, int] = {}
        self._failed = set()
        for name in _names(self.folder):
            if match := LEASE_NAME.fullmatch(name):
                key, number = match["key"], int(match["number"])
                numbers[key] = max(number, numbers.get(key, -1))
            elif name.endswith(FAILED):
                self._failed.add(name.removesuffix(FAILED))
        # Only new numbers are read: what a lease says changes with its number (`_held` knows the exception).
        self._latest = {
            key: lease
            if (lease := self._latest.get(key)) is not None and lease.number == number
            else self._read(key, number)
            for key, number in numbers.items()
        }
        for lease in self._latest.values():
            self._watch.alive(lease.record.holder)  # the first look starts the clock of its silence

    def lead(self) -> bool:
        """Become the one process that prepares and concludes the run; False if another one is.

        A driver on another machine is waited for until it gives a sign of life or counts as dead.
        """
        while True:
            self.refresh()
            if self.take(DRIVER) is not None:
                self._watch.sweep()
                return True
            if self._watch.proven(self.holder(DRIVER)):
                return False
            time.sleep(PAUSE)

    def driver(self) -> str | None:
        """The process that prepares and concludes the run, in words."""
        worker = self._watch.record(self.holder(DRIVER))
        return None if worker is None else worker.where

    def others_at_work(self, *, prove: bool = False) -> list[WorkerRecord]:
        """The other workers of the folder that are alive, or may be.

        Args:
            prove: Wait until it is certain of each.
        """
        while True:
            workers = [each for each in self._watch.workers() if each.name != self._presence.name]
            if not prove or all(self._watch.proven(each.name) for each in workers):
                return workers
            time.sleep(PAUSE)

    def others(self) -> set[str]:
        """The keys of the jobs that others hold who are alive, or may be, at the last refresh."""
        return {key for key in self._latest if self._held(key)}

    def failed(self) -> set[str]:
        """The keys of the jobs that failed, at the last refresh."""
        return self._failed

    def take(self, job: str, *, progress: str = "") -> LeaseRecord | None:
        """Take a job: its lease; None if another process holds it.

        Args:
            job: Its id.
            progress: A text that changes when the job gets further, such as the state of its checkpoint.
        """
        key = key_of(job)
        if key in self._ours or self._held(key):
            return None
        before = self._latest.get(key)
        number, deaths = 0, 0
        if before is not None:
            number = before.number + 1
            deaths = 1 + (before.record.deaths if before.record.progress == progress else 0)
        record = LeaseRecord(holder=self._presence.name, deaths=deaths, progress=progress)
        # A holder that was only slow frees its number and those below, though its job was taken over under a
        # higher one: whoever creates a number in that gap holds nothing.
        if not self._create(key, number, record) or self._highest(key) > number:
            return None
        self._ours[key] = number
        self._presence.begin(job)
        return record

    def free(self, job: str, *, failed: bool | None = None) -> None:
        """Give a lease back.

        Args:
            job: The id of the job.
            failed: How it ended; None if it did not end.
        """
        key = key_of(job)
        number = self._ours.pop(key, None)
        if number is None:
            return
        # Not the higher ones: if this process was taken for dead, they are another's.
        for earlier in range(number, -1, -1):
            with contextlib.suppress(OSError):
                self._path(key, earlier).unlink()
        self._latest.pop(key, None)
        self._presence.end(job, failed=failed)

    def close(self) -> None:
        """Give back every lease that this process holds."""
        for key in list(self._ours):
            self.free(key)

    def note_failure(self, job: str, status: str, error: str | None) -> None:
        """Let all processes see that a job failed."""
        record = FailureRecord(status=status, error=error)
        write_text(self.folder / f"{key_of(job)}{FAILED}", record.model_dump_json() + "\n")

    def failure(self, job: str) -> FailureRecord | None:
        """How a job failed; None if it did not, or nobody said so."""
        return _record_in(self.folder / f"{key_of(job)}{FAILED}", FailureRecord)

    def forget_failures(self) -> None:
        """Let every job that failed be tried again."""
        for name in _names(self.folder):
            if name.endswith(FAILED):
                (self.folder / name).unlink(missing_ok=True)

    def holder(self, job: str) -> str:
        """The name of the process that holds a job, at the last refresh."""
        lease = self._latest.get(key_of(job))
        return lease.record.holder if lease is not None else ""

    def _held(self, key: str) -> bool:
        lease = self._latest.get(key)
        if lease is None or key in self._ours:
            return False
        if self._watch.alive(lease.record.holder):
            return True
        # The job may have been given back, and taken again under the same number by a living process.
        again = self._latest[key] = self._read(key, lease.number)
        return again.record.holder != lease.record.holder and self._watch.alive(again.record.holder)

    def _create(self, key: str, number: int, record: LeaseRecord) -> bool:
        path = self._path(key, number)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            return _created(path, record.model_dump_json().encode())
        except OSError as error:
            raise RunFolderError(
                f"cannot write {path}",
                expected="a writable folder with free space",
                got=error.strerror,
                remedy="free some space, then run the same command again",
            ) from error

    def _highest(self, key: str) -> int:
        matches = [LEASE_NAME.fullmatch(name) for name in _names(self.folder)]
        return max((int(m["number"]) for m in matches if m and m["key"] == key), default=-1)

    def _read(self, key: str, number: int) -> Lease:
        path = self._path(key, number)
        # An unreadable lease is being written, or its holder died while writing. The made-up name of a holder
        # that no worker has lets the watch believe it for a while, as it does any unknown worker.
        return Lease(key, number, _record_in(path, LeaseRecord) or LeaseRecord(holder=f"?{path.name}"))

    def _path(self, key: str, number: int) -> Path:
        return self.folder / f"{key}.{number}"


@contextlib.contextmanager
def at_work(root: Path, role: str, *, beat: float = BEAT, silence: float = SILENCE) -> Iterator[Leases]:
    """Make this process a worker of a run folder; at the end every lease is given back.

    Args:
        root: The run folder.
        role: The role of this process: ``run`` or ``work``.
        beat: Seconds between two signs of life.
        silence: Seconds without one after which another worker counts as dead.
    """
    for folder in (AT_WORK, LEASES, WORKERS):
        refuse_link(root / folder)
    tidy(root / AT_WORK, partials=False)  # others are writing their signs of life there
    with Presence(root, role, beat=beat) as presence:
        leases = Leases(root, presence, Watch(root, silence))
        try:
            yield leases
        finally:
            leases.close()


def key_of(job: str) -> str:
    """The id of a job as part of a file's name."""
    return job.replace(" ", "-")


def _created(path: Path, content: bytes) -> bool:
    """Create a file that must not exist yet; False if it does."""
    try:
        with path.open("xb") as file:
            file.write(content)
    except FileExistsError:
        return False
    return True


def _names(folder: Path) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return [entry.name for entry in entries]
    except FileNotFoundError:
        return []


def _record_in(path: Path, kind: type[R]) -> R | None:
    try:
        return kind.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None
