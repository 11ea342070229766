"""The user's own case as a study."""

from __future__ import annotations

import pytest

from bequest.runs.fine_tuning import fine_tuning_study
from bequest.runs.planning import planned


@pytest.fixture
def asked():
    return {
        "student": {"family": "cnn", "options": {"channels": [4], "pool_after": [1]}},
        "teacher": {"family": "mlp", "options": {"hidden": [16]}},
        "data": {"name": "digits"},
        "recipe": {"epochs": 2, "batch": 32, "lr": 0.001},
        "teacher_recipe": {"lr": 0.01},
        "objective": {"name": "kd", "temperature": 4.0, "label_weight": 0.3},
        "views": {"views": [{"name": "flip"}], "view_count": 2},
        "seeds": 2,
    }


def test_a_teacher_a_student_alone_and_a_student_under_it_on_equal_steps(asked):
    plan = planned(fine_tuning_study(**asked))
    assert [arm.name for arm in plan.arms.records()] == ["teacher", "alone", "taught"]
    assert plan.arms.control["taught"] == "alone"
    recipes = {arm: plan.study.recipe_of(arm) for arm in ("teacher", "alone", "taught")}
    assert recipes["alone"] == recipes["taught"]
    assert (recipes["teacher"].lr, recipes["alone"].lr) == (0.01, 0.001)
    assert {plan.study.arms[arm].queries for arm in recipes} == {"images"}
    assert {claim.id: claim.direction for claim in plan.study.claims} == {
        "accuracy": "above",
        "nll": "below",
        "ece": "below",
    }
    assert all((c.arm, c.against, c.split) == ("taught", "alone", "test") for c in plan.study.claims)
    assert list(plan.seeds) == [0, 1]


def test_a_teacher_as_it_is_keeps_its_head_and_takes_no_step(asked):
    asked["teacher"]["start"] = {"weights": "w.safetensors"}
    study = fine_tuning_study(**asked, as_is=True)
    assert study["models"]["teacher"]["start"] == {"weights": "w.safetensors", "keep_head": True}
    assert study["models"]["teacher"]["recipe"] == {"epochs": 0, "steps": 0}


def test_the_question_names_the_users_data(asked):
    asked["data"] = {"name": "folder:photos"}
    assert fine_tuning_study(**asked)["question"] == "Does the teacher help the student on photos?"
