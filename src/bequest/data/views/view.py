"""Views: augmentations of a sample that are pure functions of (seed, sample id, view id)."""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float, Int
from pydantic import model_validator
from torch import Tensor
from typing_extensions import override

from bequest import seeding
from bequest.errors import ConfigError, DataError
from bequest.variants import Listed, Variant, strict

Pool = tuple[Tensor, Tensor]
"""All samples of a source and their ids; mixing views draw their partners from it."""

Mixing = tuple[Tensor, Tensor]
"""Each sample's partner, int64 (N,) rows of the pool, and the weight of its own label, float32 (N,)."""


@dataclasses.dataclass(frozen=True, slots=True)
class Key:
    """Everything that determines a view of some samples, and the random numbers for it.

    Attributes:
        ids: Sample ids, (N,).
        view_id: Which view.
        seed: The seed, a different one for each part of a composition.
        pool: All samples and ids of the source, if given.
        partners: Rows of the pool -> those samples after the earlier views; None if there are no such views.
    """

    ids: Tensor
    view_id: int
    seed: int
    pool: Pool | None = None
    partners: Callable[[Tensor], Tensor] | None = None

    def within(self, *names: object) -> Key:
        """The key of a part of this view."""
        return dataclasses.replace(self, seed=seeding.derive(self.seed, *names))

    def at(self, rows: Tensor) -> Key:
        """The key of some of these samples."""
        return dataclasses.replace(self, ids=self.ids[rows])

    def uniform(self, name: str, count: int) -> Float[Tensor, "n k"]:
        """``count`` numbers in [0, 1) for each sample."""
        return seeding.uniform(self.seed, name, self.ids, self.view_id, count)

    def integers(self, name: str, count: int, *, low: int, high: int) -> Int[Tensor, "n k"]:
        """``count`` integers in [low, high] for each sample."""
        return seeding.integers(self.seed, name, self.ids, self.view_id, count, low=low, high=high)

    def normal(self, name: str, count: int) -> Float[Tensor, "n k"]:
        """``count`` standard normal numbers for each sample."""
        return seeding.normal(self.seed, name, self.ids, self.view_id, count)


class View(Variant, kind="view"):
    """Augmentation of samples: ``view(x, ids, view_id, seed=seed)`` has the shape, type and device of ``x``.

    The result for a sample depends on (seed, its id, the view id) alone, not on its batch, the order, the
    worker, the number of processes or earlier calls. Mixing views need ``pool`` as well.
    """

    @property
    def needs_pool(self) -> bool:
        """Whether samples are mixed with others, so that ``pool`` must be given."""
        return False

    def __call__(
        self, x: Tensor, ids: Tensor, view_id: int, *, seed: int, pool: Pool | None = None
    ) -> Tensor:
        """The samples ``x`` in view ``view_id``.

        Args:
            x: Images, float (N, C, H, W), or tokens, int (N, L).
            ids: Sample ids, int64 (N,), on the device of ``x``.
            view_id: Which view; epoch e uses view e modulo the view count.
            seed: The seed of the views.
            pool: All samples and ids of the source; needed if :attr:`needs_pool`.

        Raises:
            DataError: If ``x`` is of the wrong kind, ids are not one per sample, or a needed pool is absent.
        """
        if ids.shape != x.shape[:1]:
            raise DataError(
                "a view needs one id per sample",
                expected=f"ids of shape ({x.shape[0]},)",
                got=f"ids of shape {tuple(ids.shape)}",
            )
        if self.needs_pool and pool is None:
            raise DataError(
                f"the view {self.name!r} mixes samples and was given no pool to take partners from",
                expected="pool=(samples, ids) of the whole source",
                got="None",
            )
        return self.apply(x, Key(ids, view_id, seed, pool))

    def mixing(self, ids: Tensor, view_id: int, *, seed: int, pool: Pool) -> Mixing | None:
        """Each sample's partner row in ``pool`` and the weight of its own label; None if nothing mixes."""
        return self.mixed(Key(ids, view_id, seed, pool)) if self.needs_pool else None

    @classmethod
    def _join(cls, parts: tuple[View, ...], where: str) -> View:
        """A list of views is their composition."""
        if len(parts) < 2:
            return parts[0] if parts else Identity()
        try:
            return Compose(parts)
        except ConfigError as error:
            raise ConfigError.of(where, error.faults) from None

    @abstractmethod
    def apply(self, x: Tensor, key: Key) -> Tensor:
        """The view of ``x`` under ``key``, without the checks of a call."""

    def mixed(self, key: Key) -> Mixing | None:
        """The result of :meth:`mixing` for ``key``."""
        del key
        return None


@strict
class Identity(View, name="identity"):
    """The sample without augmentation."""

    @override
    def apply(self, x: Tensor, key: Key) -> Tensor:
        """``x`` itself."""
        del key
        return x


