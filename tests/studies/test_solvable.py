"""Studies of the solvable model: settings from arms and places, cells, measurements with oracles."""

from __future__ import annotations

import json

import numpy as np
import pytest

import bequest as bq
from bequest.config import to_toml
from bequest.errors import ConfigError
from bequest.files import read_json
from bequest.records import Curve, Measurement, read_records
from bequest.report import write_report
from bequest.studies.cells import cell_folder
from bequest.studies.plan import make_plan, read_study, resolve
from bequest.studies.runner import planned
from bequest.studies.solvable import axis_values, chain_of, setting_at, settings_of
from bequest.studies.spec import AxisSpec, StudySpec
from bequest.theory import Mixture, error, law, simulate, solve

SMALL = {
    "name": "solvable",
    "title": "Solvable",
    "question": "Is it solved?",
    "seeds": 3,
    "theory": {
        "alpha": 2.0,
        "rho": 0.2,
        "inputs": 40,
        "samples": 200,
        "observables": ["error", "agreement"],
        "charts": {
            "penalty": {
                "title": "penalty",
                "arms": ["teacher", "plain", "student"],
                "x": {
                    "parameter": "teacher.penalty",
                    "title": "λ",
                    "start": 0.1,
                    "stop": 10,
                    "count": 3,
                    "log": True,
                },
                "simulated": [0.1, 1.0],
                "bayes": True,
            },
            "plane": {
                "title": "plane",
                "arms": ["student"],
                "less": "plain",
                "x": {"parameter": "*.eta", "title": "η", "start": 0.5, "stop": 1, "count": 3},
                "y": {"parameter": "alpha", "title": "α", "start": 1, "stop": 4, "count": 2},
            },
        },
    },
    "splits": {
        "base": {"description": "as it is"},
        "weak": {"description": "weak", "at": {"teacher.penalty": 0.1}},
    },
    "arms": {
        "teacher": {"student": "big", "learner": {"penalty": 1.0}},
        "plain": {"student": "small", "learner": {"penalty": 0.1, "eta": 0.5}},
        "student": {"student": "small", "teachers": ["teacher"], "learner": {"penalty": 0.1, "eta": 0.5}},
    },
    "claims": [
        {
            "id": "worse",
            "text": "The weak teacher errs more.",
            "source": "nowhere",
            "measure": "error",
            "arm": "teacher",
            "split": "weak",
            "against": "teacher",
            "against_split": "base",
        }
    ],
}


def spec():
    return StudySpec.parse(SMALL, "a test")


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    folder = tmp_path_factory.mktemp("solvable")
    (folder / "study.toml").write_text(to_toml(SMALL))
    return folder, bq.run(folder / "study.toml", out=folder / "run", workers=1)


def test_a_setting_lays_a_place_over_the_chain():
    at = {"teacher.penalty": 7.0, "alpha": 3.0, "small.eta": 0.25}
    setting = setting_at(spec(), "student", at)
    assert setting.mixture == {"alpha": 3.0, "delta": 1.0, "rho": 0.2}
    teacher, student = setting.learners
    assert (teacher["penalty"], teacher["eta"], teacher["mix"]) == (7.0, 1.0, 0.0)
    assert (student["penalty"], student["eta"], student["mix"], student["teachers"]) == (0.1, 0.25, 1.0, [0])
    assert setting_at(spec(), "plain", {"*.mix": 0.3, "teacher.penalty": 9}) == setting_at(
        spec(), "plain", {}
    )


def test_settings_that_are_equal_are_simulated_once():
    assert len(settings_of(spec(), "plain")) == 1
    assert len(settings_of(spec(), "student")) == 2  # both dots of the chart are splits
    chained = {
        **SMALL["arms"],
        "next": {"student": "small", "teachers": ["student", "teacher"], "learner": {}},
    }
    assert chain_of(StudySpec.parse({**SMALL, "arms": chained}, "a test"), "next") == [
        "teacher",
        "student",
        "next",
    ]


def test_an_axis_ends_where_it_says():
    axis = AxisSpec(parameter="rho", title="ρ", start=0.01, stop=1, count=3, log=True)
    assert axis_values(axis).tolist() == [0.01, 0.1, 1.0]


def test_a_cell_holds_what_simulate_gives(done):
    folder, result = done
    assert result.trained == 9
    assert result.failed == ()
    plan = planned(folder / "study.toml")
    setting = setting_at(plan.study, "student", {})
    found = read_json(cell_folder(folder / "run", plan.cell("student", 2).id).simulation)[setting.key]
    run = simulate(
        Mixture(2.0, 1.0, 0.2),
        lambda_teacher=1.0,
        lambda_student=0.1,
        eta=0.5,
        inputs=40,
        seeds=[2],
        samples=200,
    )
    assert found == {name: value[0] for name, value in run.measured[-1].items()}


