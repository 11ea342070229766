from __future__ import annotations

import io

import pytest
from rich.console import Console

from bequest.records import Measurement
from bequest.report import terminal_table
from bequest.report.numbers import pair


def printed(folder, width: int) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(terminal_table(folder))
    return console.file.getvalue()


@pytest.mark.parametrize("width", [80, 160])
def test_every_arm_and_interval_is_shown_at_any_width(digits_folder, digits_study, width):
    text = printed(digits_folder, width)
    assert all(len(line) <= width for line in text.splitlines())
    for m in digits_study.measurements:
        if m.measure == "accuracy":
            assert all(part in text for part in pair(m.value, m.low, m.high))
    arms = [line.split()[0] for line in text.splitlines() if line.split()[:1] and "<-" in line.split()[0]]
    assert arms[0] == "mlp<-mlp"
    assert "cnn " in text


def test_teachers_stand_above_controls_and_controls_above_taught_arms(digits_folder):
    text = printed(digits_folder, 160)
    places = [text.index(f"\n{name} ") for name in ("cnn", "mlp", "mlp+views", "mlp<-mlp", "mlp<-cnn+views")]
    assert places == sorted(places)


def test_intervals_stand_beside_their_values_where_there_is_room(digits_folder):
    assert printed(digits_folder, 160).count("\n") < printed(digits_folder, 80).count("\n")


def test_a_narrow_console_gets_the_splits_in_parts_and_nothing_is_cut(digits_folder, digits_study):
    text = printed(digits_folder, 50)
    assert all(len(line) <= 50 for line in text.splitlines())
    assert "…" not in text
    assert text.count("digits, scale small") == 1
    assert all(split in text for split in digits_study.study.splits)
    assert text.count("mlp<-cnn+views") == 2


def test_verdicts_have_a_sign_a_word_and_a_number(digits_folder):
    text = printed(digits_folder, 200)
    assert "✓ upheld  Through shifted" in text
    assert "0.998 [0.984, 1.01]" in text
    assert "✗ contradicted" in text
    assert "? undecided" in text
    assert "the measurement is undefined: no gap" in text


def test_a_run_in_rounds_shows_its_looks(folder_of, study_in_rounds):
    text = " ".join(printed(folder_of(study_in_rounds), 200).split())
    assert "0.998 [0.984, 1.01] look 1, n = 5 " in text
    assert "0.400 [0.100, 0.700] look 2, n = 10, about 34 seeds would decide it" in text
    assert "Decided at 5 seeds: 1 of 3 (2 min 22 s of training) and at 10 seeds: 1 of 2" in text


def test_the_answer_comes_last(digits_folder, digits_study):
    assert " ".join(printed(digits_folder, 80).split()).endswith(digits_study.study.answer)


def test_what_is_missing_is_counted(folder_of, partial_study):
    assert "6 of 45 cells without a result, 5 of them failed" in printed(folder_of(partial_study), 160)


def test_a_study_without_arms_shows_its_verdicts(folder_of, theory_study):
    text = printed(folder_of(theory_study), 80)
    assert "✓ upheld" in text
    assert "accuracy (share" not in text


def test_counts_that_differ_are_shown_and_one_count_is_told_once(folder_of, digits_folder, digits_study):
    assert "n = 5" in printed(digits_folder, 160)
    digits_study.measurements = [
        Measurement(measure="accuracy", arm=arm, split="test", value=0.5, n=n)
        for arm, n in (("cnn", 3), ("mlp", 5))
    ]
    header = printed(folder_of(digits_study), 160).splitlines()[1]
    assert header.split() == ["arm", "test", "n"]


def test_names_are_not_read_as_markup(folder_of, digits_study):
    digits_study.measurements = [
        Measurement(measure="accuracy", arm="[red]x", split="[bold]s", value=0.5, n=1)
    ]
    text = printed(folder_of(digits_study), 160)
    assert "[red]x" in text
    assert "[bold]s" in text
