"""Views that mix a sample with a partner from the same source: mixup and CutMix.

Partner and share depend on the sample's own key alone, so that a sample is mixed in the same way in any
batch, and stored answers replay exactly. Labels mix by :meth:`~bequest.data.views.View.mixing`.
"""

from __future__ import annotations

from abc import abstractmethod
from functools import lru_cache
from typing import Annotated

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from pydantic import Field
from scipy.special import betaincinv
from torch import Tensor
from typing_extensions import override

from bequest.data.affine import check_images
from bequest.data.views.boxes import boxes, covered
from bequest.data.views.view import Key, Mixing, View, partners_of
from bequest.errors import DataError
from bequest.variants import strict

LEVELS = 1 << 14
"""Equally likely values that stand for the Beta distribution. Rejection sampling would need an unknown number
of random numbers per sample, and the inverse distribution function is not available on GPUs."""

Positive = Annotated[float, Field(gt=0)]


class MixingView(View):
    """A view that needs partners."""

    @property
    @override
    def needs_pool(self) -> bool:
        return True

    @override
    def mixed(self, key: Key) -> Mixing:
        return _partners(key), self.share(key)

    @abstractmethod
    def share(self, key: Key) -> Float[Tensor, " n"]:
        """The weight of each sample's own label."""


@strict
class Mixup(MixingView, name="mixup"):
    """λ · sample + (1 - λ) · partner, with λ from Beta(alpha, alpha).

    Source: Zhang et al. 2018, "mixup: beyond empirical risk minimization", equation 1.
    """

    alpha: Positive = 0.8

    @override
    def share(self, key: Key) -> Float[Tensor, " n"]:
        return _beta(key, self.alpha)

    @override
    def apply(self, x: Tensor, key: Key) -> Tensor:
        if not x.is_floating_point():
            raise DataError("mixup needs numbers to average", expected="a float tensor", got=x.dtype)
        share = self.share(key).to(x.dtype).view(-1, *[1] * (x.ndim - 1))
        return share * x + (1 - share) * partners_of(key, _partners(key))


@strict
class CutMix(MixingView, name="cutmix"):
    """A rectangle of the partner pasted in; the weight of the sample's own label is the share of its pixels.

    The rectangle has the image's aspect and the share 1 - λ of its area, with λ from Beta(alpha, alpha); its
    centre is uniform over the image, and it is clipped to the image.

    Source: Yun et al. 2019, "CutMix", equations 1 and 2.
    """

    alpha: Positive = 1.0

    @override
    def share(self, key: Key) -> Float[Tensor, " n"]:
        assert key.pool is not None
        # Counted, not computed from λ: the border cuts off a part of some rectangles.
        return 1 - covered(self._inside(key, key.pool[0]))

    @override
    def apply(self, x: Tensor, key: Key) -> Tensor:
        check_images(x)
        return torch.where(self._inside(key, x), partners_of(key, _partners(key)), x)

    def _inside(self, key: Key, x: Tensor) -> Bool[Tensor, "n 1 h w"]:
        height, width = x.shape[-2:]
        # λ is a share of the area, hence the root.
        side = torch.sqrt(1 - _beta(key, self.alpha))
        rows, columns = torch.round(side * height).long(), torch.round(side * width).long()
        down, right = key.uniform("cutmix", 2).unbind(1)
        top, left = (down * height).long() - rows // 2, (right * width).long() - columns // 2
        return boxes(top, left, rows, columns, (height, width))


def _partners(key: Key) -> Int[Tensor, " n"]:
    """Each sample's partner, a row of the pool."""
    assert key.pool is not None
    return key.integers("partner", 1, low=0, high=len(key.pool[1]) - 1)[:, 0]


def _beta(key: Key, alpha: float) -> Float[Tensor, " n"]:
    """A draw from Beta(alpha, alpha) for each sample."""
    drawn = key.integers("beta", 1, low=0, high=LEVELS - 1)[:, 0]
    return _quantiles(alpha).to(drawn.device)[drawn]


@lru_cache(maxsize=16)
def _quantiles(alpha: float) -> Float[Tensor, " l"]:
    """The medians of ``LEVELS`` equally likely parts of Beta(alpha, alpha)."""
    middles = (np.arange(LEVELS) + 0.5) / LEVELS
    return torch.from_numpy(betaincinv(alpha, alpha, middles)).float()
