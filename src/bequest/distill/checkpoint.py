"""Where a run stopped: everything needed to go on bit for bit, in one file that is whole or absent."""

from __future__ import annotations

import io
import pickle
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from bequest.errors import RunFolderError
from bequest.files import write_bytes

State = dict[str, Any]
Checkpoint = Callable[[Callable[[], State] | None], State | None]
"""Called with None it returns the state to go on from; called with a function it may keep its state."""


def checkpointing(path: str | Path, *, seconds: float = 0.0, run: str = "") -> Checkpoint:
    """The ``checkpoint`` argument of :func:`bequest.distill.engine.train` for a file.

    Args:
        path: The file; loaded with ``weights_only``, so that it cannot run code.
        seconds: Keep a state only when the last one is at least this old.
        run: What identifies the run, such as the hash of its configuration; the state of another run is
            refused.

    Raises:
        RunFolderError: From the returned function, if the file is damaged, of another run, or cannot be
            written.
    """
    kept = time.monotonic()

    def checkpoint(state: Callable[[], State] | None) -> State | None:
        nonlocal kept
        if state is None:
            return _read(Path(path), run)
        if time.monotonic() - kept >= seconds:
            buffer = io.BytesIO()
            torch.save({"run": run, "state": state()}, buffer)
            write_bytes(path, buffer.getvalue())
            kept = time.monotonic()
        return None

    return checkpoint


def _read(path: Path, run: str) -> State | None:
    if not path.exists():
        return None
    try:
        found = torch.load(path, weights_only=True, map_location="cpu")
        of, state = found["run"], found["state"]
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError, KeyError, TypeError) as error:
        raise RunFolderError(
            f"the checkpoint {path} is damaged",
            got=str(error).splitlines()[0] if str(error) else type(error).__name__,
            remedy="delete it, then run the same command again",
        ) from error
    if of != run:
        raise RunFolderError(
            f"the checkpoint {path} is of another run",
            expected=f"the run {run or 'without a name'}",
            got=f"the run {of or 'without a name'}",
            remedy="delete it, or keep the checkpoint of this run in another file",
        )
    return dict(state)
