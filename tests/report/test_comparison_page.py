from __future__ import annotations

import pytest

from bequest.errors import RunFolderError
from bequest.report.comparison_page import write_comparison


def test_one_page_has_all_runs(two, tmp_path):
    page = write_comparison(two)
    assert page == two[0] / "comparison.html"
    text = page.read_text()
    assert text.count('class="answer"') == 2
    assert "−0.125" in text
    assert "MLP ← CNN, views · translated" in text
    assert "Only one run has these arms: cnn&lt;-mlp." in text
    assert write_comparison(two[::-1], tmp_path / "c.html") == tmp_path / "c.html"


def test_runs_of_other_questions_are_compared_too(two, folder_of, theory_study):
    text = write_comparison([two[0], folder_of(theory_study)]).read_text()
    assert "<h1>2 runs compared</h1>" in text


def test_a_damaged_run_is_named(two):
    (two[1] / "claims.json").write_text("[]")
    with pytest.raises(RunFolderError, match=r"second/run/claims\.json is damaged"):
        write_comparison(two)
