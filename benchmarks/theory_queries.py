"""The theory of queries beside exact minimisers: the table and twelve further points of docs/theory.md.

Usage: OMP_NUM_THREADS=1 python benchmarks/theory_queries.py [--inputs 1000] [--seeds 20] [--table] [--design]

Prints JSON, and with --table Markdown; with --design, how many queries are needed and which are the best.
With --figure FOLDER it draws the picture of docs/queries.md: inheritance over queries, theory beside
simulation.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from bequest.records import Curve, Point
from bequest.report.curve_charts import chart_figure
from bequest.report.palette import styles
from bequest.report.svg_file import write_picture
from bequest.theory import (
    BlockMixture,
    QueryGroup,
    best_queries,
    estimate,
    queries_needed,
    simulate_queries,
    solve_queries,
)

WORLD = BlockMixture(2, 0.5, shares=(0.5, 0.5), signal=(1, 0), variances=(1, 1e-4))
BIAS = {"lambda_teacher": (0.3, 1e4), "lambda_student": (0.01, 0.01), "start": 20}
CLEAN, SHIFTED = (1, (1, 1e-4)), (1, (1, 1))
TRAINING = QueryGroup(2, *CLEAN)
TABLE: dict[str, list[QueryGroup]] = {
    "2 training-like": [TRAINING],
    "2 + 0.1 shifted": [TRAINING, QueryGroup(0.1, *SHIFTED)],
    "2 + 0.25 shifted": [TRAINING, QueryGroup(0.25, *SHIFTED)],
    "2 + 0.5 shifted": [TRAINING, QueryGroup(0.5, *SHIFTED)],
    "2 + 1 shifted": [TRAINING, QueryGroup(1, *SHIFTED)],
    "2 + 0.5 noise": [TRAINING, QueryGroup(0.5, 0, (1, 1))],
    "2 + 0.5 noise in block 2 alone": [TRAINING, QueryGroup(0.5, 0, (0, 1))],
}
"""What the student learns on in the rows of the table."""

KINDS = {
    "training-like": CLEAN,
    "shifted": SHIFTED,
    "noise": (0, (1, 1)),
    "only what training does not vary": (0, (0, 1)),
}
"""What the figure's queries are: their centre and variances."""

Case = tuple[str, BlockMixture, dict[str, Any], tuple[float, tuple[float, ...]]]
"""A title, the world, what is asked, and the shifted inputs (c, Δ) on which errors are read."""


def three_blocks() -> BlockMixture:
    return BlockMixture(1.5, 0.3, shares=(0.3, 0.3, 0.4), signal=(0.7, 0.3, 0), variances=(0.8, 1.5, 0.01))


def cases() -> list[Case]:
    """Twelve further points over all parameters."""
    skewed = BlockMixture(3, 0.2, shares=(0.7, 0.3), signal=(0.8, 0.2), variances=(1, 0.01))
    few = BlockMixture(0.8, 0.4, shares=(0.6, 0.4), signal=(1, 0), variances=(0.5, 0))
    three, inf = three_blocks(), np.inf
    noise, far = QueryGroup(1, 0, (1, 1)), QueryGroup(0.4, 1, (1, 2))
    own, own_skewed = QueryGroup.training(WORLD), QueryGroup.training(skewed, mix=0.5)
    asked = {"lambda_student": (0.05, 0.05)}
    return [
        (
            "an architecture that ignores block 2",
            WORLD,
            {
                "lambda_teacher": (0.3, inf),
                "lambda_student": (0.01, 0.01),
                "start": 20,
                "groups": [TRAINING, QueryGroup(0.7, 1, (1, 1))],
            },
            SHIFTED,
        ),
        ("a warm teacher", WORLD, {**BIAS, "temperature": 4, "groups": [TRAINING, noise]}, SHIFTED),
        ("a cold teacher", WORLD, {**BIAS, "temperature": 0.5, "groups": [TRAINING, far]}, SHIFTED),
        (
            "decisions",
            WORLD,
            {
                **BIAS,
                "lambda_student": (0.1, 0.1),
                "groups": [QueryGroup(2, *CLEAN, target="hard"), QueryGroup(1, 1, (1, 1), target="hard")],
            },
            SHIFTED,
        ),
        (
            "labels on training-like inputs, answers on noise",
            WORLD,
            {**BIAS, "lambda_student": (0.3, 0.1), "groups": [QueryGroup(2, *CLEAN, mix=0.0), noise]},
            SHIFTED,
        ),
        (
            "uneven labels and a signal in both blocks",
            skewed,
            {
                "lambda_teacher": (0.1, 5),
                **asked,
                "start": 2,
                "groups": [QueryGroup(1, 1, (1, 0.01), mix=0.7), QueryGroup(0.5, 0.5, (0.3, 1))],
            },
            (1, (1, 1)),
        ),
        (
            "three blocks, three groups",
            three,
            {
                "lambda_teacher": (0.1, 1, 50),
                "lambda_student": (0.02, 0.1, 0.01),
                "start": 5,
                "temperature": 2,
                "groups": [
                    QueryGroup(1, 1, (0.8, 1.5, 0.01)),
                    QueryGroup(0.5, 0, (0, 0, 2)),
                    QueryGroup(0.3, 2, (1, 0, 1), mix=0.5),
                ],
            },
            (1, (0.8, 1.5, 1)),
        ),
        (
            "fewer inputs than coordinates",
            few,
            {
                "lambda_teacher": (0.5, 1),
                "lambda_student": (0.001, 0.01),
                "start": 1,
                "groups": [QueryGroup(0.5, 1, (0.5, 0)), QueryGroup(0.2, 0, (0, 1))],
            },
            (1, (0.5, 1)),
        ),
        (
            "a student that cannot move block 2",
            WORLD,
            {
                "lambda_teacher": (0.3, 3),
                "lambda_student": (0.1, inf),
                "start": 0.5,
                "groups": [TRAINING, QueryGroup(0.5, 1, (1, 1))],
            },
            SHIFTED,
        ),
        (
            "the teacher's own training inputs and noise",
            WORLD,
            {**BIAS, "groups": [own, QueryGroup(0.5, 0, (1, 1))]},
            SHIFTED,
        ),
        (
            "the teacher's own training inputs with labels besides",
            skewed,
            {
                "lambda_teacher": (0.1, 5),
                "lambda_student": (0.5, 0.5),
                "temperature": 2,
                "groups": [own_skewed, QueryGroup(0.5, 1, (1, 1))],
            },
            (1, (1, 1)),
        ),
        (
            "two teachers, each asked where it knows better",
            BlockMixture(2, 0.3, (0.5, 0.5), (0.5, 0.5), (1, 1)),
            {
                "lambda_teacher": (0.1, 20),
                "more_teachers": [(20, 0.1)],
                **asked,
                "groups": [
                    QueryGroup(1, 1, (1, 0.1), teachers=(1, 0)),
                    QueryGroup(1, 1, (0.1, 1), teachers=(0, 1)),
                    QueryGroup(0.5, 0, (1, 1)),
                ],
            },
            (1, (1, 1)),
        ),
    ]


