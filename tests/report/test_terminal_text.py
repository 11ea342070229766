from __future__ import annotations

import io
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from bequest.records import ArmRecord, Measurement
from bequest.report import terminal_table
from bequest.report.terminal_text import safe, safe_text

HOSTILE = [
    "[/]",
    "[bold]x",
    "[link=file:///]y[/link]",
    "\x1b[2J\x1b]0;title\x07",
    "a\x9b31m",
    "\u202eevil",
    "\ud800",
]


@given(st.text())
def test_no_control_character_is_left(text):
    assert all(c in "\n\t" or unicodedata.category(c) not in {"Cc", "Cf"} for c in safe(text))


def test_what_is_harmless_stays_as_it_is():
    text = "MLP ← CNN, κ = .5 [0.1, 0.2]\n\tΔ ✓ 数字 é"
    assert safe(text) == text


def test_control_characters_are_spelt_out():
    assert safe("\x1b[2J\x07\x9b\u202e\ud800") == r"\x1b[2J\x07\x9b\u202e\ud800"


@pytest.mark.parametrize("hostile", HOSTILE)
def test_text_is_not_read_as_markup(hostile):
    console = Console(file=io.StringIO(), width=200)
    console.print(safe_text(hostile))
    assert console.file.getvalue() == safe(hostile) + "\n"


@pytest.mark.parametrize("hostile", HOSTILE[:-1])  # a surrogate cannot be written as JSON
def test_names_of_a_study_reach_the_terminal_as_text(folder_of, digits_study, hostile):
    arm = ArmRecord(name=hostile, role="taught", student="mlp", label="MLP")
    digits_study.study = digits_study.study.model_copy(
        update={"arms": (arm,), "answer": hostile, "name": hostile, "splits": {hostile: "s"}}
    )
    digits_study.measurements = [Measurement(measure="accuracy", arm=hostile, split=hostile, value=0.5, n=1)]
    digits_study.verdicts = [digits_study.verdicts[0].model_copy(update={"text": hostile})]
    console = Console(file=io.StringIO(), width=200)
    console.print(terminal_table(folder_of(digits_study)))
    text = console.file.getvalue()
    assert "\x1b" not in text
    assert text.count(safe(hostile)) == 5  # title, split, arm, claim and answer
