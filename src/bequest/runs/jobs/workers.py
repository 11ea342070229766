"""The processes at work in a run folder: each writes a file of its own, with its jobs, every few seconds.

A worker is alive as long as the content of its file changes. Each observer measures that by its own clock, so
that no two machines need the same time.
"""

from __future__ import annotations

import contextlib
import math
import os
import re
import secrets
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from bequest.files import not_written, open_regular
from bequest.records import Record
from bequest.runs.jobs.machine import birth, machine

AT_WORK = ".jobs"
"""The folder of a run with the files of the processes at work in it."""

WORKERS = f"{AT_WORK}/workers"
"""The folder of their files."""

BEAT = 5.0
"""Seconds between two signs of life of a worker."""

SILENCE = 60.0
"""Seconds without one after which a worker's jobs are taken over; network file systems show changes late."""

UNSIGNED = 2 * BEAT
"""Seconds after which a worker whose file is absent or damaged counts as dead: a living one would have
written it again. No worker holds a lease before its file exists."""

LOOK = 1.0
"""Seconds for which the content of a worker's file is cached."""

PLAIN_NAME = re.compile(r"[A-Za-z0-9_.-]{1,100}")


class WorkerRecord(Record):
    """The content of a worker's file.

    ``beat`` changes with every sign of life; ``started`` is the wall time of its machine, for display only.
    ``doing`` are the ids of its jobs, ``done`` and ``failed`` count those that ended.
    """

    name: str
    role: str
    machine: str
    host: str
    process: int
    birth: str
    started: float
    beat: int = 0
    doing: tuple[str, ...] = ()
    done: int = 0
    failed: int = 0
    seconds: float = 0.0

    @property
    def where(self) -> str:
        """The process and its host, in words."""
        return f"process {self.process} on {self.host}"


def read_worker(path: Path) -> WorkerRecord | None:
    """The content of a worker's file; None if it is absent or damaged."""
    try:
        return _parsed(path.read_bytes())
    except OSError:
        return None


class Presence:
    """This process among the workers of a run folder.

    Args:
        root: The run folder.
        role: Its role: ``run``, ``work`` ...
        beat: Seconds between two signs of life.
    """

    def __init__(self, root: Path, role: str, *, beat: float = BEAT) -> None:
        self.name = f"{_plain(socket.gethostname())}-{os.getpid()}-{secrets.token_hex(3)}"
        self.path = root / WORKERS / f"{self.name}.json"
        self._began = time.monotonic()
        self._record = WorkerRecord(
            name=self.name,
            role=role,
            machine=machine(),
            host=socket.gethostname(),
            process=os.getpid(),
            birth=birth(os.getpid()) or "",
            started=time.time(),
        )
        self._interval = beat
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep_telling, name="heartbeat", daemon=True)

    def __enter__(self) -> Presence:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._write()
        except OSError as error:
            raise not_written(self.path, error) from error
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()  # first: a late sign of life would write the file again
        with contextlib.suppress(OSError):
            self.path.unlink()  # not the folder: another worker may be about to write there

    def begin(self, job: str) -> None:
        """Note that a job has begun."""
        with self._lock:
            self._record = self._record.model_copy(update={"doing": (*self._record.doing, job)})

    def end(self, job: str, *, failed: bool | None) -> None:
        """Note that a job ended, or if ``failed`` is None that it was given back."""
        with self._lock:
            record = self._record
            self._record = record.model_copy(
                update={
                    "doing": tuple(other for other in record.doing if other != job),
                    "done": record.done + (failed is False),
                    "failed": record.failed + (failed is True),
                }
            )

    def _keep_telling(self) -> None:
        while not self._over.wait(self._interval):
            with contextlib.suppress(OSError):  # a full disk or a lost server may come back
                self._write()

    def _write(self) -> None:
        with self._lock:
            seconds = round(time.monotonic() - self._began, 1)
            self._record = self._record.model_copy(update={"beat": self._record.beat + 1, "seconds": seconds})
            content = self._record.model_dump_json()
        # Not synced: a sign of life that a crash of the machine loses needs no saving.
        partial = self.path.with_name(f".{self.name}.part")
        with open_regular(partial) as file:
            file.truncate()
            file.write(content.encode())
        partial.replace(self.path)


@dataclass
class _Sight:
    content: bytes | None
    changed: float
    signs: int
    looked: float = 0.0
    dead: bool = False


@dataclass
class Watch:
    """Observes which workers of a run folder are alive.

    Attributes:
        root: The run folder.
        silence: Seconds without a sign of life after which a worker counts as dead.
        clock: Monotonic seconds.
    """

    root: Path
    silence: float = SILENCE
    clock: Callable[[], float] = time.monotonic
    _seen: dict[str, _Sight] = field(default_factory=dict, repr=False)

    def alive(self, name: str) -> bool:
        """Whether a worker is alive, or may be: of one seen for the first time that shows after ``silence``.

        A process of this machine that is gone is dead at once. One whose file cannot be read counts as dead
        after :data:`UNSIGNED` seconds.
        """
        now = self.clock()
        sight = self._seen.get(name)
        if sight is None or now - sight.looked >= min(LOOK, self.silence / 4):
            content = self._content(name)
            if sight is None:
                sight = _Sight(content, now, signs=0)
            elif content != sight.content:
                # The dead stay dead when their file is swept away: no two workers share a name.
                sight = _Sight(content, now, signs=sight.signs + 1, dead=sight.dead)
            sight.looked = now
            sight.dead = sight.dead or _gone(content)
            self._seen[name] = sight
        patience = self.silence if _parsed(sight.content) is not None else min(self.silence, UNSIGNED)
        return not sight.dead and now - sight.changed < patience

    def proven(self, name: str) -> bool:
        """Whether a worker is alive: on this machine, or by a sign of life since it was first looked at."""
        if not self.alive(name):
            return False
        sight = self._seen[name]
        return sight.signs > 0 or _on_this_machine(sight.content)

    def record(self, name: str) -> WorkerRecord | None:
        """The content of a worker's file; None if there is none."""
        return _parsed(self._content(name))

    def workers(self) -> list[WorkerRecord]:
        """The records of all workers that are alive, or may be."""
        records = [read_worker(path) for path in sorted((self.root / WORKERS).glob("*.json"))]
        return [record for record in records if record is not None and self.alive(record.name)]

    def sweep(self) -> None:
        """Delete the files of dead workers, also of those that died since they were last looked at."""
        for path in (self.root / WORKERS).glob("*.json"):
            if path.stem in self._seen:
                # the cached content may be of a worker that died since
                self._seen[path.stem].looked = -math.inf
            if not self.alive(path.stem):
                path.unlink(missing_ok=True)

    def _content(self, name: str) -> bytes | None:
        if not PLAIN_NAME.fullmatch(name):
            return None
        try:
            return (self.root / WORKERS / f"{name}.json").read_bytes()
        except OSError:
            return None


def _gone(content: bytes | None) -> bool:
    """True if the worker ran on this machine and its process has ended."""
    record = _parsed(content)
    return record is not None and record.machine == machine() and birth(record.process) != record.birth


def _on_this_machine(content: bytes | None) -> bool:
    record = _parsed(content)
    return record is not None and record.machine == machine()


def _parsed(content: bytes | None) -> WorkerRecord | None:
    try:
        return None if content is None else WorkerRecord.model_validate_json(content)
    except ValidationError:
        return None


def _plain(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]", "-", text)[:60]
