from __future__ import annotations

import pytest

from bequest.records import ArmRecord, Measurement
from bequest.report.dot_charts import Compared, comparison_figure, profile_figure
from bequest.report.palette import styles
from bequest.report.titles import Titles

ARMS = [
    ArmRecord(name="cnn", role="teacher", student="cnn", label="CNN"),
    ArmRecord(name="mlp", role="control", student="mlp", label="MLP"),
    ArmRecord(name="a", role="taught", student="mlp", label="Arm A", teachers=("cnn",), control="mlp"),
    ArmRecord(name="b", role="taught", student="mlp", label="Arm B", teachers=("cnn",), control="mlp"),
]
STYLES = styles(ARMS)


TITLES = Titles()


def share(arm: str, value: float | None, low=None, high=None, split="test", reason=None, code=None):
    return Measurement(
        measure="inheritance/accuracy", arm=arm, teacher="cnn", split=split,
        value=value, low=low, high=high, n=5, reason=reason, reason_code=code,
    )  # fmt: skip


def profile(shares, arm_styles=STYLES, arms=()):
    return profile_figure(shares, TITLES, arm_styles, arms=arms)


def dots(figure):
    return [dot for group in figure.rows.groups for row in group.rows for dot in row.dots]


def value_at(figure, place: float) -> float:
    """The value at a place of the axis, from the anchors 0 = control and 1 = teacher."""
    control, teacher = figure.rows.anchors
    return (place - control.at) / (teacher.at - control.at)


def test_dots_and_intervals_lie_where_the_measurements_say():
    figure = profile([share("a", 0.3, 0.1, 0.55), share("b", -0.1, -0.2, 0.0)], STYLES)
    first, second = dots(figure)
    for dot, numbers in ((first, (0.3, 0.1, 0.55)), (second, (-0.1, -0.2, 0.0))):
        assert [value_at(figure, x) for x in (dot.x, dot.low, dot.high)] == pytest.approx(numbers, abs=0.001)
    assert (first.style.name, second.style.name) == ("a", "b")
    assert first.y != second.y


def test_the_axis_of_the_profile_is_the_same_whatever_the_values():
    for shares in ([share("a", 0.5)], [share("a", 40.0), share("b", -7.0)]):
        axis = profile(shares).rows
        assert [tick.text for tick in axis.ticks] == ["−0.25", "0", "0.25", "0.5", "0.75", "1", "1.25"]
        assert (axis.anchors[0].at, axis.anchors[1].at) == pytest.approx((100 / 6, 500 / 6), abs=0.01)


@pytest.mark.parametrize(("value", "place"), [(-3.2, 0.0), (1.8, 100.0), (40.0, 100.0)])
def test_a_value_beyond_the_axis_is_an_arrow_with_its_number(value, place):
    figure = profile([share("a", value, value - 0.1, value + 0.1)])
    (dot,) = dots(figure)
    assert (dot.x, float(dot.beyond.replace("−", "-"))) == (place, value)
    assert (dot.low_beyond, dot.high_beyond) == (value < 0, value > 1)
    assert "Arrows" in figure.notes[0]


def test_an_interval_beyond_the_axis_ends_in_an_arrow_and_is_whole_in_the_table():
    figure = profile([share("a", 0.5, -90.0, 80.0)])
    (dot,) = dots(figure)
    assert dot.low_beyond
    assert dot.high_beyond
    assert (dot.low, dot.high, dot.beyond) == (0.0, 100.0, "")
    assert "Arrows" in figure.notes[0]
    assert "[−90.0, 80.0]" in figure.table.rows[0]


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("no_gap", " (no gap)"),
        ("one_seed", " (one seed cannot tell)"),
        ("other", ""),
        (None, ""),
        ("new_code", " (new code)"),
    ],
)
def test_rows_without_a_value_are_one_sentence_with_the_reason_code(code, words):
    reason = "the gap does not differ"  # prose that nothing may read
    figure = profile([share(arm, None, reason=reason, code=code) for arm in "ab"])
    assert figure.rows.groups == ()
    assert figure.summary == "No share of inheritance is defined."
    assert figure.notes == (f"Undefined{words}: accuracy on test.",)
    assert f"undefined: {reason}" in figure.table.rows[0]


