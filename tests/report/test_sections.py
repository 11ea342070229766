from __future__ import annotations

import pytest

from bequest.records import Curve, Measurement, MeasureRecord, Point, SectionRecord
from bequest.report import write_report
from bequest.report.folder import read_run
from bequest.report.palette import styles
from bequest.report.sections import sections, shown_first

LIKENESS = MeasureRecord(title="likeness of a new kind", unit="share", group="likeness")


@pytest.fixture
def run_with(folder_of, theory_study):
    def run(measurements=(), curves=(), **study):
        theory_study.measurements, theory_study.curves = list(measurements), list(curves)
        theory_study.study = theory_study.study.model_copy(update=study)
        return read_run(folder_of(theory_study))

    return run


@pytest.fixture
def sections_of(run_with):
    return lambda *records, **study: sections(run_with(*records, **study), styles([], ["a", "cnn"]))


def alike(measure: str, value: float = 0.5, split: str = "test") -> Measurement:
    return Measurement(measure=measure, arm="a", teacher="cnn", split=split, value=value, n=5)


def drawn(chart: str, **more) -> Curve:
    points = () if more.pop("empty", False) else (Point(x=0.0, y=0.5),)
    return Curve(chart=chart, arm="a", x_title="x", y_title="y", points=points, **more)


def test_an_unknown_kind_of_evidence_is_drawn_as_its_record_says(sections_of):
    record = SectionRecord(
        title="Dreams", intro="What each dreams.", place=1, charts=("dreams",), measures=("toy", "toy/depth")
    )
    toy = Measurement(measure="toy/depth", arm="a", split="test", value=2.0, n=5)
    first, second = sections_of(
        [alike("toy"), toy, alike("agreement")],
        [drawn("dreams")],
        sections={"dreaming": record},
        measures={"toy": LIKENESS, "toy/depth": MeasureRecord(title="depth", unit="m", group="derived")},
    )
    assert (first.title, first.intro) == ("Dreams", "What each dreams.")
    assert [figure.title for figure in first.figures] == ["Likeness of a new kind", "Depth", "Dreams"]
    assert first.figures[0].rows.x_title == "likeness of a new kind (share)"
    assert second.title == "Agreement with the teachers"


def test_an_unknown_kind_of_evidence_is_on_the_page_and_its_numbers_are_there_once(run_with, tmp_path):
    record = SectionRecord(title="Dreams", intro="What each dreams.", charts=("dreams",), measures=("toy",))
    run = run_with(
        [Measurement(measure="toy", arm="a", value=0.123, n=5)],
        [drawn("dreams")],
        sections={"dreaming": record},
        measures={"toy": MeasureRecord(title="toy depth", unit="m")},
    )
    page = write_report(run.folder, tmp_path / "page.html").read_text()
    assert '<section id="why-dreaming">' in page
    assert "toy depth (m)" in page
    assert 'id="numbers"' not in page


def test_sections_follow_their_places(sections_of):
    records = {
        name: SectionRecord(title=name, place=place, charts=(name,)) for name, place in (("b", 2), ("a", 1))
    }
    drawings = [drawn("a"), drawn("b"), drawn("theory")]
    assert [s.title for s in sections_of([], drawings, sections=records)] == ["a", "b", "Theory"]


def test_asked_and_unasked_is_told_from_a_chart_of_word_distances(sections_of):
    asked = SectionRecord(title="Asked and unasked", charts=("distance/accuracy",))
    (section,) = sections_of([], [drawn("distance/accuracy")], sections={"distance": asked})
    assert section.is_asked
    words = SectionRecord(title="Strata", charts=("attractors", "distance"))
    (section,) = sections_of([], [drawn("distance")], sections={"strata": words})
    assert not section.is_asked
    (section,) = sections_of([], [drawn("distance")], sections={})
    assert not section.is_asked


def test_several_charts_of_a_section_have_titles_of_their_own(sections_of):
    words = SectionRecord(title="Strata", charts=("attractors", "distance", "my_own"))
    curves = [drawn("attractors"), drawn("distance"), drawn("my_own")]
    (section,) = sections_of([], curves, sections={"strata": words})
    assert [figure.title for figure in section.figures] == ["Attractors", "Distance", "My own"]


