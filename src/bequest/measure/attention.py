"""The distance over which a vision transformer attends."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from bequest.errors import DataError

ROWS_SUM_TO_ONE = 1e-3


def attention_distance(
    weights: Float[np.ndarray, "n heads l l"], grid: tuple[int, int], *, patch: float = 1.0
) -> Float[np.ndarray, " heads"]:
    """Mean distance between a patch and the patches that it attends to, one number per head.

    d_h = mean over images and query patches q of Σ_k a_h(q, k) · |r_q - r_k| / Σ_k a_h(q, k), the sums over
    patches; r are the patches' centres. Tokens before the patches have no position: as queries they are left
    out, and as keys their share of attention is removed. A query that attends to tokens only is left out.

    Args:
        weights: Attention weights; rows (last axis) sum to 1. The last ``grid[0] * grid[1]`` of the L
            positions are the patches, row by row.
        grid: Rows and columns of patches.
        patch: Side of a patch; the unit of the result is that of this side.

    Returns:
        float64, (heads,), in [0, patch · √((rows - 1)² + (columns - 1)²)]; NaN for a head none of whose
        patches attends to a patch.

    Raises:
        DataError: If the grid does not fit, or rows do not sum to 1.

    Source: Dosovitskiy et al. 2021, "An image is worth 16x16 words", appendix D.7.

    >>> everywhere = np.full((1, 2, 4, 4), 0.25)
    >>> attention_distance(everywhere, (1, 4))
    array([1.25, 1.25])
    """
    count = grid[0] * grid[1]
    if min(grid) < 1 or count > weights.shape[-1]:
        raise DataError(
            "the grid of patches does not fit the attention",
            expected=f"at most {weights.shape[-1]} positions",
            got=f"{grid[0]} × {grid[1]}",
        )
    if not np.allclose(weights.sum(-1), 1, atol=ROWS_SUM_TO_ONE):
        raise DataError(
            "attention weights do not sum to 1",
            expected="rows that sum to 1",
            got=f"sums from {weights.sum(-1).min():.3g} to {weights.sum(-1).max():.3g}",
        )
    places = patch * np.stack(np.meshgrid(*map(np.arange, grid), indexing="ij"), -1).reshape(count, 2)
    apart = np.sqrt(((places[:, None] - places[None]) ** 2).sum(-1))
    among = weights[..., -count:, -count:].astype(np.float64)
    shares = among.sum(-1)
    far = np.einsum("nhqk,qk->nhq", among, apart)
    seen = shares > 0
    with np.errstate(invalid="ignore", divide="ignore"):
        means = np.where(seen, far / shares, 0.0).sum((0, 2)) / seen.sum((0, 2))
    by_head: Float[np.ndarray, " heads"] = means
    return by_head
