"""What a sweep leaves: a table, as CSV or Parquet, and a chart."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import typer

from bequest.cli.setting import MIXTURE, SYMBOLS, Setting
from bequest.errors import DataError, MissingExtra
from bequest.files import write_bytes, write_text
from bequest.records import Curve, Point
from bequest.registry import nearest
from bequest.theory import Mixture, Solution, bayes_error, observe
from bequest.theory.parameters import Array
from bequest.theory.prediction import names

LEARNERS = ("teacher", "student")
BAYES = "bayes_error"
TABLES = (".csv", ".parquet")
LABELS = {"teacher": "teacher", "student": "student", "bayes": "Bayes-optimal"}
Row = dict[str, Any]


def check_files(out: Path | None, chart: Path | None, observable: str) -> list[str]:
    """What is wrong with the files and the observable that were asked for; one line each."""
    from bequest.report.svg_file import check_picture

    faults = []
    if observable not in names(1):
        close = nearest(observable, names(1), count=1)
        hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(names(1))}"
        faults.append(f"--observable: there is no observable {observable!r}; {hint}")
    if out is not None and out.suffix.lower() not in TABLES:
        faults.append(f"--out: must end in .csv or .parquet (got {out.name!r})")
    if out is not None and out.suffix.lower() == ".parquet":
        try:
            import pyarrow  # noqa: F401
        except ImportError:
            faults.append("--out: .parquet needs pyarrow, which is not installed; install it, or write .csv")
    if chart is not None:
        try:
            check_picture(chart)
        except (DataError, MissingExtra) as error:
            detail = error.remedy or error.expected
            faults.append(f"--chart: {error.message}; {detail}")
    return faults


def observed(solution: Solution) -> dict[str, Array]:
    """Every observable of both learners by its column, in the grid's shape."""
    return {
        f"{who}_{name}": values
        for a, who in enumerate(LEARNERS)
        for name, values in observe(solution, a).items()
    }


def rows_of(setting: Setting, solution: Solution, values: dict[str, Array]) -> list[Row]:
    """One row a point: parameters, how it was solved, observables; undefined ones are None."""
    grid = setting.grid()
    mixture = Mixture(**{name: grid[name] for name in MIXTURE})
    columns: dict[str, Any] = {name: np.broadcast_to(grid[name], solution.shape) for name in grid}
    columns |= {"status": solution.status, "steps": solution.steps, "residual": solution.residual, **values}
    columns[BAYES] = np.broadcast_to(bayes_error(mixture), solution.shape)
    flat = {name: np.asarray(column).ravel().tolist() for name, column in columns.items()}
    return [
        {name: None if column[k] != column[k] else column[k] for name, column in flat.items()}
        for k in range(solution.status.size)
    ]


def write_table(path: Path | None, rows: Sequence[Row]) -> None:
    """Write the rows to ``path``, or as CSV on the screen."""
    if path is not None and path.suffix.lower() == ".parquet":
        import pyarrow
        from pyarrow import parquet

        held = io.BytesIO()
        parquet.write_table(pyarrow.Table.from_pylist(list(rows)), held)
        write_bytes(path, held.getvalue())
        return
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    if path is None:
        typer.echo(text.getvalue(), nl=False)
    else:
        write_text(path, text.getvalue())


def draw(path: Path, setting: Setting, rows: Sequence[Row], observable: str) -> None:
    """Draw the sweep: lines over one parameter, a map of the student over two."""
    from bequest.report.curve_charts import chart_figure
    from bequest.report.heat_maps import heat_figure
    from bequest.report.palette import styles
    from bequest.report.svg_file import write_picture

    curves = (
        _lines(setting, rows, observable) if len(setting.swept) == 1 else [_map(setting, rows, observable)]
    )
    figure = (chart_figure if len(setting.swept) == 1 else heat_figure)(
        f"theory/{setting.text()}", curves, styles((), [curve.arm for curve in curves])
    )
    write_picture(path, figure)


def _lines(setting: Setting, rows: Sequence[Row], observable: str) -> list[Curve]:
    (name,) = setting.swept
    columns = {who: f"{who}_{observable}" for who in LEARNERS}
    if observable == "error":
        columns[LABELS["bayes"]] = BAYES
    return [
        Curve(
            chart="theory",
            arm=who,
            x_title=SYMBOLS[name],
            y_title=observable.replace("_", " "),
            points=tuple(Point(x=row[name], y=row[column]) for row in rows),
        )
        for who, column in columns.items()
        if column in rows[0]
    ]


def _map(setting: Setting, rows: Sequence[Row], observable: str) -> Curve:
    down, across = setting.swept
    return Curve(
        chart="theory",
        arm="student",
        kind="map",
        x_title=SYMBOLS[across],
        y_title=SYMBOLS[down],
        z_title=f"the student's {observable.replace('_', ' ')}",
        points=tuple(Point(x=row[across], y=row[down], z=row[f"student_{observable}"]) for row in rows),
    )
