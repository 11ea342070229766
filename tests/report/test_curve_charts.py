from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bequest.records import Curve, Point
from bequest.report import curve_charts
from bequest.report.curve_charts import MOST_TABLE_ROWS, chart_figure
from bequest.report.curve_paths import MOST_POINTS, band_path, line_path, mean_curve, thinned
from bequest.report.figure import Panel
from bequest.report.page import environment
from bequest.report.palette import styles
from bequest.report.scales import Scale, Tick

QUICK = settings(max_examples=50, deadline=None)

STYLES = styles([], ["a", "b", "teacher"])
UNIT = Scale(0.0, 1.0)


def curve(arm: str, ys, xs=None, chart="anything", low=None, **more) -> Curve:
    places = range(len(ys)) if xs is None else xs
    points = tuple(
        Point(x=x, y=y, low=None if low is None else y - low, high=None if low is None else y + low)
        for x, y in zip(places, ys, strict=True)
    )
    return Curve(chart=chart, arm=arm, **{"x_title": "x", "y_title": "y"} | more, points=points)


def numbers_of(path: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in re.findall(r"[ML]([\d.e+-]+),([\d.e+-]+)", path)]


@QUICK
@given(st.lists(st.floats(0, 1), min_size=2, max_size=20))
def test_a_line_goes_through_its_points(ys):
    xs = [k / (len(ys) - 1) for k in range(len(ys))]
    drawn = numbers_of(line_path(curve("a", ys, xs), UNIT, UNIT))
    # drawn in thousandths of the panel, y downwards, to four digits
    assert [x for x, _ in drawn] == pytest.approx([1000 * x for x in xs], abs=0.6)
    assert [y for _, y in drawn] == pytest.approx([1000 * (1 - y) for y in ys], abs=0.6)


def test_a_line_breaks_where_a_value_is_missing():
    path = line_path(curve("a", [0.1, 0.2, None, 0.4], [0, 0.3, 0.6, 0.9]), UNIT, UNIT)
    assert path == "M0,900L300,800M900,600h0"


def test_a_band_stays_in_its_panel():
    band = band_path(curve("a", [0.5, 0.5], [0, 1], low=7.0), UNIT, UNIT)
    assert {y for _, y in numbers_of(band)} == {0, 1000}


@pytest.mark.parametrize(
    ("texts", "width"), [(["0", "0.5", "1"], None), (["0.18490", "0.18495"], 62), ([], None)]
)
def test_long_ticks_have_room_beside_their_axis(texts, width):
    ticks = tuple(Tick(at=k, text=text) for k, text in enumerate(texts))
    panel = Panel("", "y", "x", x_ticks=(), y_ticks=ticks, series=())
    html = environment().from_string('{% import "chart.html" as c %}{{ c.panel(p) }}').render(p=panel)
    assert re.findall(r"padding-left:(\d+)px", html) == ([] if width is None else [str(width)])


def test_steps_stay_level_until_the_next_point():
    path = line_path(curve("a", [0.2, 0.8], [0, 1], kind="steps"), UNIT, UNIT)
    assert path == "M0,800H1000V200"


def test_a_band_runs_along_its_bounds():
    band = band_path(curve("a", [0.5, 0.5], [0, 1], low=0.1), UNIT, UNIT)
    assert numbers_of(band) == [(0, 400), (1000, 400), (1000, 600), (0, 600)]
    assert band_path(curve("a", [0.5, 0.5]), UNIT, UNIT) == ""
    assert band_path(curve("a", [0.5, 0.5], [1, 0], low=0.1), UNIT, UNIT) == ""


def test_the_mean_over_seeds_needs_all_of_them():
    mean = mean_curve([curve("a", [0.0, 1.0, 0.5]), curve("a", [1.0, None, 0.5]), curve("a", [0.5, 1.0])])
    assert [point.y for point in mean.points] == [0.5, None, None]
    assert [point.n for point in mean.points] == [3, 2, 2]


@QUICK
@given(st.integers(1, 1000))
def test_thinning_keeps_the_ends_and_a_bounded_number(n):
    points = thinned(curve("a", [0.0] * n)).points
    assert len(points) <= MOST_POINTS + 1
    assert (points[0].x, points[-1].x) == (0, n - 1)


