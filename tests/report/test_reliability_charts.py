from __future__ import annotations

import numpy as np
import pytest

from bequest.records import Curve, Point
from bequest.report import reliability_charts
from bequest.report.palette import styles
from bequest.report.reliability_charts import calibration_gap, reliability_figures

STYLES = styles([], ["a", "b"])


def bins(arm: str, split: str | None, *points: tuple[float, float | None, int]) -> Curve:
    return Curve(
        chart="reliability", arm=arm, split=split, kind="points", x_title="confidence", y_title="accuracy",
        points=tuple(Point(x=x, y=y, n=n) for x, y, n in points),
    )  # fmt: skip


def test_the_gap_is_the_expected_calibration_error_of_the_samples():
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0, 1, 5000)
    right = rng.uniform(0, 1, 5000) < confidence**2
    place = np.minimum((confidence * 10).astype(int), 9)
    points, total = [], 0.0
    for k in range(10):
        inside = place == k
        x, y, n = float(confidence[inside].mean()), float(right[inside].mean()), int(inside.sum())
        points.append(Point(x=x, y=y, n=n))
        total += abs(float(confidence[inside].sum()) - float(right[inside].sum()))  # Naeini et al. 2015
    assert calibration_gap(points) == pytest.approx(total / 5000)


def test_the_gap_of_no_answers_is_undefined():
    assert calibration_gap([Point(x=0.5, y=None, n=0)]) is None
    assert calibration_gap([]) is None


def test_there_is_one_figure_a_split_and_one_panel_an_arm():
    curves = [bins(arm, split, (0.9, 0.8, 10)) for arm in "ab" for split in ("test", "translated")]
    figures = reliability_figures(curves, STYLES)
    assert [figure.title for figure in figures] == ["test", "translated"]
    assert [panel.title for panel in figures[0].panels] == ["a", "b"]
    assert all(panel.diagonal and panel.square for panel in figures[0].panels)


def test_bins_have_a_dot_and_a_bar_that_counts_and_empty_bins_have_neither():
    (figure,) = reliability_figures(
        [bins("a", None, (0.25, None, 0), (0.5, 0.25, 10), (0.9, 0.75, 40))], STYLES
    )
    (panel,) = figure.panels
    assert [(mark.x, mark.y) for mark in panel.series[0].marks] == [(50.0, 25.0), (90.0, 75.0)]
    assert [bar.height for bar in panel.bars] == [7.5, 30.0]
    assert [mark.tip.rpartition(", ")[2] for mark in panel.series[0].marks] == ["n = 10", "n = 40"]
    assert all(bar.left >= 0 and bar.left + bar.width <= 100 for bar in panel.bars)
    assert panel.note == "gap 0.170, 50 answers"  # (10 × 0.25 + 40 × 0.15) / 50
    assert figure.table.rows == (("a", "0.500", "0.250", "10"), ("a", "0.900", "0.750", "40"))


def test_the_summary_names_the_worst_and_the_best_calibrated():
    curves = [bins("a", "test", (0.9, 0.5, 10)), bins("b", "test", (0.9, 0.8, 10))]
    (figure,) = reliability_figures(curves, STYLES)
    assert figure.summary == (
        "On test, a is farthest from the diagonal, 0.400 on average over its answers; b is nearest, 0.100."
    )


def test_a_split_without_answers_says_so():
    (figure,) = reliability_figures([bins("a", "test", (0.5, None, 0))], STYLES)
    assert figure.summary == "On test, no bin contains an answer."
    (alone,) = reliability_figures([bins("a", None, (0.5, 0.4, 3))], STYLES)
    assert alone.summary == "Overall, a is 0.100 away from the diagonal on average."


def test_no_more_panels_are_drawn_than_a_page_has_room_for(monkeypatch):
    monkeypatch.setattr(reliability_charts, "MOST_PANELS", 5)
    curves = [bins(arm, f"split {k}", (0.9, 0.8, 10)) for arm in "ab" for k in range(4)]
    figures = reliability_figures(curves, STYLES)
    assert [figure.title for figure in figures] == ["split 0", "split 1"]
    assert all(
        f.notes == ("Not drawn for lack of space, but in the data under Reproduce: split 2, split 3.",)
        for f in figures
    )
