"""The kinds of evidence: which a study has, what they read, and one of a user's own."""

from __future__ import annotations

import pytest

from bequest.evidence.kind import Kind, cells_of
from bequest.evidence.kinds import KINDS, kinds_of, readings_of, registered_kinds, sections_of
from bequest.evidence.reading import answers_on
from bequest.runs.planning import planned
from bequest.studies.kind import KindSpec


@pytest.fixture
def own():
    """A kind that a user adds; taken out of the register again."""

    class Own(Kind):
        """How often nothing is measured."""

        key = "own"
        often: int = 1

    yield Own
    del KindSpec.registered._values["own"]


def test_every_kind_says_what_it_is():
    assert [kind.key for kind in registered_kinds()] == [kind.key for kind in KINDS]
    assert all((kind.__doc__ or "").strip() for kind in KINDS)
    assert len({kind.key for kind in KINDS}) == len(KINDS)


def test_a_study_has_the_kinds_of_every_study_and_those_that_it_names(tiny, solvable, study):
    always = {kind.key for kind in KINDS if kind.always and not kind.of_theory}
    assert {kind.key for kind in kinds_of(planned(tiny).study)} == always
    named = {
        "budget",
        "corruptions",
        "efficiency",
        "layers",
        "attention",
        "seconds",
        "paths",
        "barriers",
        "against",
    }
    assert {kind.key for kind in kinds_of(planned(study).study)} == always | named
    assert [kind.key for kind in kinds_of(planned(solvable).study)] == ["theory"]


def test_each_reading_of_a_cell_is_made_once(readings):
    for cell_id, asked in readings_of(readings.plan).items():
        assert list(asked) == [reading.id_for(cell_id) for reading in asked.values()]
        questions = [f"{reading.what} {reading.model_dump_json()}" for reading in asked.values()]
        assert len(questions) == len(set(questions)) > 0


def test_teachers_and_students_are_read_and_untrained_students_too(tiny):
    plan = planned(tiny)
    asked = readings_of(plan)
    trained = {
        (r.what, r.split.samples()["variants"] != [], r.trained)
        for r in asked[plan.cell("cnn", 0).id].values()
    }
    assert trained == {("answers", False, True), ("answers", True, True), ("activations", False, True)}
    student = asked[plan.cell("mlp<-cnn", 0).id]
    assert answers_on(plan.study, "moved", trained=False) in student.values()
    assert len(student) == 6


def test_sections_are_of_the_kinds_that_have_one(readings):
    sections = sections_of(readings.study)
    assert {"properties", "likenesses", "paths", "attention"} <= set(sections)
    assert "inheritance" not in sections


def test_cells_of_an_arm_are_one_a_seed(tiny):
    plan = planned(tiny)
    assert [(cell.arm, cell.seed) for cell in cells_of(plan, "cnn")] == [("cnn", 0), ("cnn", 1)]


def test_a_kind_of_a_users_own_is_asked_for_by_its_key(own, tiny, readings):
    tiny["measures"] = {"own": {"often": 3}}
    kinds = kinds_of(planned(tiny).study)
    assert kinds[-1] == own(often=3)
    assert registered_kinds()[-1] is own
    assert list(own().readings(readings.plan)) == []
    assert list(own().measurements(readings)) == []
    assert list(own().curves(readings, [])) == []
    assert own().section_in(readings.study) is None
