"""Signals that ask a program to end are taken as Ctrl-C is, so that what it did is written down first."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType

NAMES = ("SIGTERM", "SIGHUP", "SIGBREAK")
"""From ``kill`` and batch systems, from a terminal that closes, from Ctrl-Break on Windows."""

GRACE = 10.0
"""For so many seconds after a signal others are ignored: supervisors send several, one after another."""


@contextlib.contextmanager
def like_ctrl_c() -> Iterator[None]:
    """Raise KeyboardInterrupt for SIGTERM and SIGHUP too, for as long as the block lasts.

    A signal that the program ignores (as under ``nohup``) or takes itself stays so, and outside of the main
    thread, where Python takes no signals, nothing changes.
    """
    numbers = [getattr(signal, name) for name in NAMES if hasattr(signal, name)]
    taken = [number for number in numbers if signal.getsignal(number) is signal.SIG_DFL]
    if not taken or threading.current_thread() is not threading.main_thread():
        yield
        return
    last = -GRACE

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal last
        del number, frame
        before, last = last, time.monotonic()
        if last - before >= GRACE:
            raise KeyboardInterrupt

    for number in taken:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)


@contextlib.contextmanager
def deferred() -> Iterator[Callable[[], bool]]:
    """Let what is at work save first: within the block a request to end is only noted.

    The block is given a function that says whether one came. At its end KeyboardInterrupt is raised then, and
    within it by a further Ctrl-C, or by a further signal later than :data:`GRACE`. Signals that are ignored
    stay ignored; outside of the main thread nothing changes.
    """
    numbers = [getattr(signal, name) for name in ("SIGINT", *NAMES) if hasattr(signal, name)]
    handlers = {number: signal.getsignal(number) for number in numbers}
    first: float | None = None
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal first
        del frame
        if first is not None and (number == signal.SIGINT or time.monotonic() - first >= GRACE):
            raise KeyboardInterrupt
        first = time.monotonic() if first is None else first

    for number, handler in handlers.items():
        if handler not in (signal.SIG_IGN, None):
            signal.signal(number, note)
    try:
        yield lambda: first is not None
    finally:
        for number, handler in handlers.items():
            if handler not in (signal.SIG_IGN, None):
                signal.signal(number, handler)
    if first is not None:
        raise KeyboardInterrupt
