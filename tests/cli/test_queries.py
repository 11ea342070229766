"""``bequest theory queries``: the contract of the output, and every fault at once."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from bequest.cli.theory import app
from bequest.errors import ConfigError, NotConverged

RUNNER = CliRunner()
WORLD = [
    *("queries", "--alpha", "2", "--shares", ".5,.5", "--signal", "1,0", "--variances", "1,1e-4"),
    *("--lambda-teacher", ".3,1e4", "--lambda-student", ".01,.01", "--start", "20"),
]
ASKED = ["--group", "2:1:1,1e-4", "--group", ".5:0:1,1", "--test", "shifted=1:1,1"]


def run(*arguments, code=0):
    result = RUNNER.invoke(app, [str(a) for a in arguments])
    if code == 0:
        assert result.exit_code == 0, result.output + repr(result.exception)
    return result


def faults(*arguments):
    error = run(*arguments, code=2).exception
    assert isinstance(error, ConfigError)
    return error.faults


def test_json_has_order_parameters_by_block_and_what_was_tested():
    result = json.loads(run(*WORLD, *ASKED, "--json").output)
    assert list(result) == ["teacher", "student", "status", "handed_over", "steps", "residual", "tests"]
    assert list(result["student"]) == ["m", "q", "v", "b", "overlap"]
    assert result["status"] == "converged"
    # The fact sheet's row "2 + .5 noise".
    assert result["tests"]["training"]["student_error"] == pytest.approx(0.1956, abs=1e-4)
    assert result["tests"]["shifted"]["student_error"] == pytest.approx(0.3017, abs=1e-4)
    assert result["tests"]["shifted"]["teacher_error"] == pytest.approx(0.1936, abs=1e-4)


def test_a_simulation_can_stand_beside_it():
    options = ["--seeds", 3, "--inputs", 60]
    result = json.loads(run(*WORLD, *ASKED, *options, "--json").output)
    simulated = result["simulation"]["shifted"]["student_error"]
    assert simulated["n"] == 3
    assert 0 < simulated["mean"] < 0.5
    text = run(*WORLD, *ASKED, *options).output
    assert "simulated" in text
    assert "on inputs: shifted" in text


def test_a_group_can_ask_for_decisions_give_labels_and_weigh_teachers():
    groups = ["--group", "2:1:1,1e-4:hard", "--group", "1:1:1,1:mix=0.5:teachers=1,0"]
    result = json.loads(run(*WORLD, *groups, "--also-teacher", "1,1", "--json").output)
    assert len(result["more_teachers"]) == 1


def test_the_teachers_own_inputs_can_be_a_group():
    assert "converged" in run(*WORLD, "--group", "training").output


def test_what_is_handed_over_whole_is_said():
    free = ["--lambda-student", "0,0", "--group", "2:1:1,1"]
    assert "everything is handed over" in run(*WORLD, *free).output


def test_a_point_without_a_minimiser_is_named():
    few = [*WORLD, "--lambda-student", "0,0", "--group", "0.2:1:1,1"]
    failed = run(*few, "--json", code=3)
    assert failed.exit_code == 3
    assert json.loads(failed.output)["status"] == "undetermined"
    assert isinstance(run(*few, code=3).exception, NotConverged)


def test_every_text_that_is_wrong_is_named_at_once():
    wrong = ["--shares", "a", "--temperature", "warm", "--group", "1:1", "--group", "1:1:1,1:cold"]
    assert faults(*WORLD, *wrong, "--test", "1:1,1", "--seeds", "-1") == (
        "--shares: must be numbers separated by commas (got 'a')",
        "--temperature: must be a number (got 'warm')",
        "--group: must be ALPHA:CENTRE:VARIANCES (got '1:1')",
        "--group: must end in hard, mix=X or teachers=A,B (got 'cold')",
        "--test: must be NAME=CENTRE:VARIANCES (got '1:1,1')",
        "--seeds and --inputs: must be at least 0 and 1 (got -1 and 1000)",
    )


def test_numbers_that_do_not_fit_are_named_at_once():
    assert faults(*WORLD) == ("groups: must have at least one group of inputs to learn on",)
    assert faults(*WORLD, "--group", "1:1:1", "--start", "-1") == (
        "groups[0].variances: must have an entry for each of 2 blocks (got (1.0,))",
        "start: must be ≥ 0 (got -1)",
    )