def test_seeds_are_drawn_faintly_under_their_mean():
    figure = chart_figure("training", [curve("a", [0.0, k / 2], seed=str(k)) for k in range(3)], STYLES)
    ((series,),) = [panel.series for panel in figure.panels]
    assert len(series.faint) == 3
    assert series.values == ("0", "0.500")
    assert "means over seeds" in figure.notes[0]


def test_panels_are_told_apart_by_quantity_split_and_layer_and_share_their_axes():
    curves = [
        curve(arm, [0.1 * k, 0.9], split=split, layer=layer, y_title=title)
        for k, arm in enumerate("ab")
        for split in ("test", "translated")
        for layer in ("conv", "penultimate")
        for title in ("accuracy", "loss")
    ]
    panels = chart_figure("robustness", curves, STYLES).panels
    assert len(panels) == 8
    assert {panel.title for panel in panels} == {
        f"{s} · {l}" for s in ("test", "translated") for l in ("conv", "penultimate")
    }
    assert len({panel.y_ticks for panel in panels if panel.y_title == "accuracy"}) == 1
    assert all([series.style.name for series in panel.series] == ["a", "b"] for panel in panels)


def test_no_more_panels_are_drawn_than_a_page_has_room_for(monkeypatch):
    monkeypatch.setattr(curve_charts, "MOST_PANELS", 2)
    figure = chart_figure("robustness", [curve("a", [0, 1], split=f"s{k}") for k in range(4)], STYLES)
    assert [panel.title for panel in figure.panels] == ["s0", "s1"]
    assert figure.notes == ("Not drawn for lack of space, but in the data under Reproduce: y (s2), y (s3).",)


def test_single_seeds_are_thinned_and_their_mean_is_of_all_points():
    curves = [curve("a", [float(k)] * 150, seed=str(k)) for k in range(100)]
    ((series,),) = [panel.series for panel in chart_figure("training", curves, STYLES).panels]
    assert series.line.count("L") == 149
    assert all(path.count("L") <= 50 for path in series.faint)


def test_different_axes_do_not_share_a_scale():
    curves = [
        curve("a", [1, 0], [0, 4], split="shift", x_title="pixels"),
        curve("a", [1, 0], [0, 90], split="turn", x_title="degrees"),
    ]
    shift, turn = chart_figure("robustness", curves, STYLES).panels
    assert (shift.x_ticks[-1].text, turn.x_ticks[-1].text) == ("4", "75")


def test_teachers_are_told_apart_only_where_an_arm_has_several():
    one = [curve("a", [0, 1], teacher="a"), curve("b", [0, 1], teacher="b")]
    assert len(chart_figure("agreement_curve", one, STYLES).panels) == 1
    several = [curve("a", [0, 1], teacher="a"), curve("a", [1, 0], teacher="b")]
    assert [p.title for p in chart_figure("agreement_curve", several, STYLES).panels] == ["a", "b"]
    named = styles([], ["a", "mlp<-cnn"])
    several = [curve("a", [0, 1], teacher="a"), curve("a", [1, 0], teacher="mlp<-cnn")]
    assert [p.title for p in chart_figure("agreement_curve", several, named).panels] == ["a", "mlp ← cnn"]


def test_a_theory_line_and_its_simulated_dots_are_both_drawn():
    line = curve("a", [k / 20 for k in range(21)])
    dots = curve("a", [0.1, 0.9], [2, 18], kind="points", low=0.05)
    figure = chart_figure("theory", [line, dots], STYLES)
    (panel,) = figure.panels
    drawn, dotted = panel.series
    assert drawn.line
    assert drawn.marks == ()
    assert [mark.low for mark in dotted.marks] != [None, None]
    assert figure.table.columns == ("quantity", "x", "a", "a, dots")
    assert ("y", "2", "0.100", "0.100 [0.050, 0.150]") in figure.table.rows


def test_scattered_dots_of_several_seeds_are_all_kept():
    curves = [curve("a", [k, k], [k, k + 10], kind="points", seed=str(k)) for k in range(3)]
    ((series,),) = [panel.series for panel in chart_figure("scatter", curves, STYLES).panels]
    assert len(series.marks) == 6