def observed(
    world: BlockMixture, asked: dict[str, Any], shifted: Any, inputs: int, seeds: int
) -> dict[str, Any]:
    """Errors, agreement and order parameters in theory and as simulated, with their deviation."""
    theory = solve_queries(world, **asked)
    simulation = simulate_queries(world, **asked, inputs=inputs, seeds=seeds)
    rows = {}
    pairs = zip(
        _numbers(theory, world, shifted).items(), _numbers(simulation, world, shifted).values(), strict=True
    )
    for (name, value), values in pairs:
        mean = estimate(np.asarray(values))
        deviation = (float(value) - mean.mean) / mean.standard_error if mean.standard_error > 1e-9 else None
        rows[name] = {
            "theory": float(value),
            "mean": mean.mean,
            "standard_error": mean.standard_error,
            "deviation": deviation,
        }
    return rows


def _numbers(learned: Any, world: BlockMixture, shifted: Any) -> dict[str, Any]:
    """What is compared: errors and agreement on clean and shifted inputs, order parameters summed by test."""
    rows: dict[str, Any] = {}
    for kind, (centre, variances) in (("clean", (1, world.variances)), ("shifted", shifted)):
        at = {"centre": centre, "variances": variances}
        rows[f"teacher error {kind}"] = learned.error("teacher", **at)
        rows[f"student error {kind}"] = learned.error("student", **at)
        rows[f"agreement {kind}"] = learned.agreement(**at)
    rows["student m"] = learned.student.m.sum(axis=0)
    rows["student b"] = learned.student.b
    for k in range(world.blocks):
        rows[f"student q[{k}]"] = learned.student.q[k]
        rows[f"student overlap[{k}]"] = learned.student.overlap[k]
    return rows


def needed() -> dict[str, Any]:
    """Queries a coordinate for half and for nine tenths of the bias, over block size, temperature, start."""
    half, most = 0.5, 0.9
    fraction = np.array([half, most])[:, None]
    kinds = {
        "shifted": QueryGroup(1, 1, (1, 1)),
        "noise": QueryGroup(1, 0, (1, 1)),
        "block 2 alone": QueryGroup(1, 0, (0, 1)),
    }
    share = np.array([0.1, 0.25, 0.5, 0.75])
    sized = BlockMixture(2, 0.5, (1 - share, share), (1, 0), (1, 1e-4))
    axes: dict[str, tuple[BlockMixture, dict[str, Any], Any]] = {
        "share of block 2": (sized, {}, share),
        "temperature": (WORLD, {"temperature": np.array([0.5, 1.0, 2.0, 5.0])}, [0.5, 1, 2, 5]),
        "start": (WORLD, {"start": np.array([2.0, 5.0, 20.0, 100.0])}, [2, 5, 20, 100]),
    }
    rows: dict[str, Any] = {}
    for axis, (world, changed, values) in axes.items():
        for kind, query in kinds.items():
            asked = {**BIAS, **changed}
            numbers = queries_needed(
                world, **asked, query=query, fraction=fraction, test=SHIFTED, groups=[TRAINING]
            )
            rows[f"{axis}, {kind}"] = {
                "at": list(map(float, values)),
                "half": numbers[0].tolist(),
                "most": numbers[1].tolist(),
            }
    return rows


