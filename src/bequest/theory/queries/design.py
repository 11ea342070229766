"""The design of queries: the best inputs for a budget, how many are needed, and when they determine all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bequest.errors import ConfigError
from bequest.theory.parameters import Array, Indices, Mask, Numbers
from bequest.theory.queries.limits import subsets
from bequest.theory.queries.solution import QuerySolution
from bequest.theory.queries.solver import solve_queries
from bequest.theory.queries.world import BlockMixture, BlockNumbers, QueryGroup
from bequest.theory.search import minimise

Test = tuple[Numbers, BlockNumbers]
"""Inputs on which errors are evaluated: centre and variances."""

Bounds = tuple[float | int, float | int]
VARIANCES, CENTRE = (1e-3, 10.0), (0.0, 2.0)
"""Default bounds of the search for a query's variances and centre."""

EDGE = 1e-3
"""An optimum this near to a bound, in units of the range, counts as lying on it."""

FEWEST, MOST = 1e-3, 1e3
"""Bounds of the search for a number of queries, per coordinate."""

RUNGS, HALVINGS = 25, 24
SOLVED = 1e-9
"""Accuracy of the solves whose errors are compared."""


@dataclass(frozen=True)
class QueryDesign:
    """The best queries at one point.

    Attributes:
        centre: c of the queries.
        variances: Their Δ by block.
        training_share: The share of the budget that is spent on inputs like the training ones.
        value: The mean error on the tests.
        at_bound: Whether each number lies on a bound, beyond which the optimum may be.
        settled: Whether the search converged.
        solution: The solution at the optimum.
    """

    centre: float
    variances: tuple[float, ...]
    training_share: float
    value: float
    at_bound: dict[str, bool]
    settled: bool
    solution: QuerySolution


def best_queries(
    world: BlockMixture,
    *,
    budget: float | int,
    tests: Sequence[Test],
    groups: Sequence[QueryGroup] = (),
    variances: Bounds = VARIANCES,
    centre: Bounds = CENTRE,
    **asked: Any,
) -> QueryDesign:
    """The centre, the variances and the share of training-like inputs with the least mean error on ``tests``.

    ``budget`` queries per coordinate are spent on two groups: inputs like the training ones, and inputs of
    one centre and one variance for each block. The search is local from the best places of a lattice.

    Args:
        world: One point: no parameter may be an array.
        budget: Queries per coordinate, > 0.
        tests: Inputs on which errors are evaluated.
        groups: Further inputs that the student learns on, at no cost.
        variances: Bounds of the queries' variances, > 0, searched on a logarithmic scale.
        centre: Bounds of their centre.
        asked: Further arguments of :func:`solve_queries`: penalties, ``temperature``, ``start``.

    Raises:
        ConfigError: Lists every fault.

    >>> world = BlockMixture(2, 0.5, shares=(0.5, 0.5), signal=(1, 0), variances=(1, 1e-4))
    >>> best = best_queries(world, budget=0.3, tests=[(1, (1, 1))], variances=(1e-2, 1), centre=(0, 1),
    ...     groups=[QueryGroup(2, 1, (1, 1e-4))], lambda_teacher=(0.3, 1e4), lambda_student=(0.01, 0.01))
    >>> best.at_bound["variances[1]"], best.training_share < 0.01
    (True, True)
    """
    faults = [] if budget > 0 else [f"budget: must be > 0 (got {budget:g})"]
    faults += [] if tests else ["tests: must have at least one kind of inputs"]
    if not 0 < variances[0] < variances[1]:
        faults.append(f"variances: bounds must rise above 0 (got {variances[0]:g}, {variances[1]:g})")
    if not centre[0] < centre[1]:
        faults.append(f"centre: bounds must rise (got {centre[0]:g}, {centre[1]:g})")
    if faults:
        raise ConfigError.of("best_queries", faults)

    def solved(share: Any, middle: Any, spread: Any, accuracy: float = SOLVED) -> QuerySolution:
        like = QueryGroup(budget * share, 1.0, world.variances)
        far = QueryGroup(budget * (1.0 - share), middle, tuple(spread))
        return solve_queries(world, groups=[*groups, like, far], accuracy=accuracy, throw=False, **asked)

    def evaluate(u: Array, _: Indices, accuracy: float = SOLVED) -> Array:
        solution = solved(*_real(u, centre, variances), accuracy)
        errors = [solution.error("student", centre=c, variances=v) for c, v in tests]
        mean = np.mean(errors, axis=0)
        return np.where(np.isfinite(mean) & solution.converged, mean, np.inf)

    places, least, settled = minimise(evaluate, 2 + world.blocks, 1)
    share, middle, spread = _real(places, centre, variances)
    names = ["training_share", "centre", *(f"variances[{k}]" for k in range(world.blocks))]
    edges = ((places < EDGE) | (places > 1.0 - EDGE))[:, 0].tolist()
    numbers = (float(share[0]), float(middle[0]), tuple(float(one[0]) for one in spread))
    return QueryDesign(
        centre=numbers[1],
        variances=numbers[2],
        training_share=numbers[0],
        value=float(least[0]),
        at_bound=dict(zip(names, edges, strict=True)),
        settled=bool(settled[0]),
        solution=solved(*numbers),
    )