def test_the_picture_stands_beside_the_answer_and_nowhere_else(run_with):
    maps = [
        Curve(
            chart="shifts", arm=arm, kind="map", x_title="x", y_title="y", z_title="accuracy",
            points=tuple(Point(x=x, y=y, z=value) for x in (0, 1) for y in (0, 1)),
        )
        for arm, value in (("a", 0.25), ("cnn", 0.75))
    ]  # fmt: skip
    record = SectionRecord(title="Maps", charts=("shifts",))
    run = run_with([], maps, picture="shifts", sections={"maps": record})
    page_styles = styles([], ["a", "cnn"])
    (figure,) = shown_first(run, page_styles)
    assert figure.title == "Maps"
    assert all(panel.tile and panel.square for panel in figure.panels)
    assert figure.summary == "Accuracy, mean of each map: 0.250 for a and 0.750 for cnn."
    assert figure.panels[0].levels == figure.levels
    assert sections(run, page_styles) == ()


def test_of_a_picture_beside_several_teachers_the_panels_of_the_answer_come_first(run_with):
    curves = [drawn("likeness").model_copy(update={"teacher": teacher}) for teacher in ("cnn", "lstm")]
    record = SectionRecord(title="Likeness", charts=("likeness",))
    page_styles = styles([], ["a"])
    for teachers, first, later in ((("lstm",), ["lstm"], ["cnn"]), (("other",), ["cnn", "lstm"], [])):
        run = run_with(
            [], curves, picture="likeness", picture_teachers=teachers, sections={"likeness": record}
        )
        (beside,) = shown_first(run, page_styles)
        assert [panel.title for panel in beside.panels] == first
        rest = [panel.title for s in sections(run, page_styles) for f in s.figures for panel in f.panels]
        assert rest == later


def test_a_study_without_its_picture_has_none(run_with):
    assert shown_first(run_with([], [drawn("a")], picture="absent"), styles([], ["a"])) == ()
    assert shown_first(run_with([], [drawn("a")], picture=None), styles([], ["a"])) == ()


def test_old_kinds_of_evidence_come_in_reading_order_and_unlisted_ones_stay(sections_of):
    charts = ("training", "my_own", "robustness", "reliability", "theory")
    drawings = sections_of([alike("cka"), alike("agreement")], [drawn(chart) for chart in charts])
    assert [section.title for section in drawings] == [
        "Agreement with the teachers",
        "Robustness",
        "Calibration",
        "Similarity of representations",
        "Theory",
        "My own",
        "Training",
    ]
    assert all(section.intro for section in drawings if section.title != "My own")


def test_a_chart_of_a_listed_family_keeps_its_further_name(sections_of):
    (section,) = sections_of([], [drawn("barrier_after_matching")])
    assert section.title == "Barriers: after matching"


def test_nulls_ceilings_and_other_teachers_go_with_their_measure(sections_of):
    rows = [alike("rsa"), alike("rsa/null", 0.1), alike("rsa/ceiling", 0.9), alike("rsa/other_teacher", 0.4)]
    (section,) = sections_of(rows)
    (figure,) = section.figures
    assert figure.table.columns[-4:] == ("null", "ceiling", "other teacher", "n")
    assert figure.table.rows[0][-4:] == ("0.100", "0.900", "0.400", "5")


def test_a_null_of_nothing_is_a_figure_of_its_own(sections_of):
    (section,) = sections_of([alike("cka"), alike("cka/null", 0.1, split="rotated")])
    assert [figure.title for figure in section.figures] == ["CKA", "CKA, untrained student"]


def test_a_likeness_that_no_section_lists_does_not_take_its_anchor(sections_of):
    record = SectionRecord(title="Agreement", measures=("agreement",))
    listed, further = sections_of([alike("agreement"), alike("kl")], sections={"agreement": record})
    assert {listed.title, further.title} == {"Agreement", "Agreement with the teachers"}
    assert listed.id != further.id


def test_curves_without_points_make_no_chart(sections_of):
    assert sections_of([], [drawn("training", empty=True)]) == ()
