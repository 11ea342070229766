"""``bequest theory queries``: which inputs hand a teacher's bias over, in theory and beside simulation."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bequest.errors import ConfigError, NotConverged

if TYPE_CHECKING:
    from bequest.theory import QuerySolution
    from bequest.theory.queries.solution import Learned

NAME = "queries"
EXAMPLE = (
    "Example: bequest theory queries --alpha 2 --shares .5,.5 --signal 1,0 --variances 1,1e-4 "
    "--lambda-teacher .3,1e4 --lambda-student .01,.01 --start 20 --group 2:1:1,1e-4 --group .5:0:1,1 "
    "--test shifted=1:1,1"
)
WHERE = "bequest theory queries"

Groups = Annotated[
    list[str] | None,
    typer.Option(
        metavar="ALPHA:CENTRE:VARIANCES",
        help="Inputs that the student learns on, such as 0.5:1:1,0.1; append :hard, :mix=0.5 or "
        ":teachers=1,0. 'training' stands for the teacher's own inputs.",
    ),
]
Tests = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=CENTRE:VARIANCES", help="Inputs to compute errors on, besides the training inputs."
    ),
]


def command(
    alpha: Annotated[str, typer.Option(metavar="NUMBER", help="Training inputs per coordinate.")],
    shares: Annotated[str, typer.Option(metavar="A,B,..", help="Share of the coordinates, by block.")],
    signal: Annotated[str, typer.Option(metavar="A,B,..", help="Share of the signal, by block.")],
    variances: Annotated[
        str, typer.Option(metavar="A,B,..", help="Variance of the training inputs, by block.")
    ],
    lambda_teacher: Annotated[
        str, typer.Option(metavar="A,B,..", help="The teacher's penalties; may be inf.")
    ],
    lambda_student: Annotated[str, typer.Option(metavar="A,B,..", help="The student's penalties.")],
    group: Groups = None,
    rho: Annotated[str, typer.Option(metavar="NUMBER", help="Probability of class 1, in (0, 1).")] = "0.5",
    temperature: Annotated[str, typer.Option(metavar="NUMBER", help="Temperature, T > 0.")] = "1",
    start: Annotated[
        str, typer.Option(metavar="NUMBER", help="Mean square of the student's initial weights, ≥ 0.")
    ] = "0",
    more_teachers: Annotated[
        list[str] | None,
        typer.Option("--also-teacher", metavar="A,B,..", help="A further teacher's penalties; repeatable."),
    ] = None,
    test: Tests = None,
    seeds: Annotated[int, typer.Option(help="Simulated draws to compare with (0: none).")] = 0,
    inputs: Annotated[int, typer.Option(help="Coordinates of each draw.")] = 1000,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """A teacher with a bias and a student that queries it: errors on training-like and other inputs."""
    read = _Reader()
    world: dict[str, Any] = {
        "alpha": read.number("alpha", alpha),
        "rho": read.number("rho", rho),
        "shares": read.blocks("shares", shares),
        "signal": read.blocks("signal", signal),
        "variances": read.blocks("variances", variances),
    }
    asked = {
        "lambda_teacher": read.blocks("lambda-teacher", lambda_teacher),
        "lambda_student": read.blocks("lambda-student", lambda_student),
        "more_teachers": [read.blocks("also-teacher", text) for text in more_teachers or []],
        "temperature": read.number("temperature", temperature),
        "start": read.number("start", start),
    }
    groups = [read.group(text) for text in group or []]
    tests = {"training": (1.0, world["variances"])} | dict(read.test(text) for text in test or [])
    if seeds < 0 or inputs < 1:
        read.faults.append(f"--seeds and --inputs: must be at least 0 and 1 (got {seeds} and {inputs})")
    read.finish()
    _answer(world, asked, groups, tests, {"seeds": seeds, "inputs": inputs}, as_json)


def _answer(
    numbers: dict[str, Any],
    asked: dict[str, Any],
    texts: list[dict[str, Any] | None],
    tests: dict[str, tuple[float, tuple[float, ...]]],
    draws: dict[str, Any],
    as_json: bool,
) -> None:
    from bequest.theory import BlockMixture, QueryGroup, simulate_queries, solve_queries

    world = BlockMixture(**numbers)
    groups = [QueryGroup.training(world) if one is None else QueryGroup(**one) for one in texts]
    solution = solve_queries(world, **asked, groups=groups, throw=not as_json)
    run = simulate_queries(world, **asked, groups=groups, **draws) if draws["seeds"] else None
    read = {name: _read(solution, *at) for name, at in tests.items()}
    drawn = {name: _read(run, *at) for name, at in tests.items()} if run else {}
    if as_json:
        plain = solution.plain() | {"tests": {name: _plain(values) for name, values in read.items()}}
        if run:
            plain["simulation"] = {name: _estimates(values) for name, values in drawn.items()} | draws
        typer.echo(json.dumps(plain, indent=1, allow_nan=False))
        sys.exit(0 if solution.converged else NotConverged.exit_code)
    _show(solution, read, drawn)


class _Reader:
    """Texts to numbers; ``faults`` has one line for each that is wrong."""

    def __init__(self) -> None:
        self.faults: list[str] = []

    def number(self, name: str, text: str) -> float:
        try:
            return float(text)
        except ValueError:
            self.faults.append(f"--{name}: must be a number (got {text!r})")
            return float("nan")

    def blocks(self, name: str, text: str) -> tuple[float, ...]:
        try:
            return tuple(float(part) for part in text.split(","))
        except ValueError:
            self.faults.append(f"--{name}: must be numbers separated by commas (got {text!r})")
            return ()

    def group(self, text: str) -> dict[str, Any] | None:
        """The arguments of a group; None for the teacher's own training inputs."""
        if text == "training":
            return None
        parts = text.split(":")
        if len(parts) < 3:
            self.faults.append(f"--group: must be ALPHA:CENTRE:VARIANCES (got {text!r})")
            return {}
        group: dict[str, Any] = {
            "alpha": self.number("group", parts[0]),
            "centre": self.number("group", parts[1]),
            "variances": self.blocks("group", parts[2]),
        }
        for extra in parts[3:]:
            name, _, value = extra.partition("=")
            if name in ("hard", "soft") and not value:
                group["target"] = name
            elif name == "mix":
                group["mix"] = self.number("group", value)
            elif name == "teachers":
                group["teachers"] = self.blocks("group", value)
            else:
                self.faults.append(f"--group: must end in hard, mix=X or teachers=A,B (got {extra!r})")
        return group

    def test(self, text: str) -> tuple[str, tuple[float, tuple[float, ...]]]:
        name, _, inputs = text.partition("=")
        centre, colon, variances = inputs.partition(":")
        if not (name and colon):
            self.faults.append(f"--test: must be NAME=CENTRE:VARIANCES (got {text!r})")
            return text, (0.0, ())
        return name, (self.number("test", centre), self.blocks("test", variances))

    def finish(self) -> None:
        """Refuse everything that is wrong at once."""
        if self.faults:
            raise ConfigError.of(WHERE, self.faults)


