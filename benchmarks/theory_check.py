"""The solvable model beside simulation: twelve points at N = 1000, and the way there over N.

Usage: OMP_NUM_THREADS=1 python benchmarks/theory_check.py [--inputs 1000] [--seeds 20] [--draws 3000]

Prints JSON, from which benchmarks/theory_figures.py makes the tables and the figure of docs/theory.md.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import Any

import numpy as np

from bequest.theory import Learner, Mixture, compare, finite_size, simulate

COLUMNS = ("alpha", "delta", "rho", "lambda_teacher", "lambda_student", "eta", "mix", "temperature")
POINTS = [
    (2, 1, 0.2, 1, 0.001, 0.7, 1, 1),
    (3, 0.8, 0.3, 0.1, 0.1, 0.5, 0.6, 2),
    (1.5, 1, 0.5, 10, 0.01, 1, 1, 4),
    (2, 1, 0.2, 1, 1, 0.5, 0, 1),
    (2, 1, 0.5, 1e-3, 1e-3, 1, 0.5, 1),
    (0.5, 1, 0.4, 0.1, 1e-3, 1, 1, 3),
    (6, 2, 0.1, 0.01, 0.01, 0.9, 0.8, 10),
    (2, 0.5, 0.3, 100, 100, 0.8, 1, 2),
    (1, 1, 0.5, 0.5, 0.1, 0.1, 1, 1),
    (2, 1, 0.05, 0.5, 0.05, 0.6, 0.7, 0.5),
    (4, 1, 0.3, 1e-2, 10, 1, 1, 1),
    (1, 0.3, 0.6, 3, 0.3, 0.3, 0.3, 5),
]
"""χ from 0 to 1, η from 0.1 to 1, T from ½ to 10, ρ from 0.05 to 0.6, penalties from 0.001 to 100."""

ORDER = [f"{a}.{name}" for a in (0, 1) for name in ("m", "q", "b", "error")] + ["1.overlap"]
"""What every point is judged by: the order parameters and errors of both learners."""


def checked(point: tuple[float, ...], inputs: int, seeds: int) -> dict[str, Any]:
    """One point: theory, mean and standard error of everything that is observed."""
    given = dict(zip(COLUMNS, map(float, point), strict=True))
    mixture = Mixture(*(given.pop(name) for name in ("alpha", "delta", "rho")))
    run = simulate(mixture, **given, inputs=inputs, seeds=seeds)
    rows = {
        f"{c.learner}.{c.observable}": {
            "theory": c.theory,
            "mean": c.simulation.mean,
            "standard_error": c.simulation.standard_error,
            "deviation": c.deviation,
        }
        for c in compare(run)
    }
    return {"point": dict(zip(COLUMNS, point, strict=True)), "observed": rows}


def scaling(draws: int) -> list[dict[str, Any]]:
    """Spread and bias of every observable over N where the bias is large, with their exponents."""
    chain = [Learner(0.01), Learner(0.01, 0.5, 1.0)]
    rows = finite_size(Mixture(1, 1, 0.5), chain, sizes=(20, 40, 80, 160, 320), seeds=draws, samples=500)
    return [
        {
            "learner": row.learner,
            "observable": row.observable,
            "inputs": row.inputs.tolist(),
            "theory": row.theory,
            "bias": row.bias.tolist(),
            "standard_error": row.standard_error.tolist(),
            "spread": row.spread.tolist(),
            "spread_exponent": row.slope,
            "bias_exponent": None if np.isnan(row.bias_slope) else row.bias_slope,
        }
        for row in rows
    ]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--inputs", type=int, default=1000)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--draws", type=int, default=3000)
    options = parser.parse_args()
    start = time.perf_counter()
    points = []
    for k, point in enumerate(POINTS):
        points.append(checked(point, options.inputs, options.seeds))
        worst = max(abs(points[-1]["observed"][name]["deviation"]) for name in ORDER)
        print(f"{k + 1}/{len(POINTS)} largest {worst:.2f}", file=sys.stderr, flush=True)
    found = {
        "inputs": options.inputs,
        "seeds": options.seeds,
        "points": points,
        "draws": options.draws,
        "scaling": scaling(options.draws) if options.draws else [],
        "seconds": time.perf_counter() - start,
    }
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
