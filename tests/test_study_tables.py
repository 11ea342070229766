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


def test_a_line_has_what_was_told_both_intervals_and_the_verdict(tables):
    line = tables.row(
        verdict(value=0.1, low=0.05, high=0.15, adjusted_low=0.01, adjusted_high=0.2, published=0.3)
    )
    assert line == "| More. (accuracy: a − b) | .300 | .100 [.050, .150] | [.010, .200] | ✓ upheld |"
    pilot = tables.row(verdict(expected=0.2, verdict="undecided", exploratory=True))
    assert "| pilot .200 | – – | – | ? undecided (exploratory) |" in pilot


def test_only_what_is_between_the_marks_is_written(tables):
    text = "before\n<!-- claims -->\nold\n<!-- end of claims -->\nafter"
    once = tables.written_between(text, "claims", "new")
    assert once == "before\n<!-- claims -->\n\nnew\n\n<!-- end of claims -->\nafter"
    assert tables.written_between(once, "claims", "new") == once


def test_what_most_would_take_is_told_of_studies_that_are_mostly_undecided(tables):
    cells = [CellRecord(id=str(k), arm="a", seed=k, status="done", seconds=1800.0) for k in range(4)]
    study = StudyRecord.model_construct(cells=tuple(cells), seeds=(0, 1))  # an hour a seed
    decided, never = [verdict()], [verdict(verdict="undecided")]

    def told(*seeds):
        rest = [verdict(verdict="undecided", seeds_needed=each) for each in seeds]
        return tables.what_most_would_take(study, decided + rest + never)

    assert tables.what_most_would_take(study, 4 * decided + never) == ""
    assert " 80 % of them to be decided it would take 9 seeds, up to 9 hours of training" in told(9, 4, 5)
    assert "it would take 5 seeds, up to 5 hours" in told(5, 4, 4)
    assert "more than 1,000 seeds" in told(5, 4)


def test_seeds_are_told_for_what_is_undecided(tables):
    assert tables.needed(verdict(seeds_needed=9)) == ""
    assert tables.needed(verdict(verdict="undecided", seeds_needed=9)) == "9"
    assert tables.needed(verdict(verdict="undecided")) == "–"


def test_every_readme_of_a_study_and_every_paper_has_its_marks():
    for readme in (ROOT / "src" / "bequest" / "studies").glob("*/README.md"):
        # Both, or none where the table stands otherwise.
        assert len(re.findall(r"<!-- (?:end of )?claims -->", readme.read_text())) in (0, 2), readme
    papers = (ROOT / "docs" / "papers.md").read_text()
    for name in re.findall(r"<!-- end of (\S+) -->", papers):
        assert (ROOT / "src" / "bequest" / "studies" / name.replace("-", "_")).is_dir()
