"""Faults of what a process has: disk, rights, memory, open files, clock, environment, output."""

from __future__ import annotations

import errno
import os
import random
import resource
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from fault_kinds.campaign import Fault, Outcome, bequest, expect, limited
from fault_kinds.reference import Reference, store_command, store_files

REFUSED = (2, 3)
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT

CODES = {
    "disk full": errno.ENOSPC,
    "no right to write": errno.EACCES,
    "read-only": errno.EROFS,
    "disk broken": errno.EIO,
}


def faults(reference: Reference, seed: int) -> Iterator[Fault]:
    """Every kind at several places."""
    for kind, code in CODES.items():
        for turn in range(6):
            at = random.Random(f"{seed} {kind} {turn}").randrange(6 * turn, 6 * turn + 6)
            yield Fault(f"{kind} at a write", f"write {at}", _failing(reference, "open", code, at))
    for turn in range(6):
        yield Fault(
            "disk full when synced", f"sync {3 * turn}", _failing(reference, "sync", errno.ENOSPC, 3 * turn)
        )
    for turn in range(4):
        yield Fault(
            "disk full when renamed",
            f"rename {4 * turn}",
            _failing(reference, "rename", errno.ENOSPC, 4 * turn),
        )
    for turn in range(4):
        yield Fault(
            "inodes used up", f"file {5 * turn}", _failing(reference, "create", errno.ENOSPC, 5 * turn)
        )
    for turn in range(6):
        yield Fault("disk full for a store", f"write {turn}", _store_failing(reference, turn))
    yield from _faults_of_limits(reference)
    yield from _faults_of_surroundings(reference)


def _faults_of_limits(reference: Reference) -> Iterator[Fault]:
    for size in (0, 100, 1_000, 10_000, 100_000):
        yield Fault("file size limited", f"{size} bytes", _limited(reference, resource.RLIMIT_FSIZE, size))
    for count in (12, 16, 20, 24, 32):
        yield Fault(
            "open files limited", f"{count} files", _limited(reference, resource.RLIMIT_NOFILE, count)
        )
    for mebibytes in (0, 4, 16, 64, 128, 256):
        yield Fault("memory limited", f"{mebibytes} MiB more", _little_memory(reference, mebibytes << 20))


def _faults_of_surroundings(reference: Reference) -> Iterator[Fault]:
    for name, shift in CLOCKS.items():
        yield Fault("clock wrong", name, _clock(reference, shift))
    for name, moment in {"1970": 0, "2038": 2**31, "2100": 4102444800}.items():
        yield Fault("files from another time", name, _times(reference, moment))
    for name, change in ENVIRONMENTS.items():
        yield Fault("environment odd", name, _environment(reference, change))
    for name in ("closed pipe", "full device", "closed"):
        for words in (("show", "RUN"), ("ls",), ("run", "STUDY", "--out", "RUN"), ("--help",)):
            yield Fault("output not read", f"{words[0]} to a {name}", _output(reference, name, words))


def _hook(event: str, code: int, at: int, folder: Path, *, lasts: bool = True) -> Callable[[], None]:
    """Makes the ``at``-th write below ``folder`` fail, and those after it."""
    seen = [0]

    def fail(*_: Any) -> None:
        seen[0] += 1
        if seen[0] > at if lasts else seen[0] == at + 1:
            raise OSError(code, os.strerror(code))

    def audit(name: str, values: tuple[Any, ...]) -> None:
        if event == "open" and name == "open" and isinstance(values[2], int) and values[2] & WRITES:
            if str(values[0]).startswith(str(folder)):
                fail()
        elif event == "create" and name == "open" and isinstance(values[2], int) and values[2] & os.O_CREAT:
            if str(values[0]).startswith(str(folder)) and not Path(str(values[0])).exists():
                fail()
        elif event == "rename" and name == "os.rename" and str(values[0]).startswith(str(folder)):
            fail()

    def install() -> None:
        if event == "sync":
            plain = os.fsync

            def fsync(handle: int) -> None:
                fail()
                plain(handle)

            os.fsync = fsync  # type: ignore[assignment]
        else:
            sys.addaudithook(audit)

    return install


def _failing(reference: Reference, event: str, code: int, at: int) -> Callable[[Path], Outcome]:
    def do(folder: Path) -> Outcome:
        run = folder / "run"
        ended = bequest(
            "run", reference.study, "--out", run, "--workers", 1, before=_hook(event, code, at, run)
        )
        if ended.code == 0:
            reference.check(run)
            return Outcome("same", "it did not come so far")
        expect(ended.code in REFUSED, "wrong", f"exit code {ended.code}: {ended.last}")
        expect(os.strerror(code) in ended.text, "wrong", ended.last)
        reference.run_again(run)
        return Outcome("resumed", ended.last)

    return do


