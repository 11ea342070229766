"""Named streams of random numbers: a seed follows from (seed, names) alone. Needs no torch."""

from __future__ import annotations

import hashlib

import numpy as np


def derive(seed: int, *names: object) -> int:
    """A 63-bit integer that is a function of ``seed`` and ``names`` alone.

    >>> derive(0, "order", 3) == derive(0, "order", 3)
    True
    >>> derive(0, "order", 3) == derive(0, "order", 4)
    False
    """
    # A separator that no name contains, so that ("ab", "c") and ("a", "bc") are different streams.
    key = "\x1f".join([str(seed), *map(str, names)])
    digest = hashlib.blake2b(key.encode(), digest_size=8).digest()
    # 63 bits fit PyTorch's signed int64; the byte order is fixed for every platform.
    return int.from_bytes(digest, "little") >> 1


def numpy_generator(seed: int, *names: object) -> np.random.Generator:
    """A NumPy generator, seeded with :func:`derive`."""
    return np.random.default_rng(derive(seed, *names))