def designs() -> dict[str, Any]:
    """The best queries at some budgets, and what the same number of shifted ones gives."""
    rows: dict[str, Any] = {}
    limits: dict[str, Any] = {"variances": (0.01, 1.0), "centre": (0.0, 1.0)}
    for budget in (0.1, 0.25, 0.5, 1.0):
        for title, tests in (("shifted", [SHIFTED]), ("both", [CLEAN, SHIFTED])):
            best = best_queries(WORLD, **BIAS, budget=budget, tests=tests, groups=[TRAINING], **limits)
            plain = solve_queries(WORLD, **BIAS, groups=[TRAINING, QueryGroup(budget, *SHIFTED)])
            errors = [float(plain.error("student", centre=c, variances=v)) for c, v in tests]
            rows[f"{budget:g} for {title}"] = {
                "value": best.value,
                "shifted queries": float(np.mean(errors)),
                "centre": best.centre,
                "variances": best.variances,
                "training_share": best.training_share,
                "at_bound": best.at_bound,
            }
    return rows


def curve(kind: str, simulated: bool, inputs: int, seeds: int) -> Curve:
    """Inheritance of accuracy on shifted inputs over queries a coordinate; 1 is the teacher's."""
    budgets = np.array([0.25, 0.5, 0.75, 1.0, 1.5]) if simulated else np.linspace(0, 1.6, 33)
    at = {"centre": SHIFTED[0], "variances": SHIFTED[1]}
    without = solve_queries(WORLD, **BIAS, groups=[TRAINING])
    start, end = float(without.error("student", **at)), float(without.error("teacher", **at))
    points = []
    for budget in budgets:
        asked = {**BIAS, "groups": [TRAINING, QueryGroup(budget, *KINDS[kind])] if budget else [TRAINING]}
        if not simulated:
            error = float(solve_queries(WORLD, **asked).error("student", **at))
            points.append(Point(x=budget, y=(start - error) / (start - end)))
            continue
        drawn = simulate_queries(WORLD, **asked, inputs=inputs, seeds=seeds)
        share = estimate((start - np.asarray(drawn.error("student", **at))) / (start - end))
        spread = 3 * share.standard_error
        points.append(
            Point(x=budget, y=share.mean, low=share.mean - spread, high=share.mean + spread, n=seeds)
        )
    return Curve(
        chart="theory/queries",
        arm=kind,
        kind="points" if simulated else "line",
        x_title="queries, for each coordinate",
        y_title="inheritance of accuracy on shifted inputs",
        points=tuple(points),
    )


def figure(folder: Path, inputs: int, seeds: int) -> None:
    """Lines by theory; dots are simulated, with three standard errors."""
    curves = [curve(kind, simulated, inputs, seeds) for kind in KINDS for simulated in (False, True)]
    write_picture(
        folder / "theory-queries.svg",
        chart_figure("theory/queries", curves, styles((), KINDS), title="What queries hand over"),
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--inputs", type=int, default=1000)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--design", action="store_true")
    parser.add_argument("--figure", type=Path)
    options = parser.parse_args()
    if options.figure:
        figure(options.figure, options.inputs, options.seeds)
        return
    if options.design:
        print(json.dumps({"needed": needed(), "designs": designs()}, indent=1))
        return
    asked: list[Case] = [
        (title, WORLD, {**BIAS, "groups": groups}, SHIFTED) for title, groups in TABLE.items()
    ]
    results = {}
    start = time.perf_counter()
    for title, world, point, shifted in [*asked, *cases()]:
        results[title] = observed(world, point, shifted, options.inputs, options.seeds)
        far = [name for name, row in results[title].items() if abs(row["deviation"] or 0.0) > 3.0]
        seconds = time.perf_counter() - start
        print(f"{title}: beyond three: {far}, {seconds:.0f} s", file=sys.stderr, flush=True)
    print(markdown(results) if options.table else json.dumps(results, indent=1))


def markdown(results: dict[str, dict[str, Any]]) -> str:
    lines = [
        "| what the student learns on | clean | simulated | shifted | simulated | agreement | simulated "
        "| largest of six |",
        "|" + "---|" * 8,
    ]
    for title, rows in results.items():
        cells = [title]
        for name in ("student error clean", "student error shifted", "agreement shifted"):
            row = rows[name]
            cells += [f"{row['theory']:.4f}", f"{row['mean']:.4f} ± {row['standard_error']:.4f}"]
        six = [rows[name]["deviation"] or 0.0 for name in rows if "error" in name or "agreement" in name]
        cells.append(f"{max(map(abs, six)):.2f}")
        lines.append("| " + " | ".join(cells) + " |")
    deviations = [abs(row["deviation"] or 0.0) for rows in results.values() for row in rows.values()]
    lines.append(f"\n{sum(one > 3 for one in deviations)} of {len(deviations)} numbers beyond three")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
