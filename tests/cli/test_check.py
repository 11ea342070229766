"""``bequest check``: every fault of a study at once, at each of its scales."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from bequest.cli.main import app
from bequest.errors import ConfigError


def check(*arguments):
    return CliRunner().invoke(app, ["check", *map(str, arguments)])


def test_a_sound_study_counts_its_cells_at_each_scale(tiny, write_study):
    result = check(write_study(tiny))
    assert result.exit_code == 0, result.output
    assert "at scale smoke: 4 cells, no errors" in result.output
    assert "at scale small: 8 cells, no errors" in result.output
    assert json.loads(check(write_study(tiny), "--json").stdout)["cells"] == {"smoke": 4, "small": 8}


def test_form_and_meaning_are_listed_together(tiny, write_study):
    del tiny["question"]
    tiny["arms"]["cnn"]["studnet"] = "cnn"
    tiny["arms"]["mlp<-cnn"]["teachers"] = ["cnm"]
    tiny["claims"][0]["measure"] = "acuracy"
    tiny["measures"] = {"profile": ["brierr"], "corruptions": ["fogg"]}
    result = check(write_study(tiny))
    assert isinstance(result.exception, ConfigError)
    text = str(result.exception)
    for fault in (
        "question: required and not given",
        "arms.cnn.studnet: unknown key; did you mean 'student'?",
        "arms.mlp<-cnn.teachers: there is no arm 'cnm'; did you mean 'cnn'?",
        "claims.better.measure: there is no measure 'acuracy'; did you mean 'accuracy'",
        "measures.profile: there is no measure 'brierr'; did you mean 'brier'",
        "measures.corruptions: there is no corruption 'fogg'; did you mean 'fog'?",
    ):
        assert fault in text, text


@pytest.mark.parametrize("scales", [3, [], "small", {"smoke": 3}])
def test_scales_of_another_form_are_one_message(scales, tiny, write_study):
    tiny["scales"] = scales
    assert isinstance(check(write_study(tiny)).exception, ConfigError)
