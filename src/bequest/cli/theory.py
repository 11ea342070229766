"""``bequest theory``: the solvable model at a point, over a grid, and beside simulation."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bequest.errors import NotConverged

if TYPE_CHECKING:
    from bequest.cli.setting import Setting
    from bequest.theory import Comparison, Simulation

NAME = "theory"
FAR = 3.0
"""A deviation of more standard errors than this is marked."""

app = typer.Typer(
    name=NAME,
    help="The solvable model of distillation (Saglietti & Zdeborová 2020): theory, and simulation beside it.",
    epilog="Example: bequest theory point --alpha 2 --lambda-teacher 1 --lambda-student 0.001",
    no_args_is_help=True,
    rich_markup_mode="rich",
)

Alpha = Annotated[str | None, typer.Option(metavar="NUMBER", help="Samples per input, α > 0.")]
Delta = Annotated[str, typer.Option(metavar="NUMBER", help="Variance of the noise, Δ > 0.")]
Rho = Annotated[str, typer.Option(metavar="NUMBER", help="P(y = 1), in (0, 1).")]
LambdaTeacher = Annotated[str | None, typer.Option(metavar="NUMBER", help="The teacher's penalty, λ ≥ 0.")]
LambdaStudent = Annotated[str | None, typer.Option(metavar="NUMBER", help="The student's penalty, λ ≥ 0.")]
Eta = Annotated[str, typer.Option(metavar="NUMBER", help="Share of the inputs the student sees, in (0, 1].")]
Mix = Annotated[str, typer.Option(metavar="NUMBER", help="χ: 0 is plain training, 1 pure distillation.")]
Temperature = Annotated[str, typer.Option(metavar="NUMBER", help="T > 0.")]
TeacherLoss = Annotated[str, typer.Option(help="logistic or square.")]
StudentLoss = Annotated[str, typer.Option(help="logistic or square.")]
Target = Annotated[str, typer.Option(help="What is handed over: soft (logits) or hard (decisions).")]
Accuracy = Annotated[float, typer.Option(help="Bound on the residual, in [1e-12, 1e-2].")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


@app.command(
    epilog="Example: bequest theory point --alpha 2 --delta 1 --rho .2 --lambda-teacher 1 "
    "--lambda-student .001 --eta .7 --mix 1 --temperature 1 --json"
)
def point(
    alpha: Alpha = None,
    delta: Delta = "1",
    rho: Rho = "0.5",
    lambda_teacher: LambdaTeacher = None,
    lambda_student: LambdaStudent = None,
    eta: Eta = "1",
    mix: Mix = "1",
    temperature: Temperature = "1",
    teacher_loss: TeacherLoss = "logistic",
    student_loss: StudentLoss = "logistic",
    target: Target = "soft",
    accuracy: Accuracy = 1e-9,
    as_json: Json = False,
) -> None:
    """Teacher and student at one point, in the limit of infinitely many inputs."""
    from bequest.cli.setting import MODEL, OPTIONS, read_setting

    given = locals()
    setting = read_setting("bequest theory point", *_picked(given, MODEL, OPTIONS))
    solution = setting.solve(throw=not as_json)
    if as_json:
        typer.echo(json.dumps(solution.plain(), indent=1, allow_nan=False))
        sys.exit(0 if solution.converged else NotConverged.exit_code)
    _show_point(setting, solution)


@app.command(epilog="Example: bequest theory sweep --alpha 2 --lambda-teacher 0.01:100:41:log "
             "--lambda-student 0.001 -o sweep.csv --chart sweep.svg")  # fmt: skip
def sweep(
    alpha: Alpha = None,
    delta: Delta = "1",
    rho: Rho = "0.5",
    lambda_teacher: LambdaTeacher = None,
    lambda_student: LambdaStudent = None,
    eta: Eta = "1",
    mix: Mix = "1",
    temperature: Temperature = "1",
    teacher_loss: TeacherLoss = "logistic",
    student_loss: StudentLoss = "logistic",
    target: Target = "soft",
    accuracy: Accuracy = 1e-9,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Table: .csv, or .parquet [CSV on the screen].")
    ] = None,
    chart: Annotated[Path | None, typer.Option(help="Chart: .svg, or .png.")] = None,
    observable: Annotated[str, typer.Option(help="What the chart shows.")] = "error",
    as_json: Json = False,
) -> None:
    """A grid over one or two parameters, given as START:STOP:COUNT, START:STOP:COUNT:log or A,B,C."""
    from bequest.cli.setting import MODEL, OPTIONS, read_setting
    from bequest.cli.sweeping import check_files, draw, observed, rows_of, write_table

    given = locals()
    faults = check_files(out, chart, observable)
    model, options = _picked(given, MODEL, OPTIONS)
    setting = read_setting("bequest theory sweep", model, options, swept=(1, 2), faults=faults)
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
    lost = int((~solution.converged).sum())
    if lost:
        named = sorted(set(solution.status[~solution.converged].tolist()))
        typer.echo(f"{lost} of {solution.status.size} points have no solution: {', '.join(named)}", err=True)


@app.command(epilog="Example: bequest theory simulate --alpha 2 --rho .2 --lambda-teacher 1 "
             "--lambda-student .001 --eta .7 --inputs 500 --seeds 10")  # fmt: skip
def simulate(
    alpha: Alpha = None,
    delta: Delta = "1",
    rho: Rho = "0.5",
    lambda_teacher: LambdaTeacher = None,
    lambda_student: LambdaStudent = None,
    eta: Eta = "1",
    mix: Mix = "1",
    temperature: Temperature = "1",
    teacher_loss: TeacherLoss = "logistic",
    student_loss: StudentLoss = "logistic",
    target: Target = "soft",
    accuracy: Accuracy = 1e-9,
    inputs: Annotated[int, typer.Option(help="N.")] = 1000,
    seeds: Annotated[int, typer.Option(help="Draws.")] = 20,
    samples: Annotated[int, typer.Option(help="Fresh samples of each draw.")] = 10_000,
    workers: Annotated[int, typer.Option(help="Draws at a time.")] = 2,
    as_json: Json = False,
) -> None:
    """Theory beside simulation at one point: how many standard errors lie between."""
    from bequest.cli.setting import MODEL, OPTIONS, read_setting

    given = locals()
    counts = {name: given[name] for name in ("inputs", "seeds", "samples", "workers")}
    faults = [f"--{name}: must be at least 1 (got {count})" for name, count in counts.items() if count < 1]
    model, options = _picked(given, MODEL, OPTIONS)
    setting = read_setting("bequest theory simulate", model, options, faults=faults)
    setting.solve(throw=True)
    from bequest.theory import compare

    run = setting.simulate(**counts)
    found = compare(run)
    if as_json:
        typer.echo(json.dumps(_plain(setting, run, found), indent=1, allow_nan=False))
        return
    _show_comparison(setting, run, found)


def _picked(
    given: dict[str, Any], model: tuple[str, ...], options: tuple[str, ...]
) -> tuple[dict[str, Any], dict[str, Any]]:
    return {name: given[name] for name in model}, {name: given[name] for name in options}


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


def _show_comparison(setting: Setting, run: Simulation, found: list[Comparison]) -> None:
    typer.secho(f"{setting.text()}, N={run.inputs}, {len(run.seeds)} draws", bold=True)
    typer.echo(f"  {'':<10}{'':<20}{'theory':>11}{'simulation':>12} {'±':>9}{'deviation':>11}")
    for row in found:
        who = ("teacher", "student")[row.learner]
        mean, sure = row.simulation.mean, row.simulation.standard_error
        mark = "  ←" if abs(row.deviation) > FAR else ""
        typer.echo(
            f"  {who:<10}{row.observable:<20}{row.theory:>11.5f}{mean:>12.5f} {sure:>9.5f}"
            f"{row.deviation:>+11.2f}{mark}"
        )
    known = [abs(row.deviation) for row in found if row.deviation == row.deviation]
    if known:
        far = sum(deviation > FAR for deviation in known)
        typer.echo(
            f"  largest deviation {max(known):.2f} standard errors; {far} of {len(known)} above {FAR:g}"
        )
    else:
        typer.echo("  one draw has no standard error: ask for --seeds 2 or more")


def _plain(setting: Setting, run: Simulation, found: list[Comparison]) -> dict[str, Any]:
    def known(value: float | int) -> float | int | None:
        return value if value == value else None

    rows = [
        {
            "learner": ("teacher", "student")[row.learner],
            "observable": row.observable,
            "theory": known(row.theory),
            "simulation": {name: known(value) for name, value in row.simulation._asdict().items()},
            "deviation": known(row.deviation),
        }
        for row in found
    ]
    return {"point": setting.plain(), "inputs": run.inputs, "seeds": len(run.seeds), "compared": rows}
