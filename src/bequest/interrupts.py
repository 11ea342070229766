"""Signals that ask a program to end are handled like Ctrl-C, so that it can save its work first."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType

NAMES = ("SIGTERM", "SIGHUP", "SIGBREAK")
"""Sent by ``kill`` and batch systems, by a terminal that closes, by Ctrl-Break on Windows."""

GRACE = 10.0
"""Seconds after a signal in which others are ignored: supervisors send several, one after another."""


@contextlib.contextmanager
def like_ctrl_c() -> Iterator[None]:
    """Raise KeyboardInterrupt for SIGTERM and SIGHUP too, for as long as the block lasts.

    A signal that the program ignores (as under ``nohup``) or handles itself is left alone, and outside the
    main thread, where Python handles no signals, nothing changes.
    """
    numbers = [getattr(signal, name) for name in NAMES if hasattr(signal, name)]
    taken = [number for number in numbers if signal.getsignal(number) is signal.SIG_DFL]
    if not taken or threading.current_thread() is not threading.main_thread():
        yield
        return
    # Not 0: right after boot the monotonic clock may read less than GRACE.
    last = -GRACE

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal last
        del number, frame
        # An ignored signal counts too: a steady stream of them does not interrupt the cleanup.
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
    """Note requests to end within the block, and act on them at its end, so that running work can save first.

    Yields a function that says whether a request came. If so, KeyboardInterrupt is raised at the end of the
    block, or within it by a second Ctrl-C or by another signal later than :data:`GRACE`. Signals that are
    ignored stay ignored; outside the main thread nothing changes.
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
        # None: a handler installed from C, which Python could not put back.
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
