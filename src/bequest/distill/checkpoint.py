"""Checkpoints: everything needed to resume a run bit for bit, in one file that is whole or absent."""

from __future__ import annotations

import hashlib
import io
import pickle
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from bequest.files import write_bytes

State = dict[str, Any]
Checkpoint = Callable[[Callable[[], State] | None], State | None]
"""Called with None it returns the state to resume from; called with a function it may save its result."""

MAGIC = b"bequest-checkpoint 2\n"
"""The first line of a file; the second is the SHA-256 of everything after it."""
DIGEST_BYTES = 2 * hashlib.sha256().digest_size + 1


class CheckpointIgnored(UserWarning):
    """A checkpoint is damaged or belongs to another run, so the run starts from the beginning."""


def checkpointing(
    path: str | Path, *, seconds: float = 0.0, run: str = "", ending: Callable[[], bool] = lambda: False
) -> Checkpoint:
    """The ``checkpoint`` argument of :func:`bequest.distill.engine.train` for a file.

    A file that is damaged or belongs to another run is ignored with a :class:`CheckpointIgnored` warning, and
    replaced by the next state: a run that starts over is right and slow, a wrong state would be neither.

    Args:
        path: The file; its content is compared with its digest, then loaded with ``weights_only``, so that
            it cannot run code.
        seconds: Save a state only if the last one is at least this old.
        run: Identifies the run, such as the hash of its configuration.
        ending: Whether the run was asked to end; the next state is then saved, however old the last one is.

    Raises:
        RunFolderError: From the returned function, if the file cannot be written.
        KeyboardInterrupt: From it, after it saved the state of a run that was asked to end.
    """
    written = time.monotonic()

    def checkpoint(state: Callable[[], State] | None) -> State | None:
        nonlocal written
        if state is None:
            return _read(Path(path), run)
        ends = ending()
        # ``state`` is a function, called only to save: collecting a state waits for the device.
        if ends or time.monotonic() - written >= seconds:
            buffer = io.BytesIO()
            torch.save({"run": run, "state": state()}, buffer)
            content = buffer.getvalue()
            digest = hashlib.sha256(content).hexdigest().encode() + b"\n"
            write_bytes(path, MAGIC + digest + content)
            written = time.monotonic()
        if ends:
            raise KeyboardInterrupt
        return None

    return checkpoint


def ignore(what: str, why: str) -> None:
    """Warn that a checkpoint is not resumed from."""
    text = f"{what} {why}; training starts over"
    warnings.warn(text, CheckpointIgnored, stacklevel=3)


def _read(path: Path, run: str) -> State | None:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        ignore(f"the checkpoint {path}", f"cannot be read ({error.strerror})")
        return None
    start = len(MAGIC) + DIGEST_BYTES
    digest = hashlib.sha256(content[start:]).hexdigest().encode() + b"\n"
    if content[:start] != MAGIC + digest:
        ignore(f"the checkpoint {path}", "is damaged (its content does not match its digest)")
        return None
    try:
        stored = torch.load(io.BytesIO(content[start:]), weights_only=True, map_location="cpu")
    except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
        # The digest is right, so somebody else wrote this, or another version of torch.
        ignore(f"the checkpoint {path}", f"is damaged ({str(error).splitlines()[0]})")
        return None
    if stored["run"] != run:
        ignore(f"the checkpoint {path}", "belongs to another run")
        return None
    return dict(stored["state"])
