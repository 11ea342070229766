"""The arms of a study in relation to each other."""

from __future__ import annotations

import pytest

from bequest.distill.objectives import KD, CrossEntropy
from bequest.runs.planning import planned
from bequest.studies.arms import Arms
from bequest.studies.parsing import parse_study


def arms_of(content):
    return planned(content).arms


def test_controls_are_self_taught_on_the_same_queries_else_plain(tiny):
    arms = arms_of(tiny)
    assert arms.control == {"cnn": None, "mlp": None, "mlp<-mlp": "mlp", "mlp<-cnn": "mlp<-mlp"}
    roles = {arm.name: arm.role for arm in arms.records()}
    assert roles == {"cnn": "teacher", "mlp": "control", "mlp<-mlp": "control", "mlp<-cnn": "taught"}
    del tiny["arms"]["mlp<-mlp"]["queries"]
    assert arms_of(tiny).control["mlp<-cnn"] == "mlp"


def test_an_arm_may_choose_its_control(tiny):
    tiny["arms"]["mlp<-cnn"]["control"] = "cnn"
    tiny["arms"]["mlp"]["control"] = "cnn"
    control = arms_of(tiny).control
    assert (control["mlp<-cnn"], control["mlp"]) == ("cnn", "cnn")


def test_online_arms_have_online_controls(tiny):
    for name in ("mlp<-cnn", "mlp<-mlp"):
        tiny["arms"][f"{name} online"] = {**tiny["arms"][name], "mode": "online"}
    control = arms_of(tiny).control
    assert control["mlp<-cnn online"] == "mlp<-mlp online"
    assert control["mlp<-cnn"] == "mlp<-mlp"


def test_an_arm_is_set_beside_its_teachers_with_its_control_and_plain_form(tiny):
    arms = arms_of(tiny)
    assert arms.taught == [("mlp<-cnn", "mlp<-mlp", "cnn")]
    assert set(arms.pairs) == {("mlp<-mlp", "mlp"), ("mlp<-cnn", "cnn"), ("mlp<-mlp", "cnn"), ("mlp", "cnn")}
    assert len(arms.pairs) == 4


def test_a_student_that_was_taught_the_labels_of_the_queries_is_no_control(tiny):
    queries = tiny["arms"]["mlp<-cnn"]["queries"]
    labels = {"student": "mlp", "queries": queries}
    equal = {**tiny["arms"]["mlp<-mlp"], "teachers": ["mlp+labels"]}
    first = {"mlp+labels": labels, "mlp<-mlp+labels": equal}
    tiny["arms"] = {"cnn": {"student": "cnn"}, "mlp": {"student": "mlp"}, **first, **tiny["arms"]}
    arms = arms_of(tiny)
    assert arms.control["mlp<-cnn"] == "mlp<-mlp"
    # All that train an MLP on queries stand beside the CNN, and no arm beside itself.
    assert {("mlp+labels", "cnn"), ("mlp<-mlp+labels", "cnn"), ("mlp<-mlp+labels", "mlp+labels")} <= set(
        arms.pairs
    )
    assert all(arm != teacher for arm, teacher in arms.pairs)
    del tiny["arms"]["mlp<-mlp"], tiny["claims"]
    assert arms_of(tiny).control["mlp<-cnn"] == "mlp<-mlp+labels"


def test_arms_aside_and_of_the_source_task_are_not_shown(tiny):
    tiny["source"] = {"name": "digits"}
    tiny["arms"]["cnn source"] = {"student": "cnn", "task": "source"}
    tiny["arms"]["mlp<-mlp"]["aside"] = True
    tiny["measures"] = {"charted": ["mlp", "mlp<-mlp"]}
    arms = arms_of(tiny)
    assert arms.shown == ["cnn", "mlp", "mlp<-cnn"]
    assert arms.charted == ["mlp"]
    assert [arm.name for arm in arms.records()] == arms.shown
    assert [arm.charted for arm in arms.records()] == [False, True, False]


def test_the_order_has_teachers_first_and_plain_students_before_taught_ones(tiny):
    tiny["arms"] = dict(reversed(tiny["arms"].items()))
    arms = arms_of(tiny)
    place = {arm: k for k, arm in enumerate(arms.order)}
    assert sorted(place) == sorted(tiny["arms"])
    assert all(place[needed] < place[arm] for arm in place for needed in arms.needed(arm))
    assert max(place["cnn"], place["mlp"]) < min(place["mlp<-mlp"], place["mlp<-cnn"])
    assert arms.circle == []


def test_a_circle_has_no_order_and_a_missing_arm_is_no_circle(tiny):
    tiny["arms"]["mlp"]["teachers"] = ["mlp<-mlp"]
    arms = Arms(parse_study(tiny)[0])
    assert (arms.order, arms.circle) == ([], ["mlp", "mlp<-mlp"])
    tiny["arms"]["mlp"]["teachers"] = ["nobody"]
    assert Arms(parse_study(tiny)[0]).circle == []


@pytest.mark.parametrize(("arm", "plain"), [("cnn", None), ("mlp<-mlp", None), ("mlp<-cnn", "mlp")])
def test_the_plain_arm_runs_first_unless_it_teaches_alone(tiny, arm, plain):
    assert arms_of(tiny).plain_cell_arm(arm) == plain


def test_objectives_follow_from_teachers_and_are_named(tiny):
    terms = [{"name": "cross_entropy"}, {"name": "kd", "temperature": 2.0}]
    tiny["arms"]["mlp<-cnn"]["objective"] = terms
    arms = arms_of(tiny)
    assert arms.objective("mlp") == CrossEntropy()
    assert arms.objective("mlp<-mlp") == KD(temperature=4.0)
    named = {arm.name: arm.objective for arm in arms.records()}
    assert named["mlp<-mlp"] == "kd"
    assert named["mlp<-cnn"] == "cross_entropy + kd"
