from __future__ import annotations

import pytest

from bequest.records import Curve, Measurement, Point
from bequest.report.folder import read_run
from bequest.report.palette import styles
from bequest.report.sections import evidence


@pytest.fixture
def sections_of(folder_of, theory_study):
    def sections(measurements=(), curves=()):
        theory_study.measurements, theory_study.curves = list(measurements), list(curves)
        run = read_run(folder_of(theory_study))
        return evidence(run, styles([], ["a", "cnn"]))

    return sections


def alike(measure: str, value: float = 0.5, split: str = "test") -> Measurement:
    return Measurement(measure=measure, arm="a", teacher="cnn", split=split, value=value, n=5)


def drawn(chart: str, **more) -> Curve:
    points = () if more.pop("empty", False) else (Point(x=0.0, y=0.5),)
    return Curve(chart=chart, arm="a", x_title="x", y_title="y", points=points, **more)


def test_kinds_of_evidence_come_in_reading_order_and_unknown_ones_are_kept(sections_of):
    charts = ("training", "my_own", "robustness", "reliability", "theory")
    found = sections_of([alike("cka"), alike("agreement")], [drawn(chart) for chart in charts])
    assert [section.title for section in found] == [
        "Agreement with the teachers",
        "Robustness",
        "Calibration",
        "Similarity of representations",
        "Theory",
        "My own",
        "Training",
    ]
    assert all(section.intro for section in found if section.title != "My own")


def test_a_chart_of_a_known_kind_keeps_its_further_name(sections_of):
    (section,) = sections_of(curves=[drawn("barrier_after_matching")])
    assert section.title == "Barriers: after matching"


def test_nulls_and_ceilings_go_with_their_measure(sections_of):
    (section,) = sections_of([alike("rsa"), alike("rsa/null", 0.1), alike("rsa/ceiling", 0.9)])
    (figure,) = section.figures
    assert figure.table.rows[0][-3:] == ("0.100", "0.900", "5")


def test_a_null_of_nothing_is_a_figure_of_its_own(sections_of):
    (section,) = sections_of([alike("cka"), alike("cka/null", 0.1, split="rotated")])
    assert [figure.title for figure in section.figures] == ["CKA", "CKA, null"]


def test_a_measure_with_a_slash_that_is_no_mark_is_a_measure(sections_of):
    (section,) = sections_of([alike("cka/debiased")])
    assert [figure.title for figure in section.figures] == ["CKA, debiased"]


def test_curves_without_points_make_no_chart(sections_of):
    assert sections_of(curves=[drawn("training", empty=True)]) == ()
