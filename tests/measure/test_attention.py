"""Attention distance against its definition and in closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bequest.errors import DataError
from bequest.measure import attention_distance


def random_weights(count: int, heads: int, length: int) -> np.ndarray:
    weights = np.random.default_rng(0).random((count, heads, length, length)) ** 3
    return weights / weights.sum(-1, keepdims=True)


def by_definition(weights: np.ndarray, rows: int, columns: int, patch: float) -> list[float]:
    """One product at a time."""
    extra = weights.shape[-1] - rows * columns
    found = []
    for head in range(weights.shape[1]):
        distances = []
        for image in weights[:, head]:
            for q in range(rows * columns):
                total = share = 0.0
                for k in range(rows * columns):
                    across = math.hypot(q // columns - k // columns, q % columns - k % columns)
                    total += image[extra + q, extra + k] * across * patch
                    share += image[extra + q, extra + k]
                distances.append(total / share)
        found.append(sum(distances) / len(distances))
    return found


@pytest.mark.parametrize(("rows", "columns", "extra"), [(2, 3, 0), (3, 2, 1), (1, 4, 3)])
def test_it_is_its_definition(rows, columns, extra) -> None:
    weights = random_weights(3, 2, rows * columns + extra)
    found = attention_distance(weights, (rows, columns), patch=4.0)
    np.testing.assert_allclose(found, by_definition(weights, rows, columns, 4.0), rtol=1e-12)


def test_a_patch_that_sees_itself_alone_looks_nowhere() -> None:
    own = np.broadcast_to(np.eye(9), (2, 3, 9, 9))
    np.testing.assert_array_equal(attention_distance(own, (3, 3)), np.zeros(3))


def test_looking_everywhere_is_the_mean_distance_of_two_patches() -> None:
    weights = np.full((1, 1, 16, 16), 1 / 16)
    places = [(row, column) for row in range(4) for column in range(4)]
    expected = np.mean([math.dist(p, q) for p in places for q in places])
    np.testing.assert_allclose(attention_distance(weights, (4, 4)), [expected])


def test_tokens_take_their_share_off_and_images_are_weighed_alike() -> None:
    patches = random_weights(4, 2, 6)
    share = np.random.default_rng(1).random((4, 2, 6, 1))
    weights = np.zeros((4, 2, 8, 8))
    weights[..., :2, 0] = 1
    weights[..., 2:, 2:] = patches * share
    weights[..., 2:, 1:2] = 1 - share
    found = attention_distance(weights, (2, 3))
    np.testing.assert_allclose(found, attention_distance(patches, (2, 3)))
    apart = [attention_distance(patches[k : k + 1], (2, 3)) for k in range(4)]
    np.testing.assert_allclose(found, np.mean(apart, 0))


def test_patches_that_look_at_tokens_alone_are_undefined() -> None:
    weights = np.zeros((1, 1, 5, 5))
    weights[..., 0] = 1
    assert np.isnan(attention_distance(weights, (2, 2))).all()


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(DataError, match="does not fit the attention"):
        attention_distance(random_weights(1, 1, 8), (3, 3))
    with pytest.raises(DataError, match="attention weights do not sum to 1"):
        attention_distance(2 * random_weights(1, 1, 9), (3, 3))
