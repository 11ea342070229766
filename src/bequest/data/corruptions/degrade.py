"""Corruptions as a view: degraded images, for students of teachers that see clean ones."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator
from torch import Tensor
from typing_extensions import override

from bequest.data.affine import check_images
from bequest.data.corruptions.corruption import CORRUPTIONS
from bequest.data.views.view import Key, View
from bequest.errors import UnknownName
from bequest.variants import Listed, strict


@strict
class Degrade(View, name="degrade"):
    """A share ``rate`` of the samples under one of ``families``, at a level from 1 to ``level``.

    Families are names of ``bequest ls corruptions`` with levels. Images must be in [0, 1].
    """

    families: Listed[str] = ("gaussian_noise", "gaussian_blur")
    level: Annotated[int, Field(ge=1, le=5)] = 5
    rate: Annotated[float, Field(ge=0, le=1)] = 1.0

    @model_validator(mode="after")
    def _known(self) -> Degrade:
        faults = []
        for name in self.families:
            try:
                if len(CORRUPTIONS[name].levels) < self.level:
                    faults.append(f"{name} has {len(CORRUPTIONS[name].levels)} levels, not {self.level}")
            except UnknownName as error:
                faults.append(f"{error.message}; {error.remedy or error.expected}")
        if faults or not self.families:
            raise ValueError("; ".join(faults) or "families: name at least one")
        return self

    @override
    def apply(self, x: Tensor, key: Key) -> Tensor:
        """Each sample under the corruption and level drawn for it."""
        check_images(x)
        which = key.integers("family", 1, low=0, high=len(self.families) - 1)[:, 0]
        level = key.integers("level", 1, low=1, high=self.level)[:, 0]
        chosen = key.uniform("chosen", 1)[:, 0] < self.rate
        seed = key.within("degrade", key.view_id).seed
        out = x.clone()
        for number, name in enumerate(self.families):
            for strength in range(1, self.level + 1):
                rows = (chosen & (which == number) & (level == strength)).nonzero()[:, 0]
                if len(rows):
                    out[rows] = CORRUPTIONS[name](x[rows], key.ids[rows], strength, seed=seed)
        return out
