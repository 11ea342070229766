"""What a fault is, the processes in which it happens, and how what came of it is judged.

Every fault has a process of its own, forked from one that has imported everything, and every command that it
runs has another: five hundred of them in minutes. Workers are forked likewise; what they do is what they do
when they are started.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import random
import re
import resource
import selectors
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

GOOD = {
    "same": "nothing was lost, and the results have the bytes of an undisturbed run.",
    "resumed": "as `same`, after the same command was run again.",
    "mended": "the same command redid the damaged parts, and nothing else.",
    "named": "one message says what is wrong, and nothing is changed.",
    "answered": "for the program this is not a fault; it answers correctly.",
}
"""Outcomes that keep every promise."""

BAD = {
    "traceback": "the command ended in a traceback.",
    "silent": "a different result, without a message.",
    "lost": "more was redone than was damaged.",
    "outside": "a file outside the folder was written, or code was run.",
    "hang": "the command did not end within a minute, or ten times the duration of a run.",
    "wrong": "a wrong exit code or message.",
}
"""Outcomes that break one."""

LIMIT = 120.0
"""Seconds for one fault on a machine that does the reference's run in :data:`USUAL` seconds."""

USUAL = 6.0
"""Seconds that the reference's run takes on two idle cores; a machine that takes longer gets more time."""

_slowness = [1.0]

TRACEBACK = re.compile(r"Traceback \(most recent call last\)|bequest itself failed")
ESCAPE = re.compile(r"\x1b|[\u202a-\u202e\u2066-\u2069]")


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong.

    Attributes:
        kind: The kind, a row of the table.
        name: What exactly.
        do: Makes it happen in an empty folder, and says what came of it.
    """

    kind: str
    name: str
    do: Callable[[Path], Outcome]


@dataclass(frozen=True)
class Outcome:
    """What came of a fault.

    Attributes:
        word: One of GOOD or BAD.
        note: More of it.
    """

    word: str
    note: str = ""


@dataclass(frozen=True)
class Ended:
    """A command that ended."""

    code: int
    out: str
    err: str

    @property
    def text(self) -> str:
        """All that it printed."""
        return self.out + self.err

    @property
    def last(self) -> str:
        """The last of it, for a note."""
        return " / ".join(self.text.strip().splitlines()[-4:])[:300]


class Violated(Exception):
    """A promise was not kept."""

    def __init__(self, word: str, note: str = "") -> None:
        super().__init__(word, note)
        self.outcome = Outcome(word, note)


def expect(condition: object, word: str, note: str = "") -> None:
    """End the fault with a BAD outcome unless ``condition``."""
    if not condition:
        raise Violated(word, note)


def wait_for_slow(seconds: float) -> None:
    """Give every command and fault more time, where the reference's run took ``seconds``."""
    _slowness[0] = max(1.0, seconds / USUAL)


def bequest(*arguments: object, before: Callable[[], object] | None = None, limit: float = 60.0) -> Ended:
    """Run the command line in a process of its own.

    Args:
        arguments: Of the command line.
        before: Called in that process first: sets limits, or makes calls fail.
        limit: Seconds after which it counts as hanging.
    """
    return Command(arguments, before=before).wait(limit)


class Command:
    """A command line in a process of its own, which may be signalled."""

    def __init__(self, arguments: Sequence[object], *, before: Callable[[], object] | None = None) -> None:
        self.arguments = [str(argument) for argument in arguments]
        self._files = [Path(f".{kind}-{time.monotonic_ns()}").absolute() for kind in ("out", "err")]
        self.started = time.monotonic()
        self.pid = os.fork()
        if self.pid == 0:
            _child(self.arguments, self._files, before)

    def signal(self, number: int, *, group: bool = False) -> None:
        """Send a signal to it, or to it and all that it started."""
        with contextlib.suppress(ProcessLookupError):
            (os.killpg if group else os.kill)(self.pid, number)

    def running(self) -> bool:
        """Whether it has not ended."""
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None

    def wait(self, limit: float = 60.0) -> Ended:
        """Wait for its end.

        Raises:
            Violated: If it does not end in time, or prints a traceback or a control sequence.
        """
        until = self.started + limit * _slowness[0]
        while self.running():
            if time.monotonic() > until:
                self.signal(signal.SIGKILL, group=True)
                os.waitpid(self.pid, 0)
                raise Violated("hang", " ".join(self.arguments))
            time.sleep(0.01)
        _, status = os.waitpid(self.pid, 0)
        out, err = (file.read_bytes().decode(errors="replace") for file in self._files)
        for file in self._files:
            file.unlink()
        ended = Ended(os.waitstatus_to_exitcode(status), out, err)
        expect(not TRACEBACK.search(ended.text), "traceback", ended.last)
        expect(not ESCAPE.search(ended.text), "wrong", "a control sequence reaches the terminal")
        return ended