def _read(learned: Learned, centre: float, variances: tuple[float, ...]) -> dict[str, Any]:
    """What is shown of one kind of inputs."""
    at: dict[str, Any] = {"centre": centre, "variances": variances}
    return {
        "teacher_error": learned.error("teacher", **at),
        "student_error": learned.error("student", **at),
        "agreement": learned.agreement(**at),
        "agreement_on_errors": learned.agreement_on_errors(**at),
        "calibration_error": learned.calibration_error("student", **at),
    }


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    from bequest.theory.parameters import listed

    return {name: listed(value) for name, value in values.items()}


def _estimates(values: dict[str, Any]) -> dict[str, Any]:
    from bequest.theory import estimate

    return {
        name: {key: number if number == number else None for key, number in estimate(value)._asdict().items()}
        for name, value in values.items()
    }


def _show(solution: QuerySolution, read: dict[str, Any], drawn: dict[str, Any]) -> None:
    from bequest.theory import estimate

    blocks = range(len(solution.teacher.q))
    typer.secho("order parameters by block", bold=True)
    for who, order in (("teacher", solution.teacher), ("student", solution.student)):
        for name in ("m", "q"):
            numbers = "".join(f"{getattr(order, name)[k]:>12.5f}" for k in blocks)
            typer.echo(f"  {who:<10}{name:<12}{numbers}")
        typer.echo(f"  {who:<10}{'bias':<12}{float(order.b):>12.5f}")
    typer.echo(
        f"  {'student':<10}{'overlap':<12}" + "".join(f"{one:>12.5f}" for one in solution.student.overlap)
    )
    for kind, values in read.items():
        typer.secho(f"on inputs: {kind}", bold=True)
        for name, value in values.items():
            line = f"  {name.replace('_', ' '):<22}{float(value):>12.5f}"
            if kind in drawn:
                mean = estimate(drawn[kind][name])
                line += f"   simulated {mean.mean:.5f} ± {mean.standard_error:.5f}"
            typer.echo(line)
    ending = "everything is handed over" if solution.handed_over else str(solution.status)
    typer.echo(f"  {ending}, {solution.steps} steps, residual {float(solution.residual):.1e}")
