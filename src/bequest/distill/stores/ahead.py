"""Reading ahead: answers for the next steps are brought into memory in the background."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress

import torch

from bequest.data.batches import Batches, Source
from bequest.data.streams import SplitStream
from bequest.distill.stores.recording import Recording
from bequest.distill.stores.writer import LOGITS, file_name

STEPS = 4
"""Steps that are read ahead if a view is too large to be kept in memory."""
CHUNK = 8 << 20
SHARE = 0.25
"""Share of the machine's free memory that a view may take to be read as a whole."""


class ReadAhead:
    """A thread that touches the pages needed next, so that a step finds them in memory.

    A view that fits well into free memory is read once, sequentially, which disks are fast at, and then the
    next view. For a larger view, the rows of the next :data:`STEPS` steps are read. Nothing is passed to the
    training: with warm pages a gather takes microseconds, which no queue between threads beats. A step that
    is faster than the thread reads for itself.

    Args:
        grid: One row per teacher, one recording per source.
        batches: The rows of each step.
        features: Activations that are read with the logits.
        memory: Bytes that one pass over all sources may take; default: a share of the free memory.
    """

    def __init__(
        self,
        grid: Sequence[Sequence[Recording]],
        batches: Batches,
        features: Sequence[str] = (),
        *,
        memory: int | None = None,
    ) -> None:
        self._grid = grid
        self._streams = [
            SplitStream(index, source, rows, batches.seed)
            for index, (source, rows) in enumerate(zip(batches.sources, batches.counts, strict=True))
            if isinstance(source, Source)
        ]
        self._arrays = (LOGITS, *features)
        self._whole = self._pass_bytes() <= (free_memory() * SHARE if memory is None else memory)
        self._read: set[str] = set()
        self._wanted = self._seen = -1
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="bequest-read-ahead", daemon=True)
        self._thread.start()

    def follow(self, step: int) -> None:
        """Note which step is being taken, and wake the thread if it has something to read."""
        # Without the lock: only the training writes ``_wanted``, and most steps need nothing new.
        if step != self._wanted and not (self._whole and self._same_views(step)):
            with self._changed:
                self._wanted = step
                self._changed.notify()

    def close(self) -> None:
        """End the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or self._wanted != self._seen)
                if self._closed:
                    return
                step = self._seen = self._wanted
            # Reading ahead only saves time; a real fault of the disk is raised when the step itself reads.
            with suppress(OSError):
                self._read_views(step) if self._whole else self._read_rows(step)

    def _same_views(self, step: int) -> bool:
        """True if ``step`` has the same views as the last step that was noted."""
        return self._wanted >= 0 and self._pass_of(step) == self._pass_of(self._wanted)

    def _pass_of(self, step: int) -> list[int]:
        return [step // max(1, len(s.source.split) // s.rows) for s in self._streams]

    def _read_rows(self, step: int) -> None:
        for later in range(step + 1, step + 1 + STEPS):
            for part in (stream.part(later) for stream in self._streams if stream.source.active is None):
                for recording in (row[part.source] for row in self._grid):
                    view = part.view % recording.manifest.views.count
                    for array in self._arrays:
                        torch.index_select(recording.rows(array, view), 0, part.rows)

    def _read_views(self, step: int) -> None:
        for path in self._coming(step):
            if path in self._read:
                continue
            self._read.add(path)
            with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - unbuffered on purpose
                while not self._closed and file.read(CHUNK):
                    pass

    def _coming(self, step: int) -> Iterator[str]:
        """The files for this pass over each source, then those for the next pass."""
        passes = self._pass_of(step)
        for later in (0, 1):
            for source, passed in enumerate(passes):
                for row in self._grid:
                    view = (passed + later) % row[source].manifest.views.count
                    yield from (str(row[source].folder / file_name(view, array)) for array in self._arrays)

    def _pass_bytes(self) -> int:
        every = (recording for row in self._grid for recording in row)
        return sum(recording.bytes // recording.manifest.views.count for recording in every)


def free_memory() -> int:
    """Bytes of memory available without swapping; 1 GiB if the system does not say."""
    with suppress(OSError, ValueError, KeyError):
        with open("/proc/meminfo", encoding="ascii") as file:  # noqa: PTH123
            lines = dict(line.split(":", 1) for line in file)
        return int(lines["MemAvailable"].split()[0]) * 1024
    with suppress(OSError, ValueError, AttributeError):
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return 1 << 30
