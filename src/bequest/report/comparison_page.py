"""Several runs on one page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bequest.files import write_text
from bequest.records import ArmRecord, Measurement
from bequest.report.differences import Comparison, SharedNumber, compare
from bequest.report.dot_charts import profile_figure
from bequest.report.figure import DataTable, Figure
from bequest.report.folder import read_run
from bequest.report.numbers import ABSENT
from bequest.report.page import assets, environment
from bequest.report.palette import Styles, styles
from bequest.report.statement import statement
from bequest.report.tables import value_and_interval

DEFAULT_NAME = "comparison.html"


def write_comparison(folders: Sequence[str | Path], out: str | Path | None = None) -> Path:
    """Write one page on the runs in ``folders``, whole; by default ``comparison.html`` in the first of them.

    Raises:
        RunFolderError: If a folder holds no study, two of them are the same, or ``out`` cannot be written.
    """
    page = render_comparison(compare([read_run(folder) for folder in folders]))
    return write_text(Path(folders[0]) / DEFAULT_NAME if out is None else out, page)


def render_comparison(comparison: Comparison) -> str:
    """The page as HTML text."""
    run_styles = styles(ArmRecord(name=n, role="taught", student="", label=n) for n in comparison.names)
    questions = {run.study.question for run in comparison.runs}
    question = questions.pop() if len(questions) == 1 else f"{len(comparison.runs)} runs compared"
    content = {
        "c": comparison,
        "page_title": question,
        "styles": run_styles,
        "profile": _profile(comparison, run_styles),
        "tables": [(table, _numbers(table.numbers, comparison)) for table in comparison.tables],
        "statements": [statement(run) for run in comparison.runs],
        **assets(),
    }
    return environment().get_template("comparison.html").render(content)


def _profile(comparison: Comparison, run_styles: Styles) -> Figure | None:
    """The inheritance profile with a dot for each run, of the arms that their own profiles draw."""
    arms = dict.fromkeys(name for run in comparison.runs for name in run.profile_arms())
    rows = []
    for run, name in zip(comparison.runs, comparison.names, strict=True):
        labels = styles(run.study.arms)
        for m in run.by_split(run.measurements):
            if m.arm in arms and comparison.titles.is_inheritance(m):
                where = " · ".join(part for part in (labels.label(m.arm), m.split) if part)
                rows.append(m.model_copy(update={"arm": name, "split": where}))
    # One row for each arm and split: sorted, so that the arms of a property stand together.
    rows.sort(key=lambda m: m.measure)
    figure = profile_figure(rows, comparison.titles, run_styles)
    if figure is None:
        return None
    columns = ("property", "arm and split", "run", *figure.table.columns[3:])
    return replace(figure, table=replace(figure.table, columns=columns))


def _numbers(numbers: Sequence[SharedNumber], comparison: Comparison) -> DataTable:
    """A column for each run and each difference; teachers only where there are some."""
    first, *others = comparison.names
    labels = styles(arm for run in comparison.runs for arm in run.study.arms)
    with_teacher = any(number.teacher for number in numbers)
    names = ("arm", "split", *(["against"] if with_teacher else []))
    columns = (*names, *comparison.names, *(f"{name} − {first}" for name in others))
    rows = tuple(
        (
            labels.label(number.arm),
            number.split,
            *([labels.label(number.teacher) or ABSENT] if with_teacher else []),
            *(ABSENT if m is None else _text(m) for m in number.measurements),
            *(ABSENT if d is None else _unbroken(d.text) for d in number.differences),
        )
        for number in numbers
    )
    return DataTable(columns, rows, heads=len(names))


def _text(m: Measurement) -> str:
    return _unbroken(" ".join(part for part in value_and_interval(m) if part != ABSENT))


def _unbroken(text: str) -> str:
    """A value and its interval, which may begin a new line but is not broken itself."""
    value, bracket, interval = text.partition("[")
    return value + bracket + interval.replace(" ", "\u00a0")