def _real(u: Array, centre: Bounds, variances: Bounds) -> tuple[Array, Array, Array]:
    """Share, centre and variances at places in the unit cube."""
    low, high = variances
    return u[0], centre[0] + (centre[1] - centre[0]) * u[1], low * (high / low) ** u[2:]


def queries_needed(
    world: BlockMixture,
    *,
    query: QueryGroup,
    fraction: Numbers,
    test: Test,
    groups: Sequence[QueryGroup] = (),
    teacher: int = 0,
    **asked: Any,
) -> Array:
    """The queries per coordinate after which ``fraction`` of a teacher's bias is handed over.

    The fraction is the inheritance of the error on the inputs ``test``, with a student without such queries
    as the control. The first crossing on a ladder from 1e-3 to 1e3 is refined by bisection; NaN if there is
    none.

    Args:
        world: Blocks and training inputs; numbers may be arrays.
        query: The inputs that are asked; their ``alpha`` is the unknown.
        fraction: In (0, 1).
        test: Inputs on which errors are evaluated.
        groups: Further inputs that the student learns on.
        teacher: Position of the teacher.
        asked: Further arguments of :func:`solve_queries`.

    Returns:
        Queries per coordinate in the grid's shape.

    Raises:
        ConfigError: Lists every fault.
    """
    goal = np.asarray(fraction, dtype=np.float64)
    if not ((goal > 0) & (goal < 1)).all():
        raise ConfigError.of("queries_needed", [f"fraction: must be in (0, 1) (got {goal.ravel()[0]:g})"])
    at: dict[str, Any] = {"centre": test[0], "variances": test[1]}

    def handed_over(alpha: Numbers) -> Array:
        asks = [*groups, replace(query, alpha=alpha)]
        solution = solve_queries(world, groups=asks, throw=False, **asked)
        return solution.inheritance(plain, teacher, **at)

    # Next to none instead of none: a student must have inputs, and these may be all that it has.
    none = replace(query, alpha=FEWEST**2)
    plain = solve_queries(world, groups=[*groups, none], throw=False, **asked)
    shape = np.broadcast_shapes(plain.status.shape, goal.shape)
    ladder = np.geomspace(FEWEST, MOST, RUNGS)
    reached = handed_over(np.broadcast_to(ladder.reshape(-1, *(1,) * len(shape)), (RUNGS, *shape))) >= goal
    # 0 if nothing is reached; such points become NaN at the end.
    first = reached.argmax(axis=0)
    # If the lowest rung reaches it already, low = high, and that rung is the answer.
    low, high = np.log(ladder[np.maximum(first - 1, 0)]), np.log(ladder[first])
    for _ in range(HALVINGS):
        middle = (low + high) / 2.0
        over = handed_over(np.exp(middle)) >= goal
        low, high = np.where(over, low, middle), np.where(over, middle, high)
    return np.where(reached.any(axis=0), np.exp(high), np.nan)


def queries_for_everything(
    world: BlockMixture, query: QueryGroup, groups: Sequence[QueryGroup] = ()
) -> Array:
    """The queries per coordinate from which on an unpenalised student equals its teacher exactly.

    With logits on every input and no penalty the student reproduces them all; its weights are those of the
    teacher once the inputs determine them: for every set U of blocks, Σ_{k∈U} κ_k ≤ Σ_{groups that vary U} α.
    At the number returned the last of these holds with equality; it is ``inf`` if the query varies none of a
    set that the other groups leave undetermined. It does not depend on temperature, signal or start.

    Args:
        world: Its shares may be arrays.
        query: The inputs that are asked; their ``alpha`` is the unknown.
        groups: Further inputs that the student learns on.

    >>> world = BlockMixture(2, 0.5, shares=(0.6, 0.4), signal=(1, 0), variances=(1, 0))
    >>> noise = QueryGroup(1, centre=0, variances=(1, 1))
    >>> float(queries_for_everything(world, noise, [QueryGroup(2, 1, (1, 0))]))
    0.4
    """
    needed = np.zeros(())
    for blocks in subsets(world.blocks):
        coordinates = np.asarray(sum(np.asarray(world.shares[k], dtype=np.float64) for k in blocks))
        inputs = np.asarray(sum((_varied(group, blocks) * np.asarray(group.alpha) for group in groups), 0.0))
        missing = np.maximum(coordinates - inputs, 0.0)
        asked = _varied(query, blocks)
        needed = np.asarray(np.maximum(needed, np.where(missing > 0, np.where(asked, missing, np.inf), 0.0)))
    return needed


def _varied(group: QueryGroup, blocks: tuple[int, ...]) -> Mask:
    """Whether the group varies any of these blocks."""
    varied = [np.asarray(group.variances[k], dtype=np.float64) > 0 for k in blocks]
    return np.asarray(np.logical_or.reduce(np.broadcast_arrays(*varied)))
