"""Arms on parts of the data, further starts, and the chart of data efficiency: plans and faults."""

from __future__ import annotations

import pytest

import bequest as bq
from bequest.errors import ConfigError
from bequest.files import read_json
from bequest.studies.plan import make_plan, resolve


def with_parts(tiny):
    """A study with a plain and a taught arm on a part of the images, and a second start."""
    tiny["queries"] = {name: [{"fraction": share}] for name, share in (("all", 1.0), ("part", 0.1))}
    arms = tiny["arms"] = {"cnn": {"student": "cnn", "queries": "all"}}
    arms["cnn again"] = {**arms["cnn"], "restart": 1}
    for name in ("all", "part"):
        arms[f"mlp {name}"] = {"student": "mlp", "queries": name}
    tiny["claims"], tiny["answer"] = [], None
    del tiny["answer"]
    tiny["measures"] = {"efficiency": {"lines": {"MLP": ["mlp all", "mlp part"]}}}
    return tiny


def test_points_are_sorted_by_the_samples_that_were_seen(tiny, write_study, tmp_path):
    result = bq.run(write_study(with_parts(tiny)), out=tmp_path / "run", seeds=1, workers=1)
    assert result.failed == ()
    (curve,) = [c for c in read_json(tmp_path / "run" / "curves.json") if c["chart"] == "efficiency"]
    measured = read_json(tmp_path / "run" / "measurements.json")
    accuracy = {m["arm"]: m["value"] for m in measured if (m["measure"], m["split"]) == ("accuracy", "test")}
    assert [(point["x"], point["y"]) for point in curve["points"]] == [
        (pytest.approx(130, abs=5), accuracy["mlp part"]),
        (1297, accuracy["mlp all"]),
    ]


def test_a_part_and_a_restart_decide_the_cell_and_no_other(tiny):
    study = with_parts(tiny)
    plan = make_plan(resolve(study), scale="small")
    study["queries"]["part"][0]["fraction"] = 0.2
    study["arms"]["cnn again"]["restart"] = 2
    other = make_plan(resolve(study), scale="small")
    same = {arm: plan.cell(arm, 0).id == other.cell(arm, 0).id for arm in study["arms"]}
    assert same == {"cnn": True, "cnn again": False, "mlp all": True, "mlp part": False}
    assert plan.cell("cnn", 0).id != plan.cell("cnn again", 0).id


def test_only_the_arms_that_are_kept_stay_on_the_chart(tiny):
    resolved = resolve(with_parts(tiny), arms=["mlp all"])
    assert resolved["measures"]["efficiency"]["lines"] == {"MLP": ["mlp all"]}
    assert resolve(with_parts(tiny), arms=["cnn"])["measures"]["efficiency"]["lines"] == {}


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"efficiency": {"split": "tset", "lines": {}}}, "efficiency.split: there is no split 'tset'"),
        ({"efficiency": {"lines": {"a": ["mlp al"]}}}, "did you mean 'mlp all'"),
        ({"efficiency": {"lines": {"a": ["plain"]}}}, "plain needs queries of one source"),
        ({"layers": {"cnnn": ["0"]}}, "measures.layers: there is no model 'cnnn'"),
    ],
)
def test_faults_are_found_before_anything_runs(tiny, change, text):
    study = with_parts(tiny)
    study["queries"]["two"] = [{"share": 0.5}, {"share": 0.5, "views": [{"name": "shift", "pixels": 1}]}]
    study["arms"]["plain"] = {"student": "mlp", "queries": "two"}
    study["measures"] = change
    with pytest.raises(ConfigError, match=text):
        make_plan(resolve(study), scale="small")