def test_measurements_are_simulations_beside_theory(done):
    folder, _ = done
    by_name = {
        (m.measure, m.arm, m.split): m
        for m in read_records(folder / "run" / "measurements.json", Measurement)
    }
    theory = float(error(law(solve(Mixture(2, 1, 0.2), lambda_teacher=1, lambda_student=0.1, eta=0.5))))
    simulated, known, gap = (
        by_name[name, "student", "base"] for name in ("error", "error_in_theory", "error_off_theory")
    )
    assert known.value == pytest.approx(theory, abs=1e-6)
    assert simulated.n == 3
    assert gap.value == pytest.approx(simulated.value - theory, abs=1e-6)
    assert ("agreement", "teacher", "base") not in by_name
    assert ("agreement", "student", "weak") in by_name
    assert by_name["inheritance/error", "student", "base"].teacher == "teacher"


def test_charts_are_lines_dots_and_maps(done):
    folder, _ = done
    curves = read_records(folder / "run" / "curves.json", Curve)
    drawn = [(c.chart, c.arm, c.kind, len(c.points)) for c in curves]
    for arm in ("teacher", "plain", "student"):
        assert ("theory/penalty", arm, "line", 3) in drawn
        assert ("theory/penalty", arm, "points", 2) in drawn
    assert ("theory/penalty", "Bayes-optimal", "line", 3) in drawn
    (plane,) = [c for c in curves if c.kind == "map"]
    values = {(p.x, p.y): p.z for p in plane.points}
    assert len(values) == 6
    point = {"lambda_teacher": 1, "lambda_student": 0.1, "eta": 0.5}
    assert solve(Mixture(4, 1, 0.2), **point).converged
    assert plane.z_title == "test error less that of: plain"
    line = next(c for c in curves if (c.arm, c.kind) == ("teacher", "line"))
    assert [p.x for p in line.points] == [0.1, 1.0, 10.0]
    assert np.isfinite([p.y for p in line.points]).all()


def test_the_claim_compares_places_and_the_page_is_drawn(done):
    folder, _ = done
    (claim,) = read_json(folder / "run" / "claims.json")
    assert claim["contrast"].startswith("error on weak: teacher − teacher on base")
    assert claim["n"] == 3
    page = write_report(folder / "run").read_text()
    assert 'class="cell"' in page
    assert "Bayes-optimal" in page


def test_the_same_command_again_draws_nothing(done):
    folder, _ = done
    assert bq.run(folder / "study.toml", out=folder / "run").trained == 0


def test_a_chosen_arm_keeps_the_charts_that_it_is_in():
    plan = make_plan(resolve(SMALL, arms=["plain"]), scale="small")
    assert [cell.arm for cell in plan.cells] == ["plain"] * 3
    assert plan.study.theory.charts == {}
    assert plan.study.splits["weak"].at == {}
    plan = make_plan(resolve(SMALL, arms=["student"]), scale="small")
    assert plan.study.theory.charts["penalty"].arms == ("teacher", "student")
    assert list(plan.study.theory.charts) == ["penalty"]
    assert plan.study.splits["weak"].at == {"teacher.penalty": 0.1}


def test_every_fault_is_named_at_once():
    wrong = json.loads(json.dumps(SMALL))
    wrong["arms"]["plain"].pop("learner")
    wrong["splits"]["weak"]["at"] = {"nobody.penalty": 1.0, "gamma": 2.0, "teacher.loss": 1.0}
    wrong["theory"]["charts"]["penalty"]["arms"] = ["pupil"]
    wrong["theory"]["charts"]["plane"]["simulated"] = [1.0]
    wrong["claims"][0]["against_split"] = "strong"
    with pytest.raises(ConfigError) as caught:
        make_plan(wrong, scale="small")
    text = str(caught.value)
    for part in (
        *("arms.plain.learner", "'nobody.penalty'", "'gamma'", "'teacher.loss'", "no arm 'pupil'"),
        *("a map is theory alone", "no split 'strong'"),
    ):
        assert part in text


def test_a_study_needs_data_or_the_model():
    with pytest.raises(ConfigError, match="must name a dataset"):
        make_plan({**SMALL, "theory": None} | {}, scale="small")


def test_the_bundled_study_has_no_fault_at_any_scale():
    raw = read_study("saglietti2020")
    for scale in ("smoke", "small", "paper"):
        plan = make_plan(resolve(raw, scale=scale), scale=scale)
        assert len(plan.study.claims) >= 8
        assert len(plan.study.theory.charts) >= 7


@pytest.mark.slow
def test_the_bundled_study_runs_at_smoke_scale(tmp_path):
    result = bq.run("saglietti2020", scale="smoke", out=tmp_path / "run", workers=2)
    assert result.failed == ()
    verdicts = {claim["id"]: claim["verdict"] for claim in read_json(tmp_path / "run" / "claims.json")}
    assert len(verdicts) == 16
    assert "contradicted" not in verdicts.values()
    assert (write_report(tmp_path / "run")).stat().st_size < 2_000_000