def test_an_undefined_arm_in_a_defined_row_is_named():
    shares = [share("a", None, reason="nothing to take over", code="no_gap"), share("b", 0.4, 0.3, 0.5)]
    figure = profile(shares)
    (row,) = figure.rows.groups[0].rows
    assert len(row.dots) == 1
    assert row.undefined == "Arm A undefined: no gap"
    assert "undefined: nothing to take over" in figure.table.rows[0]


def test_the_profile_draws_the_chosen_arms_and_the_table_has_all():
    figure = profile([share("a", 0.4), share("b", 0.6)], arms=("b",))
    assert [style.name for style in figure.legend] == ["b"]
    assert len(figure.table.rows) == 2
    assert "1 further arm is in the table." in figure.notes
    assert len(dots(profile([share("a", 0.4)], arms=("b",)))) == 1  # rather all than none


def test_the_summary_counts_intervals_above_zero():
    found = [
        share("a", 0.9, 0.8, 1.0),
        share("a", 0.9, 0.8, 1.0, split="translated"),
        share("b", 0.1, -0.1, 0.3),
        share("b", 0.5, 0.4, 0.6, split="translated"),
    ]
    summary = profile(found, STYLES).summary
    assert "2 of 2 properties for Arm A and 1 of 2 properties for Arm B" in summary


def test_there_is_no_profile_without_inheritance():
    assert profile([], STYLES) is None


def test_null_and_ceiling_stand_in_their_own_arms_line():
    def cka(measure: str, arm: str, value: float) -> Measurement:
        return Measurement(measure=measure, arm=arm, teacher="cnn", split="test", value=value, n=5)

    marks = {"null": [cka("cka/null", "a", 0.1)], "ceiling": [cka("cka/ceiling", "a", 0.9)]}
    compared = Compared([cka("cka", "a", 0.6), cka("cka", "b", 0.5)], marks)
    figure = comparison_figure("cka", compared, TITLES, STYLES)
    first, second = dots(figure)
    assert first.null < first.x < first.ceiling
    assert second.null is None
    assert figure.table.columns[-3:] == ("null", "ceiling", "n")
    assert figure.table.rows[0][-3:] == ("0.100", "0.900", "5")
    assert figure.table.rows[1][-3:] == ("—", "—", "5")


def test_an_interval_of_two_seeds_does_not_squash_a_comparison():
    wide = Measurement(
        measure="agreement", arm="a", teacher="cnn", split="test", value=0.9, low=-6.0, high=8.0, n=2
    )
    near = wide.model_copy(update={"arm": "b", "value": 0.5, "low": 0.4, "high": 0.6})
    figure = comparison_figure("agreement", Compared([wide, near]), TITLES, STYLES)
    first, second = dots(figure)
    assert first.low_beyond
    assert first.high_beyond
    assert first.x - second.x > 20
    assert "Arrows" in figure.notes[0]


def test_a_comparison_names_its_extremes():
    def agreement(arm: str, value: float | None, reason: str | None = None) -> Measurement:
        return Measurement(
            measure="agreement", arm=arm, teacher="cnn", split="test", value=value, n=5, reason=reason
        )

    figure = comparison_figure(
        "agreement", Compared([agreement("a", 0.7), agreement("b", 0.2)]), TITLES, STYLES
    )
    assert figure.summary == (
        "Highest agreement: Arm A with CNN on test, 0.700; lowest: Arm B with CNN on test, 0.200."
    )
    empty = comparison_figure("agreement", Compared([agreement("a", None, "no outputs")]), TITLES, STYLES)
    assert empty.summary == "No agreement could be computed."


def test_arms_that_are_not_charted_stand_in_the_table_alone():
    found = styles([*ARMS[:2], ARMS[2].model_copy(update={"charted": False}), ARMS[3]])
    both = [share(name, 0.5, 0.4, 0.6) for name in "ab"]
    figure = profile(both, found)
    assert {dot.style.name for dot in dots(figure)} == {"b"}
    assert [style.name for style in figure.legend] == ["b"]
    assert len(figure.table.rows) == 2
    assert "1 further arm is in the table." in figure.notes
    assert found["b"].marker == STYLES["a"].marker  # the first of its role on the page
    assert len(dots(profile(both[:1], found))) == 1  # rather all than none
