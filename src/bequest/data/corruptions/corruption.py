"""A corruption: images changed in steps of severity, a pure function of (x, ids, level, seed)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, final

import torch
from jaxtyping import Float
from torch import Tensor

from bequest.data.rows import ChangedRows, LazyRows
from bequest.data.views import Key
from bequest.errors import DataError
from bequest.registry import Registry
from bequest.seeding import derive

Images: TypeAlias = Float[Tensor, "n c h w"]
Change: TypeAlias = Callable[[Tensor, Key, Any], Tensor]
"""(images, random numbers of these samples, the parameter of the level) -> images."""

CELLS = 400_000
"""Pixels processed at once, which fit into the processor's cache. No result depends on it."""

PUBLISHED_SIZE = 28
"""Lengths are given in pixels of a 28-pixel image; corruptions that say so scale them with the image."""


@final
class Corruption:
    """Images changed in steps of severity: ``corruption(x, ids, level, seed=seed)``.

    The result for an image depends on (seed, its id, the level) alone, not on its batch or on earlier calls.
    All levels share their random numbers, so that only the severity changes along a curve over levels.

    Attributes:
        name: Its name in the catalogue.
        levels: The parameter of each level, mildest first.
        published: The level that MNIST-C uses (Mu & Gilmer 2019); None for corruptions that it lacks.
    """

    def __init__(self, name: str, change: Change, levels: Sequence[Any], published: int | None) -> None:
        self.name, self.levels, self.published = name, tuple(levels), published
        self.__doc__ = change.__doc__
        self._change = change

    def __call__(self, x: Tensor, ids: Tensor, level: int | None = None, *, seed: int = 0) -> Images:
        """The images ``x`` at ``level``.

        Args:
            x: float32 (N, C, H, W) in [0, 1].
            ids: Sample ids, int64 (N,).
            level: 1 is the mildest; None means the published one.
            seed: Seed of the corruption.

        Returns:
            float32 (N, C, H, W) in [0, 1]; for lazy rows, lazy rows that are corrupted when they are read.

        Raises:
            DataError: If ``x`` is not such a batch, ids are not one per sample, or the level does not exist.
        """
        parameter = self.levels[self._checked_level(level) - 1]
        _check(x, ids)
        if not len(x):
            return x.clone()
        if isinstance(x, LazyRows):
            return LazyRows(ChangedRows(x, lambda part, rows: self(part, ids[rows], level, seed=seed)))
        # After the lazy case, which calls this method again with the seed as it was given.
        seed = derive(seed, "corruption", self.name)
        step = max(CELLS // x[0].numel(), 1)
        parts = [
            self._change(images, Key(rows, 0, seed), parameter).clamp(0.0, 1.0)
            for images, rows in zip(torch.split(x, step), torch.split(ids, step), strict=True)
        ]
        return torch.cat(parts)

    def __repr__(self) -> str:
        return f"<corruption {self.name!r}, {len(self.levels)} levels>"

    def _checked_level(self, level: int | None) -> int:
        if level is None and self.published is not None:
            return self.published
        if level is None or not 1 <= level <= len(self.levels):
            raise DataError(
                f"the corruption {self.name!r} has no such level",
                expected=f"1..{len(self.levels)}",
                got=level,
            )
        return level


CORRUPTIONS: Registry[Corruption] = Registry("corruption")


def corruption(
    name: str, *, levels: Sequence[Any] = (None,), published: int | None = None
) -> Callable[[Change], Corruption]:
    """A decorator that adds a function on images to the catalogue."""
    return lambda change: CORRUPTIONS.add(name, Corruption(name, change, levels, published))


def corrupt(name: str, x: Tensor, ids: Tensor, level: int | None = None, *, seed: int = 0) -> Images:
    """The images ``x`` under the corruption ``name`` (``bequest ls corruptions``); see :class:`Corruption`.

    Raises:
        UnknownName: If there is no such corruption.
        DataError: As the corruption.

    >>> corrupt("stripe", torch.zeros(1, 1, 1, 4), torch.tensor([7])).flatten().tolist()
    [1.0, 0.0, 0.0, 1.0]
    """
    return CORRUPTIONS[name](x, ids, level, seed=seed)


def signs(key: Key, name: str, count: int) -> Float[Tensor, "n k"]:
    """``count`` numbers for each sample, -1 or +1 with equal probability."""
    return (key.integers(name, count, low=0, high=1) * 2 - 1).float()


def _check(x: Tensor, ids: Tensor) -> None:
    if x.ndim != 4 or not all(x.shape[1:]) or x.dtype != torch.float32:
        raise DataError(
            "corruptions need images",
            expected="float32 (N, C, H, W)",
            got=f"{x.dtype} of shape {tuple(x.shape)}",
        )
    if ids.shape != x.shape[:1]:
        raise DataError("a corruption needs one id per sample", expected=f"({len(x)},)", got=tuple(ids.shape))
    # "not (… and …)", as comparisons with NaN are false: NaN must be refused too.
    if x.numel() and not (float(x.min()) >= 0 and float(x.max()) <= 1):
        raise DataError(
            "images are outside of [0, 1]",
            expected="pixels in [0, 1]",
            got=f"{float(x.min()):.3g}..{float(x.max()):.3g}",
            remedy="corrupt first, normalise afterwards",
        )
