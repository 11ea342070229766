"""``bequest theory``: the contract of the output, every fault at once, files that other programs read."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import xml.etree.ElementTree as ET

import pytest
from typer.testing import CliRunner

from bequest.cli.ranges import parse_range
from bequest.cli.theory import app
from bequest.errors import ConfigError, NotConverged

RUNNER = CliRunner()
POINT = [
    *("--alpha", "2", "--delta", "1", "--rho", ".2", "--lambda-teacher", "1", "--lambda-student", ".001"),
    *("--eta", ".7", "--mix", "1", "--temperature", "1"),
]


def run(*arguments, code=0):
    result = RUNNER.invoke(app, [str(a) for a in arguments])
    if code == 0:
        assert result.exit_code == 0, result.output + repr(result.exception)
    return result


def faults(*arguments):
    error = run(*arguments, code=2).exception
    assert isinstance(error, ConfigError)
    assert error.exit_code == 2
    return error.faults


def test_a_point_has_the_keys_and_the_values_of_the_contract():
    found = json.loads(run("point", *POINT, "--json").output)
    assert list(found) == ["teacher", "student", "status", "steps", "residual"]
    assert list(found["teacher"]) == ["m", "q", "v", "b", "error"]
    assert list(found["student"]) == ["m", "q", "v", "b", "overlap", "response", "error"]
    assert found["status"] == "converged"
    assert found["residual"] <= 1e-9
    # The reference table of the project's fact sheet, 41 × 41 nodes.
    assert round(found["teacher"]["error"], 5) == 0.19278
    expected = {"error": 0.19255, "m": 0.33668, "q": 0.34056, "overlap": 0.23230, "b": -1.31756}
    assert {name: round(found["student"][name], 5) for name in expected} == expected


def test_a_point_is_shown_with_what_no_learner_can_beat():
    text = run("point", *POINT).output
    assert "χ=1" in text
    assert "least error" in text
    assert "0.19255" in text


def test_every_fault_of_a_point_is_named_at_once():
    found = faults(
        *("point", "--alpha", "x", "--delta", "0", "--rho", "1.5", "--lambda-teacher", "-1", "--eta", "0"),
        *("--mix", "2", "--temperature", "inf", "--teacher-loss", "hinge", "--target", "warm"),
        *("--accuracy", "0"),
    )
    assert found == (
        "--alpha: must be a number (got 'x')",
        "--lambda-student: is required",
        "--delta: must be > 0 (got 0)",
        "--rho: must be in (0, 1) (got 1.5)",
        "--lambda-teacher: must be ≥ 0 (got -1)",
        "--eta: must be in (0, 1] (got 0)",
        "--mix: must be in [0, 1] (got 2)",
        "--temperature: must be finite (got inf)",
        "--teacher-loss: must be logistic or square (got 'hinge')",
        "--target: must be soft or hard (got 'warm')",
        "--accuracy: must be in [1e-12, 0.01] (got 0)",
    )


def test_a_point_is_one_number_a_parameter():
    assert faults("point", *POINT, "--eta", "0.5,0.7") == ("--eta: must be one number",)


def test_a_point_without_a_minimiser_is_named():
    separable = ["point", "--alpha", 1, "--lambda-teacher", 0, "--lambda-student", 1]
    failed = run(*separable, "--json", code=3)
    assert failed.exit_code == 3
    assert json.loads(failed.output)["status"] == "separable"
    assert isinstance(run(*separable, code=3).exception, NotConverged)


def test_a_sweep_is_a_table_and_a_chart(tmp_path):
    table, chart = tmp_path / "sweep.csv", tmp_path / "sweep.svg"
    run("sweep", *POINT, "--lambda-teacher", "0.1:10:5:log", "-o", table, "--chart", chart)
    with table.open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["lambda_teacher"]) for row in rows] == pytest.approx([0.1, 10**-0.5, 1, 10**0.5, 10])
    assert float(rows[2]["student_error"]) == pytest.approx(0.19255, abs=5e-6)
    assert {row["status"] for row in rows} == {"converged"}
    texts = [text.text for text in ET.parse(chart).iter("{http://www.w3.org/2000/svg}text")]
    assert {"teacher", "student", "Bayes-optimal", "λₜ"} <= {text.split(",")[0] for text in texts}


def test_a_sweep_over_two_parameters_is_a_map(tmp_path):
    chart = tmp_path / "map.svg"
    options = ("--lambda-teacher", "0.1:10:4:log", "--eta", "0.5:1:3", "--observable", "agreement")
    rows = json.loads(run("sweep", *POINT, *options, "--chart", chart, "--json").output)["rows"]
    assert len(rows) == 12
    assert chart.read_text().count('shape-rendering="crispEdges"') == 12
    assert "agreement" in chart.read_text()


def test_a_sweep_on_the_screen_is_csv_and_names_what_has_no_solution():
    found = run("sweep", "--alpha", "1,8", "--lambda-teacher", 0, "--lambda-student", 1)
    assert [line.split(",")[8] for line in found.stdout.splitlines()] == ["status", "separable", "converged"]
    assert "1 of 2 points have no solution: separable" in found.stderr


def test_every_fault_of_a_sweep_is_named_at_once(tmp_path):
    found = faults(
        *(
            "sweep",
            "--alpha",
            "1:2",
            "--lambda-teacher",
            "0:1:3:log",
            "--lambda-student",
            "1,2",
            "--eta",
            "1,.5",
        ),
        *("--mix", "0,1", "-o", tmp_path / "x.txt", "--chart", tmp_path / "x.pdf", "--observable", "eror"),
    )
    assert found[0].startswith("--alpha: must be START:STOP:COUNT")
    assert found[1] == "--lambda-teacher: a logarithmic range must lie above 0 (got '0:1:3:log')"
    assert found[2] == "--lambda-student, --eta, --mix: at most 2 of them may have several values"
    assert found[3] == "--observable: there is no observable 'eror'; did you mean 'error'?"
    assert found[4].startswith("--out: must end in .csv or .parquet")
    assert found[5].startswith("--chart:")
    assert len(found) == 6
    assert not list(tmp_path.iterdir())


def test_a_sweep_must_sweep():
    assert faults("sweep", *POINT) == (
        "no parameter is swept: give one or two of them as START:STOP:COUNT or A,B,C",
    )


def test_parquet_is_written_or_its_package_named(tmp_path):
    options = ("sweep", *POINT, "--eta", "0.5,1", "-o", tmp_path / "sweep.parquet")
    try:
        from pyarrow import parquet
    except ImportError:
        assert "needs pyarrow" in faults(*options)[0]
        return
    run(*options)
    assert parquet.read_table(tmp_path / "sweep.parquet").column("eta").to_pylist() == [0.5, 1.0]


def test_a_simulation_stands_beside_theory():
    options = ("simulate", *POINT, "--inputs", 100, "--seeds", 6, "--samples", 500)
    found = json.loads(run(*options, "--json").output)
    assert found["point"]["eta"] == 0.7
    row = next(r for r in found["compared"] if (r["learner"], r["observable"]) == ("student", "error"))
    assert row["theory"] == pytest.approx(0.19255, abs=5e-6)
    gap = row["theory"] - row["simulation"]["mean"]
    assert row["deviation"] == pytest.approx(gap / row["simulation"]["standard_error"])
    assert row["simulation"]["n"] == 6
    assert "largest deviation" in run(*options).output


def test_the_faults_of_a_simulation_come_together():
    assert faults("simulate", *POINT, "--rho", "2", "--inputs", "0", "--seeds", "-1") == (
        "--rho: must be in (0, 1) (got 2)",
        "--inputs: must be at least 1 (got 0)",
        "--seeds: must be at least 1 (got -1)",
    )


@pytest.mark.parametrize("text", ["", "a", "1:2", "1:2:1", "1:2:3:lin", "1,b", "1:2:3:log:log"])
def test_what_is_no_range_is_refused(text):
    with pytest.raises(ValueError, match="must be"):
        parse_range(text)


def test_a_point_needs_no_torch():
    arguments = ["theory", "point", *POINT, "--json"]
    code = (
        "import sys\nfrom bequest.cli.main import app\n"
        f"try:\n    app({arguments!r})\nexcept SystemExit:\n    sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, timeout=60, capture_output=True)
    assert done.returncode == 0, done.stderr


def test_the_optimum_of_two_penalties_is_that_of_the_library():
    options = ("optimise", "--over", "lambda-teacher,lambda_student", "--alpha", 2, "--rho", ".2")
    result = json.loads(run(*options, "--json").output)
    # docs/theory.md: the best student of any teacher, λₜ = λₛ = 0.066.
    assert result["value"] == pytest.approx(0.1585, abs=5e-5)
    assert result["values"]["lambda_teacher"] == pytest.approx(0.066, abs=1e-3)
    assert result["settled"]
    assert "student's error: 0.158" in run(*options).output


def test_an_optimum_may_be_a_greatest_within_bounds():
    options = ("optimise", "--over", "lambda_teacher", "--learner", "teacher", "--alpha", 2, "--rho", ".2")
    limits = ("--bounds", "lambda_teacher=1:4", "--greatest", "--json")
    result = json.loads(run(*options, *limits).output)
    assert result["at_bound"] == {"lambda_teacher": True}
    assert result["values"]["lambda_teacher"] == pytest.approx(4.0, rel=1e-2)


def test_every_fault_of_an_optimum_is_named_at_once():
    assert faults(
        *("optimise", "--over", "mix", "--mix", ".5", "--alpha", "2", "--lambda-teacher", "1"),
        *("--learner", "nobody", "--bounds", "mix"),
    ) == (
        "--lambda-student: is required",
        "--bounds: must be NAME=LOW:HIGH (got 'mix')",
        "--mix: is optimised, and cannot be set too",
        "--learner: must be teacher or student (got 'nobody')",
    )
    assert faults(
        "optimise", "--over", "eta", "--alpha", 2, "--lambda-teacher", 1, "--lambda-student", 1
    ) == ("over: must be of lambda_teacher, lambda_student, mix, temperature (got 'eta')",)
