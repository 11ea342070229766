"""The report: one HTML file that makes no request."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from bequest.files import write_text
from bequest.report import numbers
from bequest.report.claims import SIGNS, claims_of
from bequest.report.dot_charts import profile_figure
from bequest.report.downloads import downloads
from bequest.report.figure import Figure
from bequest.report.folder import Run, read_run
from bequest.report.gaps import Gaps
from bequest.report.palette import Styles, styles
from bequest.report.reproduction import reproduction
from bequest.report.sections import sections, shown_first
from bequest.report.statement import statement
from bequest.report.tables import ArmsTable, arms_tables, methods, other_numbers
from bequest.report.titles import anchor, capitalised

MOST_BYTES = 2_000_000
_MARGIN = 2_000  # bytes for the links around the data
_MARK = "<!-- downloads -->"


def write_report(folder: str | Path, out: str | Path | None = None) -> Path:
    """Write the report of the run in ``folder``, whole; by default to its ``report.html``.

    Raises:
        RunFolderError: If ``folder`` holds no study, a file in it is damaged, or ``out`` cannot be written.
    """
    run = read_run(folder)
    return write_text(Path(folder) / "report.html" if out is None else out, render(run))


def render(run: Run) -> str:
    """The page of a run, as HTML text: charts and tables, and as much of the data as it has room for."""
    page_styles = styles(run.study.arms, _further_arms(run))
    tables = arms_tables(run, page_styles)
    page = environment().get_template("page.html").render(_content(run, page_styles, tables))
    room = MOST_BYTES - len(page.encode()) - _MARGIN
    files, omitted = downloads(run, tables, room=room)
    part = environment().get_template("downloads.html")
    return page.replace(_MARK, part.render(files=files, omitted=omitted, name=run.study.name))


def _content(run: Run, page_styles: Styles, tables: Sequence[ArmsTable]) -> dict[str, Any]:
    profile, full_profile = _profiles(run, page_styles)
    every = sections(run, page_styles)
    return {
        "run": run,
        "study": run.study,
        "page_title": run.study.question,
        "styles": page_styles,
        "answer": run.study.answer or _fallback_answer(run),
        "picture": shown_first(run, page_styles),
        "asked": [section for section in every if section.is_asked],
        "profile": profile,
        "full_profile": full_profile,
        "without_result": _without_result(run, page_styles),
        "profile_method": methods(m for m in run.measurements if run.titles.is_inheritance(m)),
        "tables": tables,
        "sections": [section for section in every if not section.is_asked],
        "other": other_numbers(run, page_styles),
        "claims": claims_of(run.verdicts, run.study.rounds),
        "statement": statement(run),
        "unfinished": run.unfinished(),
        "reproduce": reproduction(run),
        "mark": _MARK,
        **assets(),
    }


def _profiles(run: Run, page_styles: Styles) -> tuple[Figure | None, Figure | None]:
    """The profile of the claims' arms, and that of all charted arms where it shows more."""
    rows = run.by_split(run.measurements)
    gaps = Gaps.of(run.study.arms, run.measurements, run.titles)
    profile = profile_figure(rows, run.titles, page_styles, arms=run.profile_arms(), gaps=gaps)
    full = profile_figure(rows, run.titles, page_styles)
    if profile is None or full is None or len(full.legend) <= len(profile.legend):
        return profile, None
    return profile, full.renamed("inheritance-of-all-arms", "Inheritance profile of all arms")


def _without_result(run: Run, page_styles: Styles) -> list[str]:
    """The taught arms that have no measurement of inheritance, for want of their cells."""
    measured = {m.arm for m in run.measurements if run.titles.is_inheritance(m)}
    return [
        page_styles.label(arm.name)
        for arm in run.study.arms
        if arm.role == "taught" and arm.name not in measured
    ]


def _further_arms(run: Run) -> list[str]:
    """Names that records use and that are no arm of the study, in order of appearance."""
    named = [m.arm for m in run.measurements] + [c.arm for c in run.curves]
    return list(dict.fromkeys(named))


def _fallback_answer(run: Run) -> str:
    """In place of an answer: the count of verdicts, or how many cells done."""
    tally = claims_of(run.verdicts).tally
    done = sum(cell.status == "done" for cell in run.study.cells)
    return tally or f"No answer yet: {done} of {len(run.study.cells)} cells done."


@cache
def environment() -> Environment:
    """The templates, with the filters that they use."""
    templates = Environment(
        loader=PackageLoader("bequest.report", "templates"),
        autoescape=select_autoescape(default=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters.update(
        number=numbers.number,
        as_written=numbers.as_written,
        count=numbers.count,
        duration=numbers.duration,
        anchor=anchor,
        capitalised=capitalised,
        interval=lambda verdict: numbers.with_interval(verdict.value, verdict.low, verdict.high),
    )
    templates.globals.update(signs=SIGNS)
    return templates


def assets() -> dict[str, str]:
    """Style sheet and script, which stand inside the page."""
    return {"css": _asset("page.css"), "js": _asset("page.js")}


def _asset(name: str) -> str:
    return (resources.files("bequest.report") / "templates" / name).read_text(encoding="utf-8")
