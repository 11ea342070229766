"""The process's memory: its heap is kept between steps, and garbage is looked for seldom."""

from __future__ import annotations

import gc

LARGEST = 31 << 20
"""Just under the 32 MiB up to which glibc adapts its thresholds (mallopt(3), M_MMAP_THRESHOLD)."""

NEW_OBJECTS = 10_000
"""As many come and go within a step; their memory is a few megabytes."""


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
    """Look for garbage in cycles once there are so many new objects; to be called before torch is imported.

    PyTorch's import makes half a million objects that stay. Python's threshold of 700 has them looked
    through dozens of times, which is an eighth of what a process takes to start.
    """
    gc.set_threshold(NEW_OBJECTS)