@strict
class Compose(View, name="compose"):
    """Views one after another, each with random numbers of its own; at most one of them mixes.

    A mixing view's partner goes through the views before it under its own id, as if it were in the batch.
    """

    views: Listed[View]

    @model_validator(mode="after")
    def _one_mixes(self) -> Compose:
        if sum(view.needs_pool for view in self.views) > 1:
            raise ValueError("at most one view of a composition may mix samples; put them into a choice")
        return self

    @property
    def needs_pool(self) -> bool:
        """Whether one of the views mixes."""
        return any(view.needs_pool for view in self.views)

    @override
    def spec(self) -> Any:
        """A list of specs, one per view."""
        return [view.spec() for view in self.views]

    @override
    def mixed(self, key: Key) -> Mixing | None:
        """The mixing of the one view that mixes."""
        for place, view in enumerate(self.views):
            if view.needs_pool:
                # The same key as in ``apply``: labels are mixed with the partners of the pixels.
                return view.mixed(key.within("compose", place))
        return None

    @override
    def apply(self, x: Tensor, key: Key) -> Tensor:
        """``x`` after all views, in order."""
        for place, view in enumerate(self.views):
            part = key.within("compose", place)
            if view.needs_pool and place > 0:
                part = dataclasses.replace(part, partners=self._before(place, key))
            x = view.apply(x, part)
        return x

    def _before(self, place: int, key: Key) -> Callable[[Tensor], Tensor]:
        """Partners after the first ``place`` views of this composition."""

        def partners(rows: Tensor) -> Tensor:
            x, partner = partners_of(key, rows), key
            if key.pool is not None:
                # Under the partner's own id, so that it looks as it would as a sample of this view.
                partner = dataclasses.replace(key, ids=key.pool[1][rows], pool=None, partners=None)
            for earlier, view in enumerate(self.views[:place]):
                x = view.apply(x, partner.within("compose", earlier))
            return x

        return partners


@strict
class Choice(View, name="choice"):
    """One of several views for each sample, drawn with ``weights`` (equal shares by default)."""

    views: Listed[View]
    weights: Listed[float] | None = None

    @model_validator(mode="after")
    def _weights_fit(self) -> Choice:
        if not self.views:
            raise ValueError("a choice needs at least one view")
        if self.weights is not None:
            if len(self.weights) != len(self.views):
                raise ValueError(f"{len(self.views)} views need as many weights, not {len(self.weights)}")
            # With a tolerance: three times 1/3, written in decimals, is not exactly 1.
            if min(self.weights) < 0 or abs(sum(self.weights) - 1) > 1e-6:
                raise ValueError(f"weights must be non-negative and sum to 1, not {sum(self.weights):g}")
        return self

    @property
    def needs_pool(self) -> bool:
        """Whether one of the views mixes."""
        return any(view.needs_pool for view in self.views)

    def _chosen(self, key: Key) -> Int[Tensor, " n"]:
        """The index of each sample's view."""
        shares = self.weights or (1 / len(self.views),) * len(self.views)
        # Without the last edge: rounding may leave it below 1, and a draw above it would have no view.
        edges = torch.tensor(shares, dtype=torch.float64).cumsum(0)[:-1].to(key.ids.device)
        return torch.bucketize(key.uniform("choice", 1)[:, 0].double(), edges, right=True)

    @override
    def mixed(self, key: Key) -> Mixing | None:
        """The mixing of each sample's view; a sample whose view does not mix keeps its label."""
        chosen = self._chosen(key)
        rows = torch.zeros_like(chosen)
        share = torch.ones(len(chosen), device=chosen.device)
        for k, view in enumerate(self.views):
            # The same key as in ``apply``, as in Compose.
            mixed = view.mixed(key.within("choice", k))
            if mixed is not None:
                rows = torch.where(chosen == k, mixed[0], rows)
                share = torch.where(chosen == k, mixed[1], share)
        return rows, share

    @override
    def apply(self, x: Tensor, key: Key) -> Tensor:
        """Each sample in the view that was drawn for it."""
        chosen = self._chosen(key)
        out = x.clone()
        for k, view in enumerate(self.views):
            at = (chosen == k).nonzero()[:, 0]
            if len(at):
                out[at] = view.apply(x[at], key.at(at).within("choice", k))
        return out


def partners_of(key: Key, rows: Tensor) -> Tensor:
    """The samples in ``rows`` of the pool, after the earlier views."""
    if key.partners is not None:
        return key.partners(rows)
    if key.pool is None:
        raise DataError("a mixing view needs a pool", expected="pool=(samples, ids)", got="None")
    return key.pool[0][rows]


def parse_views(spec: object, where: str = "views") -> View:
    """The view that ``spec`` describes; :meth:`View.spec` is the inverse.

    Args:
        spec: A table with ``name``, a bare name, a view, or a list of them (applied in order); None and
            the empty list are the identity.
        where: The name of the spec in errors.

    >>> parse_views([{"name": "shift", "pixels": 2}, "flip"]).spec()
    [{'name': 'shift', 'pixels': 2, 'fill': 'zeros'}, {'name': 'flip', 'rate': 0.5}]

    Raises:
        ConfigError: Lists every fault.
    """
    return View.parse([] if spec is None else spec, where)