def _child(arguments: list[str], files: list[Path], before: Callable[[], object] | None) -> None:
    """What a forked process does: become the command line, and end."""
    code = 1
    try:
        os.setpgid(0, 0)
        for number, file in enumerate(files, 1):
            handle = os.open(file, os.O_WRONLY | os.O_CREAT)
            os.dup2(handle, number)
            os.close(handle)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
        sys.stdout = sys.__stdout__ = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
        sys.stderr = sys.__stderr__ = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
        sys.argv = ["bequest", *arguments]
        if before is not None:
            before()
        from bequest.cli.main import main

        main()
        code = 0
    except SystemExit as ending:
        code = ending.code if isinstance(ending.code, int) else 0 if ending.code is None else 1
    except BaseException:
        with contextlib.suppress(Exception):
            traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


class ForkedWorker:
    """Stands in for the process that :mod:`bequest.runs.pool` starts: the same worker, forked."""

    def __init__(self, command: list[str], *, stderr: Any, **_: Any) -> None:
        ours, theirs = os.pipe(), os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            self._serve(command[command.index("bequest.runs.worker") + 1 :], ours, theirs, stderr)
        os.close(ours[0])
        os.close(theirs[1])
        self.stdin = open(ours[1], "wb", buffering=0)  # noqa: SIM115, PTH123
        self.stdout = open(theirs[0], "rb", buffering=0)  # noqa: SIM115, PTH123
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """The exit code, if it has ended."""
        if self.returncode is None:
            with contextlib.suppress(ChildProcessError):
                pid, status = os.waitpid(self.pid, os.WNOHANG)
                self.returncode = os.waitstatus_to_exitcode(status) if pid else None
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end."""
        until = time.monotonic() + (timeout or float("inf"))
        while (code := self.poll()) is None:
            if time.monotonic() > until:
                raise subprocess.TimeoutExpired("worker", timeout or 0.0)
            time.sleep(0.002)
        return code

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def send_signal(self, number: int) -> None:
        """Send it a signal."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    @staticmethod
    def _serve(arguments: list[str], ours: tuple[int, int], theirs: tuple[int, int], log: Any) -> None:
        try:
            for number in (signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_DFL)
            os.dup2(ours[0], 0)
            os.dup2(theirs[1], 1)
            os.dup2(log.fileno(), 2)
            os.closerange(3, 4096)  # the pipes of other workers too, as a started process has none of them
            sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
            sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
            from bequest.runs import worker

            sys.argv = ["worker", *arguments]
            worker.main(*arguments)
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
            os._exit(1)
        os._exit(0)


def fork_workers() -> None:
    """Let the pool fork its workers instead of starting them."""
    from bequest.runs import pool

    plain = subprocess.Popen

    def started(command: Any, **options: Any) -> Any:
        forks = isinstance(command, list) and "bequest.runs.worker" in command
        return ForkedWorker(command, **options) if forks else plain(command, **options)

    class Module:
        """The module ``subprocess`` as the pool sees it."""

        def __getattr__(self, name: str) -> Any:
            return started if name == "Popen" else getattr(subprocess, name)

    pool.subprocess = Module()  # type: ignore[assignment]


@dataclass(frozen=True)
class Done:
    """A fault and what came of it."""

    fault: Fault
    outcome: Outcome
    seconds: float


