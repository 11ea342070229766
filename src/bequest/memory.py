"""The process's heap: kept between steps instead of given back and faulted in again."""

from __future__ import annotations

import torch

LARGEST = 31 << 20
"""Just under the 32 MiB up to which glibc adapts its thresholds (mallopt(3), M_MMAP_THRESHOLD)."""


def keep_heap() -> None:
    """Let the C allocator keep the memory of a training step for the next one.

    glibc returns freed memory to the kernel above a threshold that starts at 128 KiB and grows to twice
    the largest block freed so far. A step that frees several tensors of a megabyte therefore pays for
    fresh pages every time. One large block, allocated and freed untouched, raises the threshold for good;
    elsewhere it costs nothing and changes nothing. Up to 64 MiB stay with the process.
    """
    torch.empty(LARGEST, dtype=torch.uint8)
