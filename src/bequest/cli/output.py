"""Standard output that nobody reads any more, or that cannot be written."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import stat
import sys
from collections.abc import Iterator
from typing import Any

from bequest.errors import BequestError
from bequest.printable import safe, safe_but_coloured


class OutputError(BequestError):
    """What a command prints cannot be written."""


class _Descriptor(io.FileIO):
    """A file descriptor whose reader may leave.

    Args:
        number: Of the descriptor, which stays open.
        name: What it is called in a message; None to drop whatever cannot be written.
    """

    def __init__(self, number: int, name: str | None) -> None:
        super().__init__(number, "wb", closefd=False)
        self._called = name
        # A terminal that was closed answers with an input/output error, a pipe with EPIPE (Windows: EINVAL).
        device = stat.S_ISCHR(os.fstat(number).st_mode)
        self._left = {errno.EPIPE, *([errno.EIO] if device else [])}
        self._left |= {errno.EINVAL} if os.name == "nt" else set()
        self._dropping = False

    def write(self, data: Any) -> int:
        """Write; once the reader has left, or an error was reported, everything counts as written."""
        size = memoryview(data).nbytes
        if self._dropping:
            return size
        try:
            return super().write(data) or 0
        except OSError as error:
            self._dropping = True
            if error.errno in self._left or self._called is None:
                return size
            raise OutputError(
                f"{self._called} cannot be written", got=error.strerror, remedy="free some space"
            ) from error


class _Printable(io.TextIOWrapper):
    """Writes no control character: whatever a command forgets to escape is escaped here.

    Colours and movements of the cursor pass where rich writes them, on terminals and where FORCE_COLOR asks.
    """

    def write(self, text: str) -> int:
        """Write ``text``, control characters spelt out.

        Raises:
            TypeError: If it is bytes: by that typer tells text streams from binary ones.
        """
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        coloured = self.isatty() or "FORCE_COLOR" in os.environ
        super().write(safe_but_coloured(text) if coloured else safe(text))
        return len(text)


@contextlib.contextmanager
def lasting_output() -> Iterator[None]:
    """Go on when the reader of the output leaves (``bequest show | head -1``), and end as if it had not.

    Raises:
        OutputError: If standard output cannot be written for another reason, such as a full disk.
    """
    out, err = sys.stdout, sys.stderr
    sys.stdout = _wrapped(out, sys.__stdout__, "standard output")
    sys.stderr = _wrapped(err, sys.__stderr__, None)
    try:
        yield
        _flush()
    finally:
        with contextlib.suppress(OutputError):
            _flush()
        sys.stdout, sys.stderr = out, err


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()


def _wrapped(stream: Any, original: Any, name: str | None) -> Any:
    """``stream`` with a descriptor that lasts; itself if it is closed, replaced, or a console of Windows."""
    if stream is None or stream is not original or (os.name == "nt" and stream.isatty()):
        return stream
    try:
        buffer = io.BufferedWriter(_Descriptor(stream.fileno(), name))
    except (OSError, ValueError):
        return stream
    errors = "backslashreplace" if stream.errors == "strict" else stream.errors
    return _Printable(buffer, encoding=stream.encoding, errors=errors, line_buffering=stream.line_buffering)
