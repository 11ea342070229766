"""The sections that say why: one for each kind of evidence, from its curves and its measurements.

``StudyRecord.sections`` says what a section is called and what belongs to it, so that a kind of evidence that
was added by a study or a user is drawn without a line here. What no section claims is drawn under the
headings of ``titles.CHARTS``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bequest.records import Curve, SectionRecord
from bequest.report.curve_charts import chart_figure
from bequest.report.dot_charts import Compared, comparison_figure
from bequest.report.figure import Figure, Section
from bequest.report.folder import Run
from bequest.report.galleries import gallery_figure
from bequest.report.heat_maps import heat_figure
from bequest.report.palette import Styles
from bequest.report.reliability_charts import reliability_figures
from bequest.report.titles import CHARTS, anchor, chart_section

ASKED = "distance"
"""How the names of all charts in the section on asked and unasked inputs begin."""


def sections(run: Run, styles: Styles) -> tuple[Section, ...]:
    """Every kind of evidence that the run holds, in reading order."""
    charts = _charts(run.by_split(run.curves))
    if picture := run.study.picture:
        shown = _of_answer(run)
        charts[picture] = [curve for curve in charts.get(picture, ()) if curve not in shown]
    compared = _compared(run)
    placed: list[tuple[int, Section]] = []
    for key, record in run.study.sections.items():
        named = {name for name in compared if {name, run.titles.measure(name).of} & set(record.measures)}
        figures = [
            comparison_figure(name, compared.pop(name), run.titles, styles)
            for name in [*compared]
            if name in named
        ]
        # Several charts of a section are chosen among by their titles, so that each needs its own.
        title = record.title if len(record.charts) == 1 else ""
        for name in record.charts:
            figures += _drawn(name, title, charts.pop(name, ()), styles)
        placed += _placed(key, record, figures)
    for key, names in _unclaimed(compared, run).items():
        figures = [comparison_figure(name, compared[name], run.titles, styles) for name in names]
        placed += _placed(f"more {key}" if key in run.study.sections else key, CHARTS[key], figures)
    for name, curves in charts.items():
        record = chart_section(name)
        placed += _placed(name, record, _drawn(name, record.title, curves, styles))
    return tuple(section for _, section in sorted(placed, key=lambda item: item[0]))


def shown_first(run: Run, styles: Styles) -> tuple[Figure, ...]:
    """The figures of the study's picture: the chart that shows the answer."""
    picture, curves = run.study.picture, _of_answer(run)
    if picture is None or not curves:
        return ()
    owners = [record for record in run.study.sections.values() if picture in record.charts]
    title = (owners[0] if owners else chart_section(picture)).title
    return tuple(_drawn(picture, title, curves, styles, tiled=True))


def _of_answer(run: Run) -> list[Curve]:
    """The curves of the study's picture: of those beside several teachers those that the answer is about."""
    curves = [c for c in run.by_split(run.curves) if c.chart == run.study.picture and c.points]
    return [curve for curve in curves if curve.teacher in run.study.picture_teachers] or curves


def _placed(key: str, record: SectionRecord, figures: Sequence[Figure]) -> list[tuple[int, Section]]:
    """A section with its place; nothing where it has no figure."""
    # A study of sentences has a chart of word distances; it stands in one section with other strata.
    is_asked = bool(record.charts) and all(name.startswith(ASKED) for name in record.charts)
    section = Section(f"why-{anchor(key)}", record.title, record.intro, tuple(figures), is_asked)
    return [(record.place, section)] if figures else []


def _drawn(
    name: str, title: str, curves: Sequence[Curve], styles: Styles, *, tiled: bool = False
) -> list[Figure]:
    if not curves:
        return []
    if name == "reliability":
        return list(reliability_figures(curves, styles))
    if all(curve.kind == "images" for curve in curves):
        return [gallery_figure(name, curves, styles, title=title)]
    if all(curve.kind == "map" for curve in curves):
        return [heat_figure(name, curves, styles, title=title, tiled=tiled)]
    return [chart_figure(name, curves, styles, title=title)]


def _charts(curves: Iterable[Curve]) -> dict[str, list[Curve]]:
    """The curves of each chart, those without a point left out."""
    charts: dict[str, list[Curve]] = {}
    for curve in curves:
        if curve.points:
            charts.setdefault(curve.chart, []).append(curve)
    return charts


def _compared(run: Run) -> dict[str, Compared]:
    """The comparisons of each measure with the reference values of the same pairs.

    A reference value of a pair that has no comparison stands on its own, under its own name.
    """
    chosen = {name for record in run.study.sections.values() for name in record.measures}
    rows = [
        m
        for m in run.by_split(run.measurements)
        if run.titles.is_comparison(m) or m.measure in chosen or run.titles.measure(m.measure).of in chosen
    ]
    pairs = {(m.measure, m.arm, m.teacher, m.split, m.layer) for m in rows}
    compared: dict[str, Compared] = {}
    for m in rows:
        described = run.titles.measure(m.measure)
        marked = (described.of, m.arm, m.teacher, m.split, m.layer) in pairs
        if marked and described.mark in Compared.MARKS:
            compared.setdefault(described.of, Compared()).marks.setdefault(described.mark, []).append(m)
        else:
            compared.setdefault(m.measure, Compared()).values.append(m)
    return compared


def _unclaimed(compared: dict[str, Compared], run: Run) -> dict[str, list[str]]:
    """The measures that no section of the study lists, by the heading that they come under."""
    headings: dict[str, list[str]] = {}
    for name in compared:
        group = run.titles.measure(name).group
        headings.setdefault("similarity" if group == "representation" else "agreement", []).append(name)
    return headings
