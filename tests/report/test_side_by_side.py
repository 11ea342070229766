from __future__ import annotations

import io

from rich.console import Console

from bequest.report.differences import compare
from bequest.report.folder import read_run
from bequest.report.side_by_side import side_by_side
from bequest.report.terminal_text import safe


def printed(*folders, width=160) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(side_by_side(compare([read_run(folder) for folder in folders])))
    return console.file.getvalue()


def test_the_terminal_shows_both_runs_and_their_difference(two):
    text = printed(*two)
    (line,) = [line for line in text.splitlines() if "mlp<-cnn+views" in line and "translated" in line]
    assert line.rstrip().endswith("−0.125")
    assert "in one run only: cnn<-mlp" in text
    assert "✓ upheld 0.998 [0.984, 1.01]" in text
    assert "? undecided 0.998 [0.984, 1.01]" in text


def test_a_narrow_console_cuts_no_name_and_no_number(two):
    text = printed(*two, width=60)
    assert all(len(line) <= 60 for line in text.splitlines())
    assert "…" not in text


def test_names_of_two_runs_are_not_read_as_markup(folder_of, digits_study, two):
    hostile = "[/] \x1b[2J"
    digits_study.study = digits_study.study.model_copy(update={"scale": hostile})
    digits_study.verdicts = [digits_study.verdicts[0].model_copy(update={"text": hostile, "id": "hostile"})]
    text = printed(folder_of(digits_study), two[0])
    assert "\x1b" not in text
    assert text.count(safe(hostile)) == 2
