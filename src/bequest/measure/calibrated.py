"""Similarities compared with those of unpaired samples: a p-value, and a score that is 0 at chance.

The similarity of unrelated representations is not 0 and grows with width, and the largest over many layers
grows with their number. Permuting the rows of one side keeps both representations and breaks their pairing.
Permuting all layers of that side alike keeps the dependence between layers, so that the largest value over
layers is compared with largest values.

Source: Gröger, Wen & Brbić (2026), "Revisiting the Platonic Representation Hypothesis: An Aristotelian View",
arXiv 2602.14486, algorithms 1 and 2.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from bequest.errors import DataError
from bequest.measure.alignment import cka
from bequest.measure.arrays import Array, Floats, at_least, matrix, same_length, share
from bequest.measure.similarity import Measure
from bequest.seeding import numpy_generator


@dataclass(frozen=True, slots=True)
class CalibratedSimilarity:
    """A similarity compared with chance.

    Attributes:
        value: The similarity; the largest over pairs of layers if there are several.
        score: (value − threshold) / (most − threshold), in [0, 1]: 0 if chance reaches it, 1 at the most.
        p_value: The share of permutations that reach it, with the data themselves counted as one.
        threshold: The value to exceed: the quantile of the permuted values and the value together.
        null: (D,), the permuted values.
        values: (R, C), the similarity of each pair of layers.
        p_values: (R, C), of each pair against the largest permuted values: corrected for all pairs.
    """

    value: float
    score: float
    p_value: float
    threshold: float
    null: Float[np.ndarray, " d"]
    values: Float[np.ndarray, "r c"]
    p_values: Float[np.ndarray, "r c"]


def calibrated_similarity(
    x: Array | Sequence[Array],
    y: Array | Sequence[Array],
    *,
    measure: Measure = cka,
    draws: int = 199,
    level: float = 0.95,
    most: float = 1.0,
    seed: int = 0,
) -> CalibratedSimilarity:
    """``measure`` of x and y, or the largest over their layers, against permutations of the rows of y.

    Args:
        x: (N, ...), or a list of layers of the same samples.
        y: (N, ...), or a list of layers; rows paired with those of ``x``.
        measure: A similarity that is larger where representations are more alike.
        draws: Permutations; the smallest p-value is 1 / (draws + 1).
        level: 1 − the share of permutations that may reach the threshold.
        most: The similarity of equal representations.
        seed: Seed of the permutations.

    Raises:
        DataError: If lengths differ, there is no layer, or the similarity is undefined.

    >>> rng = np.random.default_rng(0)
    >>> x, noise = rng.normal(size=(60, 4)), rng.normal(size=(60, 4))
    >>> related = calibrated_similarity(x, x + noise, draws=99)
    >>> related.p_value, related.score > 0.3, calibrated_similarity(x, noise, draws=99).score
    (0.01, True, 0.0)
    """
    at_least(draws, 1, "draws")
    share(level, "level")
    rows, columns = _layers(x, "x"), _layers(y, "y")
    count = same_length(**{f"{name}[{k}]": side for name, sides in (("x", rows), ("y", columns))
                           for k, side in enumerate(sides)})  # fmt: skip
    values = _each(measure, rows, columns)
    if np.isnan(values).any():
        raise DataError(
            "the similarity is undefined", expected="a number for each pair of layers", got="NaN",
            remedy="leave out layers that are constant",
        )  # fmt: skip
    generator = numpy_generator(seed, "calibrated similarity")
    null = np.empty(draws)
    for draw in range(draws):
        order = generator.permutation(count)
        null[draw] = _each(measure, rows, [side[order] for side in columns]).max()
    value = float(values.max())
    together = np.sort(np.append(null, value))
    # Less a little: .95 · 200 must be the 190th value, although the product may be rounded up to 190.00…1.
    threshold = float(together[min(math.ceil(level * (draws + 1) - 1e-9), draws + 1) - 1])
    room = most - threshold
    score = min(max((value - threshold) / room, 0.0), 1.0) if room > 0 else 0.0
    p_values = (1 + (null[:, None, None] >= values).sum(axis=0)) / (1 + draws)
    return CalibratedSimilarity(value, score, float(p_values.min()), threshold, null, values, p_values)


def _layers(side: Array | Sequence[Array], name: str) -> list[np.ndarray]:
    if not isinstance(side, (list, tuple)):
        return [matrix(side, name)]  # type: ignore[arg-type]
    if not side:
        raise DataError(f"{name} has no layers", expected="one or more")
    return [matrix(layer, f"{name}[{k}]") for k, layer in enumerate(side)]


def _each(measure: Measure, rows: list[np.ndarray], columns: list[np.ndarray]) -> Floats:
    return np.array([[measure(row, column) for column in columns] for row in rows])
