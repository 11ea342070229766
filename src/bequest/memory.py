"""The process's memory: the heap is kept between steps, and garbage is collected seldom."""

from __future__ import annotations

import gc

LARGEST = 31 << 20
"""Just under the 32 MiB up to which glibc adapts its thresholds (mallopt(3), M_MMAP_THRESHOLD)."""

NEW_OBJECTS = 10_000
"""A step creates and frees about as many objects; they take a few megabytes."""


def keep_heap() -> None:
    """Let the C allocator keep the memory of a training step for the next one.

    glibc returns freed memory to the kernel above a threshold that starts at 128 KiB and grows to twice
    the largest block freed so far. A step that frees several tensors of a megabyte therefore pays for
    fresh pages every time. One large block, allocated and freed untouched, raises the threshold for good;
    elsewhere it costs nothing and changes nothing. Up to 64 MiB stay with the process.
    """
    import torch  # slow to import, and the command line's help does without

    torch.empty(LARGEST, dtype=torch.uint8)


def collect_seldom() -> None:
    """Collect cyclic garbage only after :data:`NEW_OBJECTS` new objects; call it before torch is imported.

    PyTorch's import makes half a million objects that stay. With Python's threshold of 700 they are searched
    dozens of times, which is an eighth of the time that a process takes to start.
    """
    gc.set_threshold(NEW_OBJECTS)
