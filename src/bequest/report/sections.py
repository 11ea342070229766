"""The sections that say why: one a kind of evidence, from charts and from comparisons with teachers."""

from __future__ import annotations

from collections.abc import Sequence

from bequest.records import Curve, Measurement
from bequest.report.curve_charts import chart_figure
from bequest.report.dot_charts import comparison_figure
from bequest.report.figure import Figure, Section
from bequest.report.folder import Run
from bequest.report.heat_maps import heat_figure
from bequest.report.palette import Styles
from bequest.report.reliability_charts import reliability_figures
from bequest.report.tables import is_comparison
from bequest.report.titles import SIMILARITIES, ChartWords, anchor, chart_words

_MARKS = ("value", "null", "ceiling")


def evidence(run: Run, styles: Styles) -> tuple[Section, ...]:
    """Every kind of evidence that the run holds, in reading order."""
    placed: list[tuple[int, Section]] = []
    for kind, measures in _comparisons(run.by_split(run.measurements)).items():
        words = chart_words(kind)
        figures = [comparison_figure(name, *found, styles) for name, found in measures.items()]
        placed.append((words.place, _section(kind, words, figures)))
    for name, curves in _charts(run.by_split(run.curves)).items():
        words = chart_words(name)
        placed.append((words.place, _section(name, words, _drawn(name, curves, styles))))
    return tuple(section for _, section in sorted(placed, key=lambda item: item[0]))


def _section(name: str, words: ChartWords, figures: Sequence[Figure]) -> Section:
    return Section(f"why-{anchor(name)}", words.title, words.intro, tuple(figures))


def _drawn(name: str, curves: Sequence[Curve], styles: Styles) -> Sequence[Figure]:
    if name == "reliability":
        return reliability_figures(curves, styles)
    draw = heat_figure if all(curve.kind == "map" for curve in curves) else chart_figure
    return [draw(name, curves, styles)]


def _charts(curves: Sequence[Curve]) -> dict[str, list[Curve]]:
    found: dict[str, list[Curve]] = {}
    for curve in curves:
        if curve.points:
            found.setdefault(curve.chart, []).append(curve)
    return found


Found = tuple[list[Measurement], list[Measurement], list[Measurement]]


def _comparisons(measurements: Sequence[Measurement]) -> dict[str, dict[str, Found]]:
    """Kind of comparison → measure → values, nulls and ceilings; marks without a value stand alone."""
    found: dict[str, dict[str, Found]] = {}
    compared = [m for m in measurements if is_comparison(m)]
    valued = {(m.measure, m.arm, m.teacher, m.split, m.layer) for m in compared}
    for m in compared:
        base, _, mark = m.measure.partition("/")
        marks = mark in _MARKS and (base, m.arm, m.teacher, m.split, m.layer) in valued
        kind = "similarity" if base in SIMILARITIES else "agreement"
        lists = found.setdefault(kind, {}).setdefault(base if marks else m.measure, ([], [], []))
        lists[_MARKS.index(mark) if marks else 0].append(m)
    return found
