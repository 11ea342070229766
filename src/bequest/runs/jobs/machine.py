"""Which machine this is, and whether a process on it is still there."""

from __future__ import annotations

import os
import socket
import threading
import time
from functools import cache
from pathlib import Path


@cache
def machine() -> str:
    """A text that two processes share exactly if one can see whether the other is alive.

    The host's name alone is not enough: containers may share one and not see each other's processes, and
    process numbers start over with every boot.
    """
    boot = _first_line(Path("/proc/sys/kernel/random/boot_id"))
    try:
        namespace = str(Path("/proc/self/ns/pid").readlink())
    except OSError:  # not Linux
        namespace = ""
    return " ".join(part for part in (socket.gethostname(), boot[:8], namespace) if part)


def birth(process: int) -> str | None:
    """A text that tells a process from an earlier one of its number; None if there is no such process."""
    try:
        # From the last parenthesis on: the program's name before it may hold spaces and parentheses itself.
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        return None if Path("/proc/self").exists() else _signalled(process)
    except OSError:
        return ""
    # fields[0] is the third of proc(5), the state, and fields[19] the 22nd, the start time. A zombie is dead.
    return None if fields[0] in "ZX" else fields[19]


def end_with(process: int) -> None:
    """End this process within a second of the end of another one of this machine."""
    threading.Thread(target=_end_with, args=(process, birth(process)), daemon=True).start()


def _end_with(process: int, born: str | None) -> None:
    while born is not None and birth(process) == born:
        time.sleep(0.5)
    os._exit(1)  # sys.exit would end this thread alone


def _signalled(process: int) -> str | None:
    """As :func:`birth`, on systems without ``/proc``."""
    if os.name == "nt":  # there, os.kill ends processes
        return ""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return None
    except OSError:  # it exists, and belongs to another user
        pass
    return ""


def _first_line(path: Path) -> str:
    try:
        return path.read_text().splitlines()[0]
    except (OSError, IndexError):
        return ""
