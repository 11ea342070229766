"""Locks between processes: held by one at a time, and gone with it, however it ends.

The platform's locks are used where there are any (``flock``, on Windows ``msvcrt.locking``). Where the file
system refuses them, or Python has neither, a claim stands in: a file that is created exclusively and says
which process holds it. A claim of a dead process of this machine is taken over; whether a process of another
machine lives cannot be told, so that its claim holds until somebody deletes it.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import platform
import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from bequest.files import PARTIAL_SUFFIX, open_regular

LOCK = ".lock"
"""The file in a folder that is locked in the folder's place."""

CLAIM = ".claim"
"""Ends the name of a claim, which lies beside the file that it locks."""

WAIT = 0.05
"""Seconds between two attempts."""

UNSUPPORTED = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL}
"""What file systems without locks answer."""

Release = Callable[[], object]


def acquire(path: str | Path, *, patience: float = 0.0) -> Release | None:
    """Lock a file, which is created if it is absent.

    Args:
        path: The file.
        patience: Seconds in which to try; infinity waits for as long as it takes.

    Returns:
        What lets go of the lock; None if another process holds it.

    Raises:
        RunFolderError: If the file cannot be opened, or is a symbolic link.
    """
    deadline = time.monotonic() + patience
    while True:
        release = _attempt(Path(path))
        if release is not None or time.monotonic() >= deadline:
            return release
        time.sleep(WAIT)


@contextlib.contextmanager
def exclusive_lock(path: str | Path) -> Iterator[bool]:
    """Hold a lock for as long as the block lasts; False if another process holds it."""
    release = acquire(path)
    try:
        yield release is not None
    finally:
        if release is not None:
            release()


def claimant(path: str | Path) -> str | None:
    """Who claims a file, and where that is written; None without a claim."""
    claim = _claim_path(Path(path))
    if not claim.exists():
        return None
    holder = _holder(claim)
    named = "no process" if holder is None else f"process {holder[1]} of {holder[0]}"
    return f"{claim} names {named}; delete it if none is at work"


def _attempt(path: Path) -> Release | None:
    file = open_regular(path, append=True)
    try:
        lock = _platform_lock()
        if lock is not None:
            lock(file)
            return file.close
    except BlockingIOError:
        file.close()
        return None
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            file.close()
            raise
    file.close()
    return _claimed(_claim_path(path))


def _platform_lock() -> Callable[[IO[bytes]], None] | None:
    """What locks an open file or raises BlockingIOError; None where Python has nothing for it."""
    with contextlib.suppress(ImportError):
        import fcntl

        return lambda file: fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    with contextlib.suppress(ImportError):
        import msvcrt

        return lambda file: _lock_first_byte(file, msvcrt)
    return None


def _lock_first_byte(file: IO[bytes], windows: object) -> None:
    """Lock through Windows, which answers "permission denied" for a byte that is locked."""
    file.seek(0)
    try:
        windows.locking(file.fileno(), windows.LK_NBLCK, 1)  # type: ignore[attr-defined]
    except PermissionError as error:
        raise BlockingIOError(*error.args) from error


def _claimed(claim: Path) -> Release | None:
    """Create the claim; None if a process that may live holds it."""
    here = {"machine": platform.node(), "process": os.getpid()}
    for _ in range(2):
        try:
            with claim.open("x", encoding="utf-8") as file:
                file.write(json.dumps(here))
        except FileExistsError:
            holder = _holder(claim)
            if holder is None or holder[0] != here["machine"] or _alive(holder[1]):
                return None
            _take_away(claim, holder)
        else:
            return lambda: claim.unlink(missing_ok=True)
    return None


def _take_away(claim: Path, holder: tuple[str, int]) -> None:
    """Remove the claim of a dead process, unless another process was faster and has claimed anew."""
    aside = claim.with_name(f"{claim.name}.{secrets.token_hex(8)}{PARTIAL_SUFFIX}")
    with contextlib.suppress(FileNotFoundError):
        claim.rename(aside)
        if _holder(aside) == holder:
            aside.unlink()
        else:
            aside.rename(claim)


def _holder(claim: Path) -> tuple[str, int] | None:
    """Machine and process that a claim names; None if it is absent, or not whole yet."""
    try:
        content = json.loads(claim.read_text(encoding="utf-8"))
        return str(content["machine"]), int(content["process"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _alive(process: int) -> bool:
    if os.name == "nt":  # there, os.kill ends processes
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # another user's, or no number of a process
        return True
    return True


def _claim_path(path: Path) -> Path:
    return path.with_name(f".{path.name.lstrip('.')}{CLAIM}")
