"""The theory of queries: which inputs hand over a teacher's bias, in blocks of coordinates."""

from __future__ import annotations

from bequest.theory.queries.design import (
    QueryDesign,
    best_queries,
    queries_for_everything,
    queries_needed,
)
from bequest.theory.queries.simulation import QuerySimulation, simulate_queries
from bequest.theory.queries.solution import BlockOrderParameters, QuerySolution
from bequest.theory.queries.solver import solve_queries
from bequest.theory.queries.world import BlockMixture, QueryGroup

__all__ = [
    "BlockMixture",
    "BlockOrderParameters",
    "QueryDesign",
    "QueryGroup",
    "QuerySimulation",
    "QuerySolution",
    "best_queries",
    "queries_for_everything",
    "queries_needed",
    "simulate_queries",
    "solve_queries",
]