def test_an_arm_with_several_lines_in_a_panel_keeps_them_all():
    curves = [curve("a", [0, k], note=f"α = {k}") for k in (1, 2)]
    figure = chart_figure("theory", curves, STYLES)
    ((series,),) = [panel.series for panel in figure.panels]
    assert series.line.count("M") == 2
    assert len(figure.table.rows) == 4
    assert figure.notes == ("α = 1", "α = 2")


def test_queries_by_factors_get_a_logarithmic_axis_that_says_so():
    (panel,) = chart_figure(
        "budget", [curve("a", [0.8, 0.9, 0.94, 0.95], [1e3, 3e3, 9e3, 32425])], STYLES
    ).panels
    assert panel.x_title == "x, log scale"
    assert panel.stops[1].at == pytest.approx(31.6, abs=0.1)  # log(3) / log(32.425)
    (steep,) = chart_figure("theory", [curve("a", [1e-5, 1e-3, 1.0])], STYLES).panels
    assert steep.y_title == "y, log scale"


def test_a_map_has_one_measure_on_both_axes_and_its_labels_do_not_overlap():
    way = Curve(
        chart="path", arm="a", x_title="u", y_title="v",
        points=(Point(x=0, y=0, label="start"), Point(x=0.1, y=0, label="hid"), Point(x=9, y=1, label="end")),
    )  # fmt: skip
    (panel,) = chart_figure("path", [way], STYLES).panels
    assert panel.square
    left, *_, right = (mark.x for mark in panel.series[0].marks)
    low, *_, high = (mark.y for mark in panel.series[0].marks)
    assert (right - left) / 9 == pytest.approx(high - low, rel=0.01)
    assert [mark.text for mark in panel.series[0].marks] == ["start", "", "end"]


def test_a_text_lies_on_no_other_text_and_on_no_mark():
    points = [
        Point(x=0, y=0, label="a long text"),
        Point(x=1, y=0.5, label="on it"),
        Point(x=10, y=10, label="far"),
    ]
    way = Curve(chart="path", arm="a", x_title="u", y_title="v", points=tuple(points))
    (panel,) = chart_figure("path", [way], STYLES).panels
    assert [mark.text for mark in panel.series[0].marks] == ["", "on it", "far"]


def test_a_long_curve_is_cut_short_in_its_table_and_says_so():
    table = chart_figure("training", [curve("a", [0.5] * 150)], STYLES).table
    assert len(table.rows) <= MOST_TABLE_ROWS + 1
    assert "under Reproduce" in table.note
    assert chart_figure("training", [curve("a", [0.5] * 20)], STYLES).table.note == ""


def test_curves_without_common_places_are_listed_point_by_point():
    curves = [
        curve("a", [1, 2, 3], [0.1, 0.2, 0.3]),
        curve("b", [1, 2, 3], [0.4, 0.5, 0.6]),
        curve("a", [9], [7]),
    ]
    table = chart_figure("theory", curves, STYLES).table
    assert table.columns == ("arm", "where", "label", "x", "y")
    assert len(table.rows) == 7


def test_an_undefined_point_is_a_dash_and_an_undefined_curve_is_survived():
    figure = chart_figure("training", [curve("a", [float("nan"), 0.5])], STYLES)
    assert figure.table.rows[0] == ("y", "0", "—")
    empty = chart_figure("training", [curve("a", [None, None])], STYLES)
    assert empty.summary == "Nothing was recorded."


@pytest.mark.parametrize(
    ("chart", "curves", "summary"),
    [
        (
            "training",
            [curve("a", [0.1, 0.9]), curve("b", [0.1, 0.5])],
            "At the end, arms differ most in y: highest a with 0.900, lowest b with 0.500.",
        ),
        ("training", [curve("a", [0.1, 0.9])], "a: y ends at 0.900, at x 1."),
        (
            "barrier",
            [curve("a", [0, 2, 0]), curve("b", [0, 0.5, 0])],
            "Peak y is highest for a, 2.00, and lowest for b, 0.500.",
        ),
        ("barrier", [curve("a", [0, 2, 0])], "a: y peaks at 2.00."),
        ("path", [curve("a", [0, 3], [0, 0]), curve("b", [0, 0], [0, 4])], "a and b end 5.00 apart."),
    ],
)
def test_one_sentence_says_what_a_chart_shows(chart, curves, summary):
    assert chart_figure(chart, curves, STYLES).summary == summary
