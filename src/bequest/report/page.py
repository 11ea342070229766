"""The report: one HTML file that asks nothing of the network."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from bequest.files import write_text
from bequest.report import numbers
from bequest.report.dot_charts import INHERITANCE, inheritance_figure
from bequest.report.downloads import downloads
from bequest.report.folder import Run, read_run
from bequest.report.palette import Styles, styles
from bequest.report.reproduction import reproduction
from bequest.report.sections import evidence
from bequest.report.tables import ArmsTable, arms_tables, methods, other_numbers
from bequest.report.titles import anchor, capitalised, joined

MOST_BYTES = 2_000_000
_MARGIN = 2_000  # bytes for the links around the data
_MARK = "<!-- downloads -->"
_SIGNS = {"upheld": "✓", "contradicted": "✗", "undecided": "?"}


def write_report(folder: str | Path, out: str | Path | None = None) -> Path:
    """Write the report of the run in ``folder``, whole; by default to its ``report.html``.

    Raises:
        RunFolderError: If ``folder`` holds no study, a file in it is damaged, or ``out`` cannot be written.
    """
    run = read_run(folder)
    return write_text(Path(folder) / "report.html" if out is None else out, render(run))


def render(run: Run) -> str:
    """The page of a run, as HTML text: charts and tables, and as much of the data as it has room for."""
    found = styles(run.study.arms, _further_arms(run))
    tables = arms_tables(run, found)
    page = _environment().get_template("page.html").render(_content(run, found, tables))
    room = MOST_BYTES - len(page.encode()) - _MARGIN
    files, left_out = downloads(run, tables, room=room)
    part = _environment().get_template("downloads.html")
    return page.replace(_MARK, part.render(files=files, left_out=left_out, name=run.study.name))


def _content(run: Run, found: Styles, tables: Sequence[ArmsTable]) -> dict[str, Any]:
    return {
        "run": run,
        "study": run.study,
        "styles": found,
        "answer": run.study.answer or _fallback_answer(run),
        "profile": inheritance_figure(run.by_split(run.measurements), found),
        "untold": _untold(run, found),
        "profile_method": methods(m for m in run.measurements if m.measure.startswith(INHERITANCE)),
        "tables": tables,
        "sections": evidence(run, found),
        "other": other_numbers(run, found),
        "verdicts": run.verdicts,
        "signs": _SIGNS,
        "unfinished": run.unfinished(),
        "reproduce": reproduction(run),
        "mark": _MARK,
        "css": _asset("page.css"),
        "js": _asset("page.js"),
    }


def _untold(run: Run, found: Styles) -> list[str]:
    """The taught arms of which no inheritance is known at all, for want of their cells."""
    told = {m.arm for m in run.measurements if m.measure.startswith(INHERITANCE)}
    return [found.label(arm.name) for arm in run.study.arms if arm.role == "taught" and arm.name not in told]


def _further_arms(run: Run) -> list[str]:
    """Names that records use and that are no arm of the study, in order of appearance."""
    named = [m.arm for m in run.measurements] + [c.arm for c in run.curves]
    return list(dict.fromkeys(named))


def _fallback_answer(run: Run) -> str:
    """What can be said where no answer was generated: the verdicts, or how far the run is."""
    tally = [f"{count} {word}" for word in _SIGNS if (count := sum(v.verdict == word for v in run.verdicts))]
    if tally:
        claims = f"{len(run.verdicts)} claim{'s' * (len(run.verdicts) != 1)}"
        return f"Of {claims}: {joined(tally)}."
    done = sum(cell.status == "done" for cell in run.study.cells)
    return f"No answer yet: {done} of {len(run.study.cells)} cells are done."


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("bequest.report", "templates"),
        autoescape=select_autoescape(default=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        number=numbers.number,
        given=numbers.given,
        count=numbers.count,
        duration=numbers.duration,
        anchor=anchor,
        capitalised=capitalised,
    )
    environment.globals.update(pair=numbers.pair)
    return environment


def _asset(name: str) -> str:
    return (resources.files("bequest.report") / "templates" / name).read_text(encoding="utf-8")
