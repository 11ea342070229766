"""Locks between processes: one process at a time holds a lock, and it is released however that process ends.

The platform's locks are used (``flock``, on Windows ``msvcrt.locking``). If the file system refuses them, or
Python has neither, a claim is used instead: a file that is created exclusively and names the process that
holds it. A claim of a dead process of this machine is taken over. Whether a process of another machine is
alive cannot be known, so its claim holds until somebody deletes it.
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
"""The file in a folder that is locked to lock the folder."""

CLAIM = ".claim"
"""Suffix of a claim, which lies next to the file that it locks."""

WAIT = 0.05
"""Seconds between two attempts."""

UNSUPPORTED = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL}
"""Errors of file systems without locks."""

Release = Callable[[], object]


def acquire(path: str | Path, *, patience: float = 0.0) -> Release | None:
    """Lock a file, which is created if it is absent.

    Args:
        path: The file.
        patience: Seconds to keep trying; infinity waits as long as it takes.

    Returns:
        A function that releases the lock; None if another process holds it.

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
    """Hold a lock while the block runs; yields False if another process holds it."""
    release = acquire(path)
    try:
        yield release is not None
    finally:
        if release is not None:
            release()


def claimant(path: str | Path) -> str | None:
    """Who claims a file, and which file says so; None without a claim."""
    claim = _claim_path(Path(path))
    if not claim.exists():
        return None
    holder = _holder(claim)
    named = "no process" if holder is None else f"process {holder[1]} of {holder[0]}"
    return f"{claim} names {named}; delete it if none is at work"


def _attempt(path: Path) -> Release | None:
    # To append, since the file may be one with content, which locking must not truncate.
    file = open_regular(path, append=True)
    try:
        lock = _platform_lock()
        if lock is not None:
            lock(file)
            # The lock belongs to the open file: closing releases it, and so does the end of the process.
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
    """A function that locks an open file or raises BlockingIOError; None if Python has none."""
    with contextlib.suppress(ImportError):
        import fcntl

        return lambda file: fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    with contextlib.suppress(ImportError):
        import msvcrt

        return lambda file: _lock_first_byte(file, msvcrt)
    return None


def _lock_first_byte(file: IO[bytes], windows: object) -> None:
    """Lock on Windows, where a byte that is locked raises "permission denied"."""
    file.seek(0)
    try:
        windows.locking(file.fileno(), windows.LK_NBLCK, 1)  # type: ignore[attr-defined]
    except PermissionError as error:
        raise BlockingIOError(*error.args) from error


def _claimed(claim: Path) -> Release | None:
    """Create the claim; None if a process that may be alive holds it."""
    here = {"machine": platform.node(), "process": os.getpid()}
    # Twice: the first attempt may find, and remove, the claim of a dead process.
    for _ in range(2):
        try:
            with claim.open("x", encoding="utf-8") as file:
                file.write(json.dumps(here))
        except FileExistsError:
            holder = _holder(claim)
            # No holder: the file was created a moment ago and its content is still being written.
            if holder is None or holder[0] != here["machine"] or _alive(holder[1]):
                return None
            _take_away(claim, holder)
        else:
            return lambda: claim.unlink(missing_ok=True)
    return None


def _take_away(claim: Path, holder: tuple[str, int]) -> None:
    """Remove the claim of a dead process, unless another process was faster and holds a new claim."""
    aside = claim.with_name(f"{claim.name}.{secrets.token_hex(8)}{PARTIAL_SUFFIX}")
    with contextlib.suppress(FileNotFoundError):
        # Rename, check, then delete: two processes may have seen the same dead holder, and by now the
        # faster one may have its own claim here; a plain unlink would delete that.
        claim.rename(aside)
        if _holder(aside) == holder:
            aside.unlink()
        else:
            aside.rename(claim)


def _holder(claim: Path) -> tuple[str, int] | None:
    """Machine and process that a claim names; None if it is absent or not completely written yet."""
    try:
        content = json.loads(claim.read_text(encoding="utf-8"))
        return str(content["machine"]), int(content["process"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _alive(process: int) -> bool:
    if os.name == "nt":  # there, os.kill ends processes
        return True
    try:
        # Signal 0 is not delivered; it only checks that the process exists.
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # another user's, or no number of a process
        return True
    return True


def _claim_path(path: Path) -> Path:
    return path.with_name(f".{path.name.lstrip('.')}{CLAIM}")
