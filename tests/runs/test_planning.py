"""From a study's name, file or content to its checked plan."""

from __future__ import annotations

import pytest

from bequest.errors import ConfigError, UnknownName
from bequest.runs.planning import planned


def test_a_study_is_a_name_a_file_or_its_content(tiny, write_study):
    path = write_study(tiny)
    assert planned(path).hash == planned(str(path)).hash == planned(tiny).hash
    assert planned("digits", scale="smoke").study.name == "digits"
    assert planned(tiny, scale="smoke").scale == "smoke"


def test_a_content_that_is_planned_is_not_changed(tiny):
    before = repr(tiny)
    planned(tiny, arms=["mlp"], seeds=1, settings=["recipe.lr=0.5"])
    assert repr(tiny) == before


def test_one_file_stands_for_a_list_of_one(tiny, tmp_path):
    part = tmp_path / "part.py"
    part.write_text("")
    for file in (part, str(part)):
        assert planned(tiny, use=file).hash == planned(tiny, use=[part]).hash


@pytest.mark.parametrize("study", [None, 3, ["digits"]])
def test_what_is_no_study_is_refused(study):
    with pytest.raises(ConfigError, match=f"expected a name, a path or a table, got {type(study).__name__}"):
        planned(study)


def test_faults_name_the_study(tiny, write_study):
    tiny["seeds"] = 0
    with pytest.raises(ConfigError, match="tiny: "):
        planned(tiny)
    path = write_study(tiny)
    with pytest.raises(ConfigError, match=f"{path}: "):
        planned(path)
    with pytest.raises(UnknownName):
        planned("digist")
