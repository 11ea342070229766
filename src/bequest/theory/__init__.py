"""The solvable model of distillation: theory, and simulations that check it. Needs NumPy and SciPy only."""

from __future__ import annotations

from bequest.theory.comparison import Comparison, Estimate, Scaling, compare, estimate, finite_size
from bequest.theory.learner import Learner
from bequest.theory.mixture import Mixture, bayes_error, oracle_error
from bequest.theory.observables import (
    Law,
    Reliability,
    agreement,
    agreement_on_errors,
    alignment,
    brier,
    calibrated,
    calibration_error,
    cosine,
    error,
    nll,
    reliability,
)
from bequest.theory.optima import Optimum, optimise
from bequest.theory.prediction import observe
from bequest.theory.queries import (
    BlockMixture,
    BlockOrderParameters,
    QueryDesign,
    QueryGroup,
    QuerySimulation,
    QuerySolution,
    best_queries,
    queries_for_everything,
    queries_needed,
    simulate_queries,
    solve_queries,
)
from bequest.theory.separability import separability_threshold
from bequest.theory.simulation import Simulation, simulate, simulate_chain
from bequest.theory.solution import OrderParameters, Solution, law
from bequest.theory.solver import solve, solve_chain
from bequest.theory.status import Status
from bequest.theory.training import training_error, training_loss

__all__ = [
    "BlockMixture",
    "BlockOrderParameters",
    "Comparison",
    "Estimate",
    "Law",
    "Learner",
    "Mixture",
    "Optimum",
    "OrderParameters",
    "QueryDesign",
    "QueryGroup",
    "QuerySimulation",
    "QuerySolution",
    "Reliability",
    "Scaling",
    "Simulation",
    "Solution",
    "Status",
    "agreement",
    "agreement_on_errors",
    "alignment",
    "bayes_error",
    "best_queries",
    "brier",
    "calibrated",
    "calibration_error",
    "compare",
    "cosine",
    "error",
    "estimate",
    "finite_size",
    "law",
    "nll",
    "observe",
    "optimise",
    "oracle_error",
    "queries_for_everything",
    "queries_needed",
    "reliability",
    "separability_threshold",
    "simulate",
    "simulate_chain",
    "simulate_queries",
    "solve",
    "solve_chain",
    "solve_queries",
    "training_error",
    "training_loss",
]