def perform(
    faults: Sequence[Fault], root: Path, workers: int, told: Callable[[Done], object]
) -> Iterator[Done]:
    """Let every fault happen, ``workers`` at a time, each in a process and a folder of its own."""
    waiting = list(enumerate(faults))[::-1]
    running: dict[int, tuple[Fault, Path, float]] = {}
    with selectors.DefaultSelector() as selector:
        while waiting or running:
            while waiting and len(running) < workers:
                number, fault = waiting.pop()
                folder = root / f"{number:04d}"
                folder.mkdir()
                read, pid = _forked(fault, folder)
                running[pid] = (fault, folder, time.monotonic())
                selector.register(read, selectors.EVENT_READ, pid)
            for key, _ in selector.select(0.5):
                fault, folder, started = running.pop(key.data)
                with open(key.fd, "rb", closefd=False) as said:
                    content = said.read()
                selector.unregister(key.fd)
                os.close(key.fd)
                os.waitpid(key.data, 0)
                seconds = time.monotonic() - started
                died = Outcome("hang" if seconds > LIMIT * _slowness[0] else "traceback", "its process died")
                outcome = Outcome(*json.loads(content)) if content else died
                done = Done(fault, outcome, seconds)
                if outcome.word in GOOD:
                    shutil.rmtree(folder, ignore_errors=True)
                told(done)
                yield done
            for key in list(selector.get_map().values()):
                if time.monotonic() - running[key.data][2] > LIMIT * _slowness[0]:
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(key.data, signal.SIGKILL)


def _forked(fault: Fault, folder: Path) -> tuple[int, int]:
    """Start a fault; returns where it will say what came of it, and its process."""
    read, write = os.pipe()
    pid = os.fork()
    if pid:
        os.close(write)
        return read, pid
    outcome = Outcome("hang", f"more than {LIMIT * _slowness[0]:g} s")
    try:
        os.setpgid(0, 0)
        os.close(read)
        os.chdir(folder)
        os.environ["TMPDIR"] = str(folder)
        outcome = fault.do(folder)
    except Violated as violated:
        outcome = violated.outcome
    except BaseException:
        outcome = Outcome("traceback", "of the campaign: " + traceback.format_exc()[-400:])
    finally:
        os.write(write, json.dumps(dataclasses.astuple(outcome)).encode())
        os._exit(0)


def _flipped(content: bytes, dice: random.Random) -> bytes:
    if not content:
        return b"\0"
    damaged = bytearray(content)
    for _ in range(dice.choice((1, 1, 3))):
        damaged[dice.randrange(len(damaged))] ^= 1 << dice.randrange(8)
    return bytes(damaged) if bytes(damaged) != content else content[:-1] + bytes([content[-1] ^ 1])


def _repeated(content: bytes, dice: random.Random) -> bytes:
    if not content:
        return b"\0"
    at = dice.randrange(len(content))
    return content[:at] + content[at : at + dice.randint(1, 40)] + content[at:]


def _zeroed(content: bytes, dice: random.Random) -> bytes:
    if not content:
        return b"\0"
    at = dice.randrange(len(content))
    size = min(len(content) - at, dice.randint(1, 64))
    changed = content[:at] + bytes(size) + content[at + size :]
    return changed if changed != content else content[:-1] + bytes([content[-1] ^ 1])


def _longer(content: bytes, dice: random.Random) -> bytes:
    return content + bytes(dice.randrange(256) for _ in range(dice.randint(1, 64)))


def _cut(content: bytes, dice: random.Random) -> bytes:
    return content[: dice.randrange(max(1, len(content)))]


def _emptied(content: bytes, dice: random.Random) -> bytes:
    del content, dice
    return b""


DAMAGES: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "flipped": _flipped,
    "cut": _cut,
    "emptied": _emptied,
    "longer": _longer,
    "repeated": _repeated,
    "zeroed": _zeroed,
}
"""Ways to damage the content of a file."""


def contents(folder: Path) -> dict[str, bytes]:
    """Every regular file below a folder, by its name there."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def limited(kind: int, most: int) -> Callable[[], None]:
    """Sets a limit of the process (``resource.RLIMIT_...``)."""
    return lambda: resource.setrlimit(kind, (most, most))
