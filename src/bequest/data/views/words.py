"""Views of token sequences."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from typing_extensions import override

from bequest.data.views.view import Key, View
from bequest.errors import DataError
from bequest.variants import Listed, strict

Token = Annotated[int, Field(ge=0)]


@strict
class WordDropout(View, name="word_dropout"):
    """Each token replaced by ``replacement`` with probability ``rate``; tokens in ``keep`` stay.

    ``keep`` holds special tokens: padding, ends, separators. The choice of positions does not depend on the
    length to which a batch is padded.
    """

    rate: Annotated[float, Field(ge=0, le=1)]
    replacement: Token
    keep: Listed[Token] = (0,)

    @override
    def apply(self, x: Tensor, key: Key) -> Tensor:
        if x.ndim != 2 or x.is_floating_point():
            raise DataError(
                "this view needs token sequences",
                expected="an integer tensor (N, L)",
                got=f"{x.dtype} of shape {tuple(x.shape)}",
                remedy="word_dropout is for token sequences; images have erase and noise",
            )
        dropped = key.uniform("word_dropout", x.shape[1]) < self.rate
        for token in self.keep:
            dropped &= x != token
        return torch.where(dropped, self.replacement, x)
