"""``bequest theory``: the solvable models at a point, over a grid, at their best, and beside simulation."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bequest.cli import queries
from bequest.cli.model_options import MODEL_OPTIONS, Json, TypedModel, with_model
from bequest.errors import NotConverged

if TYPE_CHECKING:
    from bequest.cli.setting import Setting
    from bequest.theory import Comparison, Optimum, Simulation

NAME = "theory"
FAR = 3.0
"""A deviation of more standard errors than this is marked."""

app = typer.Typer(
    name=NAME,
    help="Solvable models of distillation: theory, and simulation for comparison.",
    epilog="Example: bequest theory point --alpha 2 --lambda-teacher 1 --lambda-student 0.001",
    no_args_is_help=True,
    rich_markup_mode="rich",
)
app.command(name=queries.NAME, epilog=queries.EXAMPLE)(queries.command)


@app.command(
    epilog="Example: bequest theory point --alpha 2 --delta 1 --rho .2 --lambda-teacher 1 "
    "--lambda-student .001 --eta .7 --mix 1 --temperature 1 --json"
)
@with_model
def point(model: TypedModel, as_json: Json = False) -> None:
    """Teacher and student at one point, in the limit of infinitely many inputs."""
    from bequest.cli.setting import read_setting

    setting = read_setting(model.where, model.numbers, model.options)
    solution = setting.solve(throw=not as_json)
    if as_json:
        typer.echo(json.dumps(solution.plain(), indent=1, allow_nan=False))
        sys.exit(0 if solution.converged else NotConverged.exit_code)
    _show_point(setting, solution)


@app.command(epilog="Example: bequest theory sweep --alpha 2 --lambda-teacher 0.01:10:41:log "
             "--lambda-student 0.001 -o sweep.csv --chart sweep.svg")  # fmt: skip
@with_model
def sweep(
    model: TypedModel,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Table, .csv or .parquet (default: CSV to the terminal)."),
    ] = None,
    chart: Annotated[Path | None, typer.Option(help="Chart, .svg or .png.")] = None,
    observable: Annotated[str, typer.Option(help="Observable that the chart shows.")] = "error",
    as_json: Json = False,
) -> None:
    """A grid over one or two parameters, given as START:STOP:COUNT, START:STOP:COUNT:log or A,B,C."""
    from bequest.cli.setting import read_setting
    from bequest.cli.sweeping import check_files, draw, observed, rows_of, write_table

    faults = check_files(out, chart, observable)
    setting = read_setting(model.where, model.numbers, model.options, swept=(1, 2), faults=faults)
    solution = setting.solve(throw=False)
    if not solution.converged.any():
        setting.solve(throw=True)
    table = rows_of(setting, solution, observed(solution))
    if chart is not None:
        draw(chart, setting, table, observable)
    if as_json:
        typer.echo(json.dumps({"rows": table}, indent=1, allow_nan=False))
    if out is not None or not as_json:
        write_table(out, table)
    unsolved = int((~solution.converged).sum())
    if unsolved:
        statuses = sorted(set(solution.status[~solution.converged].tolist()))
        typer.echo(
            f"{unsolved} of {solution.status.size} points have no solution: {', '.join(statuses)}", err=True
        )


@app.command(epilog="Example: bequest theory simulate --alpha 2 --rho .2 --lambda-teacher 1 "
             "--lambda-student .001 --eta .7 --inputs 500 --seeds 10")  # fmt: skip
@with_model
def simulate(
    model: TypedModel,
    inputs: Annotated[int, typer.Option(help="Input dimension N.")] = 1000,
    seeds: Annotated[int, typer.Option(help="Number of draws.")] = 20,
    samples: Annotated[int, typer.Option(help="Fresh test samples per draw.")] = 10_000,
    workers: Annotated[int, typer.Option(help="Draws computed in parallel.")] = 2,
    as_json: Json = False,
) -> None:
    """Theory against simulation at one point, with deviations in standard errors."""
    from bequest.cli.setting import read_setting

    counts = {"inputs": inputs, "seeds": seeds, "samples": samples, "workers": workers}
    faults = [f"--{name}: must be at least 1 (got {count})" for name, count in counts.items() if count < 1]
    setting = read_setting(model.where, model.numbers, model.options, faults=faults)
    setting.solve(throw=True)
    from bequest.theory import compare

    run = setting.simulate(**counts)
    comparisons = compare(run)
    if as_json:
        typer.echo(json.dumps(_plain(setting, run, comparisons), indent=1, allow_nan=False))
        return
    _show_comparison(setting, run, comparisons)


@app.command(epilog="Example: bequest theory optimise --over lambda_teacher,lambda_student --alpha 2 "
             "--rho .2 --eta .7")  # fmt: skip
@with_model
def optimise(
    model: TypedModel,
    over: Annotated[
        str,
        typer.Option(
            metavar="NAMES", help="One or more of lambda_teacher, lambda_student, mix, temperature."
        ),
    ] = "lambda_teacher",
    observable: Annotated[str, typer.Option(help="Observable to minimise.")] = "error",
    learner: Annotated[str, typer.Option(help="Whose observable: teacher or student.")] = "student",
    greatest: Annotated[bool, typer.Option("--greatest", help="Maximise it instead.")] = False,
    bounds: Annotated[
        list[str] | None, typer.Option(metavar="NAME=LOW:HIGH", help="Search range of a parameter.")
    ] = None,
    as_json: Json = False,
) -> None:
    """The penalties, mix or temperature that minimise an observable, with the other parameters fixed."""
    from bequest.cli.ranges import parse_bounds
    from bequest.cli.setting import MIXTURE, read_setting
    from bequest.theory import Mixture, optimise

    sought = [name.strip().replace("-", "_") for name in over.split(",")]
    limits, faults = parse_bounds(bounds or [])
    for name in sought:
        if name in MODEL_OPTIONS and model.numbers[name] != MODEL_OPTIONS[name][1]:
            faults.append(f"--{name.replace('_', '-')}: is optimised, and cannot be set too")
    if learner not in ("teacher", "student"):
        faults.append(f"--learner: must be teacher or student (got {learner!r})")
    # the teacher's optimum does not depend on the student, whose penalty must still be some number
    numbers = {name: text for name, text in model.numbers.items() if name not in sought}
    if learner == "teacher" and numbers.get("lambda_student", "") is None:
        numbers["lambda_student"] = "1"
    setting = read_setting(model.where, numbers, model.options, faults=faults)
    fixed: dict[str, Any] = {name: setting.value(name) for name in setting.values if name not in MIXTURE}
    options = {name: value for name, value in setting.options.items() if name != "accuracy"}
    best = optimise(
        Mixture(*(setting.value(name) for name in MIXTURE)),
        sought,
        observable=observable,
        learner=0 if learner == "teacher" else -1,
        bounds=limits,
        sign=-1 if greatest else 1,
        **fixed,
        **options,
    )
    if as_json:
        typer.echo(json.dumps(_plain_optimum(best, observable), indent=1, allow_nan=False))
        return
    _show_optimum(best, f"{learner}'s {observable.replace('_', ' ')}")


def _show_point(setting: Setting, solution: Any) -> None:
    from bequest.theory import bayes_error, observe

    columns = [observe(solution, 0), observe(solution, 1)]
    typer.secho(setting.text(), bold=True)
    typer.echo(f"  {'':<20}{'teacher':>12}{'student':>12}")
    for name in columns[1]:
        cells = [f"{float(c[name]):>12.5f}" if name in c else f"{'':>12}" for c in columns]
        typer.echo(f"  {name:<20}" + "".join(cells))
    least = [float(bayes_error(setting.mixture(), eta)) for eta in (1.0, setting.value("eta"))]
    typer.echo(f"  {'least error':<20}{least[0]:>12.5f}{least[1]:>12.5f}")
    typer.echo(f"  {solution.status}, {solution.steps} steps, residual {float(solution.residual):.1e}")


def _show_comparison(setting: Setting, run: Simulation, comparisons: list[Comparison]) -> None:
    typer.secho(f"{setting.text()}, N={run.inputs}, {len(run.seeds)} draws", bold=True)
    typer.echo(f"  {'':<10}{'':<20}{'theory':>11}{'simulation':>12} {'±':>9}{'deviation':>11}")
    for row in comparisons:
        who = ("teacher", "student")[row.learner]
        mean, scatter = row.simulation.mean, row.simulation.standard_error
        mark = "  ←" if abs(row.deviation) > FAR else ""
        typer.echo(
            f"  {who:<10}{row.observable:<20}{row.theory:>11.5f}{mean:>12.5f} {scatter:>9.5f}"
            f"{row.deviation:>+11.2f}{mark}"
        )
    deviations = [abs(row.deviation) for row in comparisons if row.deviation == row.deviation]
    if deviations:
        far = sum(deviation > FAR for deviation in deviations)
        typer.echo(
            f"  largest deviation {max(deviations):.2f} standard errors; "
            f"{far} of {len(deviations)} above {FAR:g}"
        )
    else:
        typer.echo("  one draw has no standard error: use --seeds 2 or more")


def _show_optimum(best: Optimum, title: str) -> None:
    typer.secho(f"{title}: {float(best.value):.6f}", bold=True)
    for name, value in best.values.items():
        edge = "  at a bound: the optimum may lie beyond" if best.at_bound[name] else ""
        typer.echo(f"  {name:<20}{float(value):>12.5g}{edge}")
    if not best.settled:
        typer.echo("  the search did not converge")


def _plain_optimum(best: Optimum, observable: str) -> dict[str, Any]:
    return {
        "observable": observable,
        "value": _defined(float(best.value)),
        "values": {name: _defined(float(value)) for name, value in best.values.items()},
        "at_bound": {name: bool(edge) for name, edge in best.at_bound.items()},
        "settled": bool(best.settled),
        "solution": best.solution.plain(),
    }


def _plain(setting: Setting, run: Simulation, comparisons: list[Comparison]) -> dict[str, Any]:
    rows = [
        {
            "learner": ("teacher", "student")[row.learner],
            "observable": row.observable,
            "theory": _defined(row.theory),
            "simulation": {name: _defined(value) for name, value in row.simulation._asdict().items()},
            "deviation": _defined(row.deviation),
        }
        for row in comparisons
    ]
    return {"point": setting.plain(), "inputs": run.inputs, "seeds": len(run.seeds), "compared": rows}


def _defined(value: float | int) -> float | int | None:
    """None in place of NaN, which JSON does not have."""
    return value if value == value else None
