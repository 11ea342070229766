"""Two arms that are trained alike share a cell: it is trained once, and each arm has its measurements."""

from __future__ import annotations

import pytest

import bequest as bq
from bequest.files import read_json
from bequest.runs.folder import RunFolder
from bequest.runs.survey import survey

pytestmark = pytest.mark.usefixtures("one_worker_here")


@pytest.fixture
def twins(tiny, write_study, tmp_path):
    tiny["arms"]["twin"] = {"student": "mlp"}
    tiny["arms"]["mlp<-twin"] = {"student": "cnn", "teachers": ["twin"]}
    tiny["measures"] = {"paths": ["twin"]}
    result = bq.run(write_study(tiny), seeds=1, out=tmp_path / "run", workers=1)
    return tmp_path / "run", result


def test_it_is_trained_once_also_for_what_only_the_other_arm_asks_for(twins):
    folder, result = twins
    plan = RunFolder(folder).plan()
    assert result.failed == ()
    assert plan.cell("twin", 0).id == plan.cell("mlp", 0).id
    assert result.trained == len({cell.id for cell in plan.cells}) == len(plan.cells) - 1
    assert survey(plan, folder).jobs == ()


def test_each_arm_has_its_measurements_and_the_student_its_own_teacher(twins):
    folder, _ = twins
    items = read_json(folder / "measurements.json")
    accuracy = {m["arm"]: m["value"] for m in items if (m["measure"], m["split"]) == ("accuracy", "test")}
    assert accuracy["twin"] == accuracy["mlp"]
    cell = RunFolder(folder).plan().cell("mlp<-twin", 0)
    (teacher,) = read_json(folder / "cells" / cell.id / "record.json")["teachers"]
    assert teacher["arm"] == "twin"
