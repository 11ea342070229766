"""Named streams of random numbers: a seed follows from (seed, names) alone. Needs no torch."""

from __future__ import annotations

import hashlib

import numpy as np


def derive(seed: int, *names: object) -> int:
    """A 63-bit integer that follows from ``seed`` and ``names``.

    >>> derive(0, "order", 3) == derive(0, "order", 3)
    True
    >>> derive(0, "order", 3) == derive(0, "order", 4)
    False
    """
    key = "\x1f".join([str(seed), *map(str, names)])
    digest = hashlib.blake2b(key.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def numpy_generator(seed: int, *names: object) -> np.random.Generator:
    """A NumPy generator seeded by :func:`derive`."""
    return np.random.default_rng(derive(seed, *names))
