"""How representations move in training: distances between checkpoints, their map, length, direction."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from bequest.errors import DataError
from bequest.measure.alignment import cka
from bequest.measure.arrays import Array, Floats, at_least, plain
from bequest.measure.comparisons import holm
from bequest.measure.similarity import Measure, similarity_matrix
from bequest.measure.undefined import Undefined
from bequest.measures import Reason
from bequest.seeding import numpy_generator

POOR_STRESS = 0.2
"""A map of higher stress shows little of the distances (Kruskal 1964 calls 0.2 poor)."""

SIGNIFICANT = 0.05

EXACT_STEPS = 12
"""The most steps for which all 2^(steps − 1) signs are tried."""


def checkpoint_epochs(last: int) -> tuple[int, ...]:
    """The epochs after which a training path has a checkpoint: 0, 1, 2, 4, 8, ... and the last.

    >>> checkpoint_epochs(20)
    (0, 1, 2, 4, 8, 16, 20)
    """
    at_least(last, 0, "last")
    doubling = [0] + [1 << k for k in range(last.bit_length()) if 1 << k < last]
    return tuple(dict.fromkeys([*doubling, last]))


def representation_distances(
    activations: Sequence[Array], *, measure: Measure = cka
) -> Float[np.ndarray, "k k"]:
    """Chord distances √(2 − 2s) between representations of the same samples, (K, K), from similarities s.

    Checkpoints of all models go in together, rows paired by sample. For CKA these are Euclidean distances
    (between unit vectors in the space of kernels), for :func:`~bequest.measure.procrustes` a metric: 0 for
    the same representation, √2 for unrelated ones.

    Args:
        activations: K of (N, ...).
        measure: A similarity with 1 at equality.

    Returns:
        Symmetric, 0 on the diagonal; NaN where the similarity is undefined.

    >>> x = np.random.default_rng(0).normal(size=(500, 4))
    >>> representation_distances([x, 2 * x]).round(6).tolist()
    [[0.0, 0.0], [0.0, 0.0]]
    """
    similar = similarity_matrix(activations, measure=measure)
    # The mean of both triangles, and not below 0: rounding may leave them slightly apart, or above 1.
    distances: Floats = np.sqrt(np.maximum(2 - (similar + similar.T), 0.0))
    np.fill_diagonal(distances, np.where(np.isnan(np.diag(distances)), np.nan, 0.0))
    return distances


@dataclass(frozen=True, slots=True)
class PathMap:
    """A map of checkpoints in the plane, and whether it shows a path.

    Attributes:
        points: (K, 2), centred.
        stress: Kruskal's stress-1, √(Σ (d − δ)² / Σ d²): 0 is exact, above 0.2 is poor.
        null: (D,), the stress of as many maps of the same distances in random order.
        p_value: The share of null maps with no more stress, with the map itself counted as one.
        reason: Why it shows no path; None if stress and null allow one.
        code: The reason as a code.
        directions: The p-value of each path's direction; empty if no paths were given.
    """

    points: Float[np.ndarray, "k 2"]
    stress: float
    null: Float[np.ndarray, " d"]
    p_value: float
    reason: str | None
    code: Reason | None = None
    directions: Float[np.ndarray, " p"] = field(default_factory=lambda: np.zeros(0))

    @property
    def shows_path(self) -> bool:
        """Whether the map is faithful, and more so than a map of shuffled distances."""
        return self.reason is None


def path_map(
    distances: Array, *, paths: Sequence[Sequence[int]] | None = None, draws: int = 49, seed: int = 0
) -> PathMap:
    """Metric multidimensional scaling to two dimensions (SMACOF), with its stress and a null for the stress.

    Each map starts from classical scaling, which is deterministic and as a rule ends at a lower stress than
    the best of several random starts. The null shuffles the distances between pairs of checkpoints: a set
    without structure, such as points all equally far apart, is mapped no better than that. With four points
    or fewer any distances fit well (and the null shows it). A random walk in many dimensions is mapped to a
    smooth curve too: with ``paths`` a map shows a path only if the steps of one of them have a direction
    (:func:`direction_p_value`).

    Args:
        distances: (K, K), symmetric, 0 on the diagonal.
        paths: For each model the rows of its checkpoints in their order; None does not test directions.
        draws: Null maps.
        seed: Seed of the shuffles.

    Raises:
        DataError: If ``distances`` is not such a matrix of three or more points.

    >>> corner = np.array([[0.0, 3.0, 4.0], [3.0, 0.0, 5.0], [4.0, 5.0, 0.0]])
    >>> path_map(corner, draws=19).stress < 1e-3
    True
    """
    at_least(draws, 1, "draws")
    table = _checked(distances)
    if not table.any():
        nothing = Undefined("all checkpoints are the same", Reason.CONSTANT)
        return PathMap(np.zeros((len(table), 2)), nothing, np.zeros(0), nothing, nothing.reason, nothing.code)
    points, stress = _mapped(table)
    generator = numpy_generator(seed, "path map null")
    upper = np.triu_indices(len(table), 1)
    null = np.empty(draws)
    for draw in range(draws):
        shuffled = np.zeros_like(table)
        shuffled[upper] = generator.permutation(table[upper])
        null[draw] = _mapped(shuffled + shuffled.T)[1]
    # A shuffle that equals the map up to rounding counts against it.
    p_value = (1 + int((null <= stress + 1e-9).sum())) / (1 + draws)
    reason = _no_path(stress, null, p_value)
    code = Reason.NO_STRUCTURE if reason else None
    directions = np.array([direction_p_value(table[np.ix_(rows, rows)], seed=seed) for rows in paths or ()])
    if reason is None and len(directions) and not (holm(directions) < SIGNIFICANT).any():
        reason, code = (
            "no path: the steps have no common direction, like those of a random walk",
            Reason.NO_DIRECTION,
        )
    return PathMap(points, stress, null, p_value, reason, code, directions)


def direction_p_value(distances: Array, *, draws: int = 999, seed: int = 0) -> float:
    """Whether the steps of a path have a common direction: a p-value under random reversals of the steps.

    ‖Σ_k ε_k·step_k‖² for random signs ε is compared with all signs +, which is d(first, last)²: in a random
    walk each step is as likely as its reverse, for any number of dimensions and any lengths of the steps.
    Inner products of steps follow from distances, which must be Euclidean, as those of CKA are. All signs are
    tried for at most twelve steps; K checkpoints have a p-value of at least 2/2^(K − 1), so that seven are
    needed to show a direction at .05.

    Args:
        distances: (K, K), between a model's checkpoints, in their order.
        draws: Random signs for more than twelve steps.
        seed: Seed of the signs.

    Returns:
        In (0, 1]; NaN with a reason for fewer than three checkpoints, or if nothing moved.

    >>> straight = np.abs(np.subtract.outer(np.arange(8.0), np.arange(8.0)))
    >>> direction_p_value(straight)
    0.015625
    """
    table = _checked(distances, least=0)
    if len(table) < 3:
        return Undefined(f"{len(table)} checkpoints; two steps need 3 or more", Reason.TOO_FEW)
    if not np.diag(table, 1).any():
        return Undefined("the checkpoints are all the same", Reason.CONSTANT)
    squares = table**2
    before, after = slice(None, -1), slice(1, None)
    # The law of cosines in inner products: ⟨step k, step l⟩ from the four distances between their ends.
    products = (squares[before, after] + squares[after, before] - squares[before, before]
                - squares[after, after]) / 2  # fmt: skip
    steps = len(products)
    if steps <= EXACT_STEPS:
        # The first sign is fixed: reversing all of them changes no length.
        signs = np.array(list(itertools.product((1.0, -1.0), repeat=steps - 1)))
        signs = np.column_stack([np.ones(len(signs)), signs])
    else:
        drawn = numpy_generator(seed, "signs of steps").integers(0, 2, size=(draws, steps)) * 2.0 - 1
        signs = np.concatenate([np.ones((1, steps)), drawn])
    lengths = np.einsum("dk,kl,dl->d", signs, products, signs)
    return float((lengths >= lengths[0] * (1 - 1e-9)).mean())


def path_length(distances: Array) -> float:
    """The sum of steps d(k, k+1) along one model's checkpoints, (K, K) in their order.

    NaN with a reason for fewer than two checkpoints.

    >>> path_length(np.array([[0.0, 1.0, 1.5], [1.0, 0.0, 1.0], [1.5, 1.0, 0.0]]))
    2.0
    """
    table = _checked(distances, least=0)
    if len(table) < 2:
        return Undefined(f"{len(table)} checkpoints; a path needs 2 or more", Reason.TOO_FEW)
    return float(np.diag(table, 1).sum())


def straightness(distances: Array) -> float:
    """d(first, last) / path length, in [0, 1]: 1 is a straight line.

    K points equally far apart give 1 / (K − 1).
    NaN with a reason for fewer than two checkpoints, or if nothing moved.

    >>> straightness(np.array([[0.0, 1.0, 1.5], [1.0, 0.0, 1.0], [1.5, 1.0, 0.0]]))
    0.75
    """
    length = path_length(distances)
    if np.isnan(length):
        return length
    table = plain(distances, "distances")
    if length > 0:
        return float(table[0, -1]) / length
    return Undefined("the checkpoints are all the same", Reason.CONSTANT)


def direction_to(distances: Array, target_distances: Array) -> Float[np.ndarray, " k"]:
    """The cosine between each step of training and the direction to a target, (K − 1,), in [−1, 1].

    By the law of cosines, for Euclidean distances: 1 is straight towards the target, 0 sideways, −1 away. A
    random step in many dimensions is near 0.

    Args:
        distances: (K, K), between a model's checkpoints, in their order.
        target_distances: (K,), from each checkpoint to the target, such as the teacher's last representation.

    Returns:
        NaN for a step of no length, or from the target itself.

    Raises:
        DataError: If shapes do not fit.

    >>> along = np.array([[0.0, 1.0], [1.0, 0.0]])
    >>> direction_to(along, np.array([3.0, 2.0])).tolist()
    [1.0]
    """
    table, target = (
        _checked(distances, least=0),
        plain(target_distances, "target_distances").astype(np.float64),
    )
    if target.shape != (len(table),):
        raise DataError("target_distances has the wrong shape", expected=(len(table),), got=target.shape)
    step, before, after = np.diag(table, 1), target[:-1], target[1:]
    with np.errstate(invalid="ignore", divide="ignore"):
        cosine = (step**2 + before**2 - after**2) / (2 * step * before)
    cosines: Floats = np.where(step * before > 0, np.clip(cosine, -1.0, 1.0), np.nan)
    return cosines


def approach(target_distances: Array) -> float:
    """The share of the first distance to a target that training closed, 1 − d(last) / d(first), in (−∞, 1].

    1: arrived; 0: as far as before; below 0: farther. NaN with a reason if it began at the target.

    >>> approach(np.array([2.0, 1.5, 0.5]))
    0.75
    """
    target = plain(target_distances, "target_distances")
    if target.ndim != 1 or not len(target) or not np.isfinite(target).all():
        raise DataError("target_distances has the wrong shape", expected="(K,), finite", got=target.shape)
    if target[0] == 0:
        return Undefined("the first checkpoint is the target", Reason.ZERO_REFERENCE)
    return 1 - float(target[-1]) / float(target[0])


def _checked(distances: Array, *, least: int = 3) -> Floats:
    table = plain(distances, "distances").astype(np.float64)
    if table.ndim != 2 or table.shape[0] != table.shape[1] or len(table) < least:
        raise DataError(
            "distances has the wrong shape", expected=f"(K, K), {least} points or more", got=table.shape
        )
    if not np.isfinite(table).all():
        raise DataError("distances holds NaN or infinite numbers", remedy="leave those checkpoints out")
    if (table < 0).any() or not np.allclose(table, table.T) or np.diag(table).any():
        raise DataError(
            "distances is not a matrix of distances", expected="symmetric, non-negative, 0 on the diagonal"
        )
    return (table + table.T) / 2


def _mapped(table: Floats) -> tuple[Floats, float]:
    from sklearn.exceptions import ConvergenceWarning  # slow to import, and needed here alone
    from sklearn.manifold import MDS

    scale = table.max()
    scaling = MDS(
        n_components=2,
        metric="precomputed",
        init="classical_mds",
        n_init=1,
        normalized_stress=True,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        points = scaling.fit_transform(table / scale)
    return (points - points.mean(axis=0)) * scale, float(scaling.stress_)


def _no_path(stress: float, null: Floats, p_value: float) -> str | None:
    by_chance = f"shuffled distances give {np.median(null):.2f}"
    if p_value >= SIGNIFICANT:
        return f"no path: the map's stress of {stress:.2f} is no lower than chance ({by_chance})"
    if stress > POOR_STRESS:
        return f"no path: the map's stress of {stress:.2f} is poor (above {POOR_STRESS}; {by_chance})"
    return None
