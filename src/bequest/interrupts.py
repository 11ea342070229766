"""Signals that ask a program to end are taken as Ctrl-C is, so that what it did is written down first."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
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
