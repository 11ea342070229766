from __future__ import annotations

import pytest

from bequest.records import ArmRecord, Measurement
from bequest.report.dot_charts import comparison_figure, inheritance_figure
from bequest.report.palette import styles

ARMS = [
    ArmRecord(name="cnn", role="teacher", student="cnn", label="CNN"),
    ArmRecord(name="mlp", role="control", student="mlp", label="MLP"),
    ArmRecord(name="a", role="taught", student="mlp", label="Arm A", teachers=("cnn",), control="mlp"),
    ArmRecord(name="b", role="taught", student="mlp", label="Arm B", teachers=("cnn",), control="mlp"),
]
STYLES = styles(ARMS)


def share(arm: str, value: float | None, low=None, high=None, split="test", measure="accuracy", reason=None):
    return Measurement(
        measure=f"inheritance/{measure}", arm=arm, teacher="cnn", split=split,
        value=value, low=low, high=high, n=5, reason=reason,
    )  # fmt: skip


def dots(figure):
    return [dot for group in figure.rows.groups for row in group.rows for dot in row.dots]


def value_at(figure, place: float) -> float:
    """The value at a place of the axis, from the anchors 0 = control and 1 = teacher."""
    control, teacher = figure.rows.anchors
    return (place - control.at) / (teacher.at - control.at)


def test_dots_and_intervals_lie_where_the_measurements_say():
    figure = inheritance_figure([share("a", 0.3, 0.1, 0.55), share("b", -0.2, -0.4, 0.0)], STYLES)
    first, second = dots(figure)
    for dot, numbers in ((first, (0.3, 0.1, 0.55)), (second, (-0.2, -0.4, 0.0))):
        assert [value_at(figure, x) for x in (dot.x, dot.low, dot.high)] == pytest.approx(numbers, abs=0.001)
    assert (first.style.name, second.style.name) == ("a", "b")
    assert first.y != second.y


@pytest.mark.parametrize("value", [-3.2, 1.8, 40.0])
def test_values_beyond_control_and_teacher_are_drawn_not_clipped(value):
    figure = inheritance_figure([share("a", value, value - 0.1, value + 0.1)], STYLES)
    (dot,) = dots(figure)
    assert 0 <= dot.x <= 100
    assert value_at(figure, dot.x) == pytest.approx(value, rel=0.01)
    assert not dot.low_beyond
    assert not dot.high_beyond


def test_an_interval_far_beyond_the_values_ends_in_an_arrow_and_is_whole_in_the_table():
    figure = inheritance_figure([share("a", 0.5, -90.0, 80.0)], STYLES)
    (dot,) = dots(figure)
    assert dot.low_beyond
    assert dot.high_beyond
    assert (dot.low, dot.high) == (0.0, 100.0)
    assert "arrow" in figure.notes[0]
    assert "[−90.0, 80.0]" in figure.table.rows[0]


def test_a_row_without_a_gap_is_undefined_and_says_so():
    reason = "teacher and control do not differ"
    figure = inheritance_figure([share(arm, None, reason=reason) for arm in "ab"], STYLES)
    (row,) = figure.rows.groups[0].rows
    assert row.dots == ()
    assert row.undefined == "undefined: no gap"
    assert reason in row.reasons
    assert f"undefined: {reason}" in figure.table.rows[0]
    assert "1 of 1 rows is undefined" in figure.summary


def test_another_reason_is_given_in_its_own_words():
    figure = inheritance_figure([share("a", None, reason="fewer than two seeds")], STYLES)
    assert figure.rows.groups[0].rows[0].undefined == "undefined: fewer than two seeds"


def test_an_undefined_arm_in_a_defined_row_is_named():
    found = [share("a", None, reason="no gap"), share("b", 0.4, 0.3, 0.5)]
    (row,) = inheritance_figure(found, STYLES).rows.groups[0].rows
    assert len(row.dots) == 1
    assert row.undefined == "Arm A undefined: no gap"


def test_the_summary_counts_intervals_above_zero():
    found = [
        share("a", 0.9, 0.8, 1.0),
        share("a", 0.9, 0.8, 1.0, split="translated"),
        share("b", 0.1, -0.1, 0.3),
        share("b", 0.5, 0.4, 0.6, split="translated"),
    ]
    summary = inheritance_figure(found, STYLES).summary
    assert "2 of 2 properties for Arm A and 1 of 2 properties for Arm B" in summary


def test_there_is_no_profile_without_inheritance():
    assert inheritance_figure([], STYLES) is None


def test_null_and_ceiling_stand_in_their_own_arms_line():
    def cka(measure: str, arm: str, value: float) -> Measurement:
        return Measurement(measure=measure, arm=arm, teacher="cnn", split="test", value=value, n=5)

    figure = comparison_figure(
        "cka",
        [cka("cka", "a", 0.6), cka("cka", "b", 0.5)],
        [cka("cka/null", "a", 0.1)],
        [cka("cka/ceiling", "a", 0.9)],
        STYLES,
    )
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
    figure = comparison_figure("agreement", [wide, near], [], [], STYLES)
    first, second = dots(figure)
    assert first.low_beyond
    assert first.high_beyond
    assert first.x - second.x > 20
    assert "arrow" in figure.notes[0]


def test_a_comparison_names_its_extremes():
    def agreement(arm: str, value: float | None, reason: str | None = None) -> Measurement:
        return Measurement(
            measure="agreement", arm=arm, teacher="cnn", split="test", value=value, n=5, reason=reason
        )

    figure = comparison_figure("agreement", [agreement("a", 0.7), agreement("b", 0.2)], [], [], STYLES)
    assert figure.summary == (
        "Highest agreement: Arm A with CNN on test, 0.700; lowest: Arm B with CNN on test, 0.200."
    )
    empty = comparison_figure("agreement", [agreement("a", None, "no outputs")], [], [], STYLES)
    assert empty.summary == "No agreement could be computed."


def test_arms_that_are_not_charted_stand_in_the_table_alone():
    found = styles([*ARMS[:2], ARMS[2].model_copy(update={"charted": False}), ARMS[3]])
    both = [share(name, 0.5, 0.4, 0.6) for name in "ab"]
    figure = inheritance_figure(both, found)
    assert {dot.style.name for dot in dots(figure)} == {"b"}
    assert [style.name for style in figure.legend] == ["b"]
    assert len(figure.table.rows) == 2
    assert "1 further arm is in the table." in figure.notes
    assert found["b"].marker == STYLES["a"].marker  # the first of its role on the page
    assert len(dots(inheritance_figure(both[:1], found))) == 1  # rather all than none