def _store_failing(reference: Reference, at: int) -> Callable[[Path], Outcome]:
    def do(folder: Path) -> Outcome:
        store = folder / "store"
        before = _hook("sync" if at % 2 else "open", errno.ENOSPC, at, store)
        ended = bequest(*store_command(reference, store), before=before)
        expect(ended.code == 2 and os.strerror(errno.ENOSPC) in ended.text, "wrong", ended.last)
        again = bequest(*store_command(reference, store))
        expect(again.code == 0 and store_files(store) == reference.store, "silent", again.last)
        return Outcome("resumed", ended.last)

    return do


def _limited(reference: Reference, kind: int, most: int) -> Callable[[Path], Outcome]:
    def do(folder: Path) -> Outcome:
        run = folder / "run"
        ended = bequest("run", reference.study, "--out", run, "--workers", 1, before=limited(kind, most))
        expect(ended.code in (0, 1, *REFUSED), "wrong", f"exit code {ended.code}: {ended.last}")
        reference.run_again(run)
        return Outcome("same" if ended.code == 0 else "resumed", ended.last)

    return do


def _little_memory(reference: Reference, more: int) -> Callable[[Path], Outcome]:
    def limit() -> None:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limited(resource.RLIMIT_AS, pages * resource.getpagesize() + more)()

    def do(folder: Path) -> Outcome:
        run = folder / "run"
        ended = bequest("run", reference.study, "--out", run, "--workers", 1, before=limit)
        expect(ended.code in (0, 1, *REFUSED), "wrong", f"exit code {ended.code}: {ended.last}")
        reference.run_again(run)
        return Outcome("same" if ended.code == 0 else "resumed", ended.last)

    return do


CLOCKS: dict[str, Callable[[float], float]] = {
    "a year behind": lambda now: now - 3.2e7,
    "a year ahead": lambda now: now + 3.2e7,
    "at 0": lambda now: now % 1,
    "jumping": lambda now: now + random.uniform(-1e6, 1e6),
    "standing": lambda now: 1.7e9,  # noqa: ARG005
}


def _clock(reference: Reference, shift: Callable[[float], float]) -> Callable[[Path], Outcome]:
    def set_clock() -> None:
        plain = time.time
        time.time = lambda: shift(plain())  # type: ignore[assignment]

    def do(folder: Path) -> Outcome:
        run = folder / "run"
        ended = bequest("run", reference.study, "--out", run, "--workers", 2, before=set_clock)
        expect(ended.code == 0, "wrong", ended.last)
        reference.check(run)
        reference.run_again(run, most_trained=0)
        return Outcome("same")

    return do


def _times(reference: Reference, moment: int) -> Callable[[Path], Outcome]:
    def do(folder: Path) -> Outcome:
        run = reference.copied(folder)
        for path in run.rglob("*"):
            os.utime(path, (moment, moment))
        reference.run_again(run, most_trained=0)
        return Outcome("same")

    return do


ENVIRONMENTS: dict[str, dict[str, str | None]] = {
    "no HOME": {"HOME": None, "XDG_CACHE_HOME": None},
    "HOME that is not there": {"HOME": "/nowhere", "XDG_CACHE_HOME": "/nowhere/cache"},
    "TMPDIR that is not there": {"TMPDIR": "/nowhere"},
    "BEQUEST_DATA that is a file": {"BEQUEST_DATA": "/etc/hostname"},
    "no PATH": {"PATH": ""},
    "one column": {"COLUMNS": "1", "LINES": "1"},
    "columns that are none": {"COLUMNS": "many"},
    "RANK without a world": {"RANK": "0"},
    "dumb terminal": {"TERM": "dumb", "NO_COLOR": "1"},
}


def _environment(reference: Reference, change: dict[str, str | None]) -> Callable[[Path], Outcome]:
    def set_it() -> None:
        for name, value in change.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value

    def do(folder: Path) -> Outcome:
        run = folder / "run"
        ended = bequest("run", reference.study, "--out", run, "--workers", 1, before=set_it)
        expect(ended.code == 0, "wrong", ended.last)
        reference.check(run)
        return Outcome("same")

    return do


def _output(reference: Reference, kind: str, words: tuple[str, ...]) -> Callable[[Path], Outcome]:
    def redirect() -> None:
        if kind == "closed":
            sys.stdout = sys.__stdout__ = None  # type: ignore[assignment, misc]
            os.close(1)
            return
        if kind == "full device":
            handle = os.open("/dev/full", os.O_WRONLY)
        else:
            read, handle = os.pipe()
            os.close(read)
        os.dup2(handle, 1)

    def do(folder: Path) -> Outcome:
        run = reference.copied(folder)
        places = {"RUN": run, "STUDY": reference.study}
        ended = bequest(*(places.get(word, word) for word in words), before=redirect)
        full = kind == "full device"
        expect(ended.code == (1 if full else 0), "wrong", f"exit code {ended.code}: {ended.last}")
        expect(("No space left" in ended.text) == full, "wrong", ended.last)
        reference.run_again(run, most_trained=0)
        return Outcome("named" if full else "same", ended.last)

    return do
