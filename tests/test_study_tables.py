"""The tables that docs/study_tables.py writes."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

from bequest.records import CellRecord, StudyRecord, Verdict

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def tables():
    spec = importlib.util.spec_from_file_location("study_tables", ROOT / "docs" / "study_tables.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def verdict(**fields):
    base = {
        "id": "c",
        "text": "More.",
        "source": "A paper",
        "contrast": "accuracy: a − b",
        "verdict": "upheld",
    }
    return Verdict(**{**base, **fields})


def test_numbers_are_short_and_their_sign_is_a_minus(tables):
    shown = [tables.number(value) for value in (0.5, -0.1234, 0.0, -0.0001, 12.345, None)]
    assert shown == [".500", "−.123", ".000", ".000", "12.3", "–"]


def test_an_end_of_an_interval_beside_zero_shows_its_side(tables):
    ends = [(-0.034, -0.0002), (0.000004, 0.01), (-0.01, 0.0), (-0.0001, 0.0001)]
    shown = [tables.interval(*each) for each in ends]
    assert shown == ["[−.034, −.0002]", "[4e-6, .010]", "[−.010, .000]", "[.000, .000]"]


def test_a_row_has_the_published_number_both_intervals_and_the_verdict(tables):
    line = tables.row(
        verdict(value=0.1, low=0.05, high=0.15, adjusted_low=0.01, adjusted_high=0.2, published=0.3)
    )
    measured = ".100 [.050, .150] | [.010, .200] | ✓ upheld |"
    assert line == f"| More. (accuracy: a − b) | .300 (outside) | {measured}"
    pilot = tables.row(verdict(expected=0.2, verdict="undecided", exploratory=True))
    assert "| pilot .200 | – – | – | ? undecided (exploratory) |" in pilot


def test_only_what_is_between_the_marks_is_written(tables):
    text = "before\n<!-- claims -->\nold\n<!-- end of claims -->\nafter"
    once = tables.written_between(text, "claims", "new")
    assert once == "before\n<!-- claims -->\n\nnew\n\n<!-- end of claims -->\nafter"
    assert tables.written_between(once, "claims", "new") == once


def test_undecided_claims_that_exclude_the_published_number_are_counted(tables):
    study = StudyRecord.model_construct(name="s", scale="decide", cells=(), seeds=(0, 1))
    ends = {"low": -0.1, "high": 0.1, "adjusted_low": -0.1, "adjusted_high": 0.1}
    undecided = verdict(verdict="undecided", published=0.3, **ends)
    within = verdict(verdict="undecided", published=0.05, **ends)
    text = tables.of_the_paper(study, [undecided, undecided, within, verdict(published=0.3, **ends)])
    assert "1 of the 4 claims made by papers are decided. Of the undecided ones 2 exclude the size" in text
    assert "undecided ones" not in tables.of_the_paper(study, [within])


def test_what_most_would_take_is_told_of_studies_that_are_mostly_undecided(tables):
    cells = [CellRecord(id=str(k), arm="a", seed=k, status="done", seconds=1800.0) for k in range(4)]
    study = StudyRecord.model_construct(cells=tuple(cells), seeds=(0, 1))  # an hour a seed
    decided, never = [verdict()], [verdict(verdict="undecided")]

    def text(*seeds):
        rest = [verdict(verdict="undecided", seeds_needed=each) for each in seeds]
        return tables.what_most_would_take(study, decided + rest + never)

    assert tables.what_most_would_take(study, 4 * decided + never) == ""
    told = "For 80 % to be decided, each with a probability of 80 %, it would take 9 seeds, up to 9 hours"
    assert told in text(9, 4, 5)
    assert "would take 5 seeds, up to 5 hours" in text(5, 4, 4)
    assert "more than 1,000 seeds" in text(5, 4)


def test_seeds_are_told_for_what_is_undecided(tables):
    assert tables.needed(verdict(seeds_needed=9)) == ""
    assert tables.needed(verdict(verdict="undecided", seeds_needed=9)) == "9"
    assert tables.needed(verdict(verdict="undecided")) == "–"


def test_claims_are_tallied_from_the_rows_of_the_page(tables):
    rows = [
        tables.row(verdict()),
        tables.row(verdict(verdict="contradicted")),
        tables.row(
            verdict(verdict="undecided", published=0.3, low=0, high=0.1, adjusted_low=0, adjusted_high=0.1)
        ),
        tables.row(verdict(verdict="undecided", text="Others are ✓ upheld.")),
    ]
    page = "\n".join(["<!-- a -->", *rows, "<!-- end of a -->", "<!-- b -->", rows[0], "<!-- end of b -->"])
    lines = tables.tally(f"<!-- tally -->\n<!-- end of tally -->\n{page}").splitlines()
    assert lines[2:] == [
        "| `a` | 4 | 1 | 1 | 2 | 0 + 0 + 1 |",
        "| `b` | 1 | 1 | 0 | 0 | 0 + 0 + 0 |",
        "| all | 5 | 2 | 1 | 2 | 0 + 0 + 1 |",
    ]


def test_every_readme_of_a_study_and_every_paper_has_its_marks():
    for readme in (ROOT / "src" / "bequest" / "studies").glob("*/README.md"):
        # Both, or none where the table stands otherwise.
        assert len(re.findall(r"<!-- (?:end of )?claims -->", readme.read_text())) in (0, 2), readme
    papers = (ROOT / "docs" / "papers.md").read_text()
    for name in re.findall(r"<!-- end of (\S+) -->", papers):
        assert name == "tally" or (ROOT / "src" / "bequest" / "studies" / name.replace("-", "_")).is_dir()
