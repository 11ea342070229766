"""Studies of the solvable model: points from arms and places, charts, faults."""

from __future__ import annotations

import numpy as np
import pytest

import bequest as bq
from bequest.config import content_hash
from bequest.errors import ConfigError
from bequest.files import read_json
from bequest.report import write_report
from bequest.runs.planning import planned
from bequest.studies.resolving import resolve
from bequest.studies.solvable import ModelPoint, axis_values, chain_of, model_point, model_points, stacked
from bequest.studies.solvable_spec import AxisSpec
from bequest.theory import Learner, Mixture


@pytest.fixture
def study(solvable):
    return planned(solvable).study


def test_a_point_lays_a_place_over_the_chain(study):
    at = {"teacher.penalty": 7.0, "alpha": 3.0, "small.eta": 0.25}
    point = model_point(study, "student", at)
    assert point.mixture == {"alpha": 3.0, "delta": 1.0, "rho": 0.2}
    teacher, student = point.learners
    assert (teacher["penalty"], teacher["eta"], teacher["mix"]) == (7.0, 1.0, 0.0)
    assert (student["penalty"], student["eta"], student["mix"], student["teachers"]) == (0.1, 0.25, 1.0, [0])
    untouched = model_point(study, "plain", {"*.mix": 0.3, "teacher.penalty": 9})
    assert untouched == model_point(study, "plain", {})


def test_points_that_are_equal_are_simulated_once(solvable, study):
    assert len(model_points(study, "plain")) == 1
    assert len(model_points(study, "student")) == 2  # both dots of the chart are splits
    solvable["arms"]["next"] = {"student": "small", "teachers": ["student", "teacher"], "learner": {}}
    assert chain_of(planned(solvable).study, "next") == ["teacher", "student", "next"]


def test_a_point_is_the_same_after_json_and_builds_what_theory_takes(study):
    point = model_point(study, "student", {"alpha": 3.0})
    again = ModelPoint.of(point.plain())
    assert (again, again.key) == (point, point.key)
    assert point.key == content_hash({"mixture": point.mixture, "learners": list(point.learners)})
    assert point.key != model_point(study, "student", {"alpha": 3.5}).key
    mixture, learners = point.built()
    assert mixture == Mixture(3.0, 1.0, 0.2)
    assert [(type(learner), learner.penalty) for learner in learners] == [(Learner, 1.0), (Learner, 0.1)]


def test_stacked_points_are_one_with_arrays(study):
    points = [model_point(study, "student", {"alpha": alpha, "student.eta": 0.5}) for alpha in (1.0, 4.0)]
    both = stacked(points)
    np.testing.assert_array_equal(both.mixture["alpha"], [1.0, 4.0])
    np.testing.assert_array_equal(both.learners[1]["eta"], [0.5, 0.5])
    assert both.learners[1]["teachers"] == [0]


def test_an_axis_ends_where_it_says():
    axis = AxisSpec(parameter="rho", title="ρ", start=0.01, stop=1, count=3, log=True)
    assert axis_values(axis).tolist() == [0.01, 0.1, 1.0]
    assert axis_values(axis.model_copy(update={"log": False, "start": 0.0})).tolist() == [0.0, 0.5, 1.0]


def test_a_cell_holds_its_points_and_needs_no_other(solvable):
    plan = planned(solvable)
    cell = plan.cell("student", 2)
    assert cell.requires == set()
    keys = {ModelPoint.of(plain).key for plain in cell.config.points}
    assert keys == {point.key for point in model_points(plan.study, "student")}
    assert (cell.config.inputs, cell.config.samples) == (40, 200)
    solvable["theory"]["charts"]["penalty"]["title"] = "another title"
    assert planned(solvable).cell("student", 2).id == cell.id
    solvable["theory"]["charts"]["penalty"]["simulated"] = [0.1, 10.0]
    other = planned(solvable)
    changed = {
        arm for arm in ("teacher", "plain", "student") if other.cell(arm, 2).id != plan.cell(arm, 2).id
    }
    assert changed == {"teacher", "student"}


def test_a_chosen_arm_keeps_the_charts_that_it_is_in(solvable):
    plan = planned(solvable, arms=["plain"])
    assert [cell.arm for cell in plan.cells] == ["plain"] * 3
    assert plan.study.theory.charts == {}
    assert plan.study.splits["weak"].at == {}
    plan = planned(solvable, arms=["student"])
    assert plan.study.theory.charts["penalty"].arms == ("teacher", "student")
    assert list(plan.study.theory.charts) == ["penalty"]
    assert plan.study.splits["weak"].at == {"teacher.penalty": 0.1}


def test_places_of_the_wrong_form_are_left_to_the_check(solvable):
    solvable["splits"] = "everywhere"
    assert resolve(solvable, arms=["plain"])["splits"] == "everywhere"
    with pytest.raises(ConfigError, match="splits: "):
        planned(solvable, arms=["plain"])


def test_every_fault_is_named_at_once(solvable):
    solvable["arms"]["plain"].pop("learner")
    solvable["splits"]["weak"]["at"] = {"nobody.penalty": 1.0, "gamma": 2.0, "teacher.loss": 1.0}
    solvable["theory"]["charts"]["penalty"]["arms"] = ["pupil"]
    solvable["theory"]["charts"]["penalty"]["x"]["start"] = 0.0
    solvable["theory"]["charts"]["plane"]["simulated"] = [1.0]
    solvable["claims"][0]["against_split"] = "strong"
    with pytest.raises(ConfigError) as caught:
        planned(solvable)
    text = str(caught.value)
    for part in (
        *("arms.plain.learner", "'nobody.penalty'", "'gamma'", "'teacher.loss'", "no arm 'pupil'"),
        *(
            "a map shows theory only",
            "no split 'strong'",
            "teacher.penalty on a logarithmic axis must lie above 0",
        ),
    ):
        assert part in text


def test_arms_that_are_not_there_are_named(solvable):
    solvable["arms"]["student"] |= {"teachers": ["nobody"], "control": "noone"}
    with pytest.raises(ConfigError) as caught:
        planned(solvable)
    assert "arms.student.teachers: there is no arm 'nobody'" in str(caught.value)
    assert "arms.student.control: there is no arm 'noone'" in str(caught.value)


def test_a_study_needs_data_or_the_model(solvable):
    with pytest.raises(ConfigError, match="must name a dataset"):
        planned({**solvable, "theory": None})


def test_the_bundled_study_has_no_fault_at_any_scale():
    for scale in ("smoke", "small", "paper"):
        plan = planned("saglietti2020", scale=scale)
        assert len(plan.study.claims) >= 8
        assert len(plan.study.theory.charts) >= 7


@pytest.mark.slow
def test_the_bundled_study_runs_at_smoke_scale(tmp_path):
    result = bq.run("saglietti2020", scale="smoke", out=tmp_path / "run", workers=2)
    assert result.failed == ()
    verdicts = {claim["id"]: claim["verdict"] for claim in read_json(tmp_path / "run" / "claims.json")}
    assert len(verdicts) == 24
    assert "contradicted" not in verdicts.values()
    assert (write_report(tmp_path / "run")).stat().st_size < 2_000_000
