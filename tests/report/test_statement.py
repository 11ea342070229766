from __future__ import annotations

import pytest

from bequest.records import Measurement
from bequest.report.folder import read_run
from bequest.report.statement import MOST, NOTHING, fate, markdown, statement


def share(value, low, high, **more) -> Measurement:
    return Measurement(
        measure="inheritance/accuracy",
        arm="mlp<-cnn",
        teacher="cnn",
        value=value,
        low=low,
        high=high,
        n=3,
        **more,
    )


@pytest.mark.parametrize(
    ("low", "high", "word"),
    [
        (0.51, 0.9, "Kept"),
        (0.1, 0.49, "Lost"),
        (-3.0, 0.2, "Lost"),
        (0.4, 0.6, "Undecided"),
        (0.5, 1, "Undecided"),
    ],
)
def test_a_property_is_kept_where_its_interval_lies_above_half_of_the_gap(low, high, word):
    assert MOST == 0.5
    assert fate(share((low + high) / 2, low, high)) == word


def test_without_a_gap_there_is_nothing_to_hand_over_and_one_seed_is_undecided():
    assert fate(share(None, None, None, reason="?", reason_code="no_gap")) == NOTHING
    assert fate(share(None, None, None, reason="no gap", reason_code="one_seed")) == "Undecided"
    assert fate(share(0.9, None, None)) == "Undecided"


def test_every_share_of_the_profiles_arms_is_in_one_list(folder_of, digits_study):
    run = read_run(folder_of(digits_study))
    text = statement(run)
    arms = run.profile_arms()
    assert arms == ("mlp<-cnn", "mlp<-cnn+views")
    for arm in arms:
        shares = [m for m in run.measurements if m.arm == arm and run.titles.is_inheritance(m)]
        part = text.split("### ")[1 + arms.index(arm)]
        assert part.count(";") + part.count("- **") == len(shares)
        for m in shares:
            (line,) = [line for line in part.splitlines() if line.startswith(f"- **{fate(m)}**")]
            assert f" on {m.split}" in line


def test_the_statement_has_the_question_the_claims_and_what_is_missing(folder_of, partial_study):
    text = statement(read_run(folder_of(partial_study)))
    assert text.startswith("# Does an MLP inherit translation invariance from a CNN?\n")
    assert "scale small, 5 seeds, 6 of 45 cells without a result." in text
    assert (
        "Of 3 claims: 1 upheld, 1 contradicted and 1 undecided. 1 exploratory claim listed separately."
        in text
    )
    assert "✗ **contradicted**: Distilling on" in text
    assert "(−0.003 [−0.011, 0.005], adjusted [−0.013, 0.007], n = 5)" in text
    assert "✓ **upheld** (exploratory)" in text


def test_the_statement_on_a_run_in_rounds_says_when_claims_fell(folder_of, study_in_rounds):
    text = statement(read_run(folder_of(study_in_rounds)))
    assert "scale small, 5 to 10 seeds." in text
    assert "Not taken: the look at 20 seeds." in text
    assert "adjusted [−0.013, 0.007], n = 10, look 2)" in text
    assert "(0.400 [0.100, 0.700], n = 10, look 2; about 34 seeds would decide it)" in text


def test_a_study_without_inheritance_states_its_claims_alone(folder_of, theory_study):
    text = statement(read_run(folder_of(theory_study)))
    assert "## Claims" in text
    assert "Kept" not in text


def test_names_do_not_become_markup():
    assert markdown("<b>x</b> [a](b) `c` # d\n# e") == r"\<b\>x\</b\> \[a\](b) \`c\` \# d \# e"
    assert markdown("\x1b[31m") == r"\\x1b\[31m"
