"""Values over the distance from what was asked, and over a grid of transforms."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import bequest as bq
from bequest.data.affine import translate
from bequest.distill.score import predict
from bequest.errors import ConfigError
from bequest.evidence.asked import Distance, Maps
from bequest.evidence.kinds import kinds_of
from bequest.evidence.readings import Readings
from bequest.measure import map_correlation
from bequest.record_files import read_record, read_records
from bequest.records import Curve, Measurement, StudyRecord
from bequest.runs.planning import planned

pytestmark = pytest.mark.usefixtures("one_worker_here_all_along")

MOVES = {"near": [(1, 0)], "also near": [(-1, 0)], "unasked": [(0, 1)], "far": [(2, 2), (-2, -2)]}
SEEDS = (7, 8, 9)


def split(name, *, asked, distance):
    variants = [{"name": "translate", "dx": dx, "dy": dy} for dx, dy in MOVES[name]]
    return {"description": name, "asked": asked, "distance": distance, "variants": variants}


STUDY = {
    "name": "asked",
    "title": "Asked",
    "question": "Asked or not?",
    "seeds": 3,
    "seeds_from": 7,
    "data": {"name": "digits"},
    "recipe": {"epochs": 6, "batch": 64, "lr": 1e-2},
    "models": {
        "mlp": {"family": "mlp", "options": {"hidden": [16]}},
        "cnn": {"family": "cnn", "options": {"channels": [16, 16], "pool_after": [1]}},
    },
    "splits": {
        "test": {"description": "clean"},
        "near": split("near", asked=True, distance=1.0),
        "also near": split("also near", asked=True, distance=1.0),
        "unasked": split("unasked", asked=False, distance=1.0),
        "far": split("far", asked=False, distance=2.0),
    },
    "queries": {"moved": [{"views": [{"name": "shift_among", "moves": [[1, 0], [-1, 0]]}]}]},
    "arms": {
        "cnn": {"student": "cnn"},
        "mlp": {"student": "mlp"},
        "self": {"student": "mlp", "teachers": ["mlp"], "queries": "moved"},
        "taught": {"student": "mlp", "teachers": ["cnn"], "queries": "moved"},
    },
    "measures": {
        "profile": ["agreement", "accuracy"],
        "distance": {
            "title": "move in pixels",
            "of": ["accuracy", "agreement", "inheritance/agreement", "negative_transfer"],
        },
        "maps": {
            "over": {"dx": [-1, 0, 1], "dy": [-1, 0, 1]},
            "titles": ["right", "down"],
            "of": ["accuracy", "agreement"],
            "arms": ["cnn", "self", "taught"],
            "first": 200,
        },
    },
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("asked")
    assert bq.run(STUDY, out=path / "run", workers=1).failed == ()
    return path / "run"


@pytest.fixture(scope="module")
def readings(folder):
    return Readings(planned(STUDY), folder)


@pytest.fixture(scope="module")
def curves(folder):
    items = read_records(folder / "curves.json", Curve)
    return {(c.chart, c.arm, c.split): c for c in items}


def answers(readings, arm, seed, name):
    """Classes on every copy of the test images of a split, and their labels."""
    test = readings.data["test"]
    x = torch.cat([translate(test.x, dx, dy) for dx, dy in MOVES[name]])
    classes = predict(readings.network(arm, seed), x).argmax(1)
    return classes.numpy(), test.y.repeat(len(MOVES[name])).numpy()


def test_accuracy_over_the_distance_is_the_mean_of_its_splits_asked_and_unasked_apart(readings, curves):
    def mean(arm, names):
        rights = [[np.equal(*answers(readings, arm, s, name)).mean() for name in names] for s in SEEDS]
        return np.mean(rights)

    asked, unasked = (curves["distance/accuracy", "mlp", panel] for panel in ("asked", "not asked"))
    assert [(p.x, p.y) for p in asked.points] == [(1.0, pytest.approx(mean("mlp", ["near", "also near"])))]
    assert [p.x for p in unasked.points] == [1.0, 2.0]
    assert [p.y for p in unasked.points] == pytest.approx([mean("mlp", ["unasked"]), mean("mlp", ["far"])])
    assert (asked.x_title, asked.y_title) == ("move in pixels", "accuracy")
    assert all(p.low < p.y < p.high for p in (*asked.points, *unasked.points))
    assert {p.n for p in unasked.points} == {3}


def test_agreement_over_the_distance_is_beside_the_teacher_of_another_kind(readings, curves):
    pairs = [[answers(readings, arm, seed, "far")[0] for arm in ("taught", "cnn")] for seed in SEEDS]
    expected = np.mean([np.equal(*pair).mean() for pair in pairs])
    curve = curves["distance/agreement", "taught", "not asked"]
    assert curve.teacher == "cnn"
    assert curve.points[1].y == pytest.approx(expected)
    assert ("distance/agreement", "self", "not asked") in curves
    assert ("distance/agreement", "cnn", "not asked") not in curves
    assert {arm for chart, arm, _ in curves if chart == "distance/inheritance/agreement"} == {"taught"}
    assert ("distance/negative_transfer", "taught", "asked") in curves


def test_a_map_has_the_accuracy_of_every_cell_and_marks_what_was_asked(readings, folder):
    everything = read_records(folder / "curves.json", Curve)
    by_arm = {c.arm: c for c in everything if c.chart == "map/accuracy"}
    assert list(by_arm) == ["cnn", "self", "taught"]
    test = readings.data["test"].take(torch.arange(200))
    assert len(by_arm["taught"].points) == 9
    for point in by_arm["taught"].points:
        x = translate(test.x, int(point.x), int(point.y))
        classes = [predict(readings.network("taught", seed), x).argmax(1) for seed in SEEDS]
        assert point.z == pytest.approx(np.mean([(c == test.y).double().mean() for c in classes]))
    assert {(p.x, p.y) for p in by_arm["taught"].points if p.label == "asked"} == {(1.0, 0.0), (-1.0, 0.0)}
    agreed = [(c.arm, c.teacher) for c in everything if c.chart == "map/agreement"]
    assert agreed == [("self", "cnn"), ("taught", "cnn")]


def test_maps_are_compared_within_cells_of_equal_distance(readings, folder):
    found = read_records(folder / "measurements.json", Measurement)
    measured = {(m.measure, m.arm, m.teacher): m for m in found}
    maps, groups = readings.study.kind(Maps), np.array([1, 1, 1, 1, 0, 1, 1, 1, 1])

    def table(arm, seed):
        arrays = readings.arrays(arm, seed, next(r for c, r in maps.readings(readings.plan)))
        return (arrays["classes"] == arrays["labels"]).mean(axis=1)

    for arm in ("self", "taught"):
        alike = [map_correlation(table(arm, s), table("cnn", s), groups=groups) for s in SEEDS]
        assert list(measured["map_correlation", arm, "cnn"].per_seed.values()) == pytest.approx(alike)
    around = [
        map_correlation(table("cnn", other), table("cnn", seed), groups=groups)
        for seed, other in zip(SEEDS, (8, 9, 7), strict=True)
    ]
    ceiling = measured["map_correlation/ceiling", "taught", "cnn"]
    assert list(ceiling.per_seed.values()) == pytest.approx(around)
    assert measured["inheritance/map_correlation", "taught", "cnn"].n == 3


def test_the_page_is_told_of_both_kinds_and_asked_inputs_change_no_reading(folder, readings):
    record = read_record(folder / "study.json", StudyRecord)
    assert record.sections["distance"].charts[:2] == ("distance/accuracy", "distance/agreement")
    assert record.sections["maps"].charts == ("map/accuracy", "map/agreement")
    assert {Distance, Maps} <= {type(kind) for kind in kinds_of(readings.study)}
    moved = planned({**STUDY, "splits": {**STUDY["splits"], "far": split("far", asked=True, distance=3.0)}})
    values = Readings(moved, folder).predictions("mlp", 7, "far")
    assert values.classes.tolist() == readings.predictions("mlp", 7, "far").classes.tolist()


SQUARE = {"dx": [0, 1], "dy": [0, 1]}


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"distance": {"of": ["acuracy"]}}, "there is no property or likeness 'acuracy'"),
        ({"maps": {"over": {"dx": [0, 1]}, "arms": ["mlp"]}}, "maps.over"),
        ({"maps": {"over": {"dx": [0, 1], "dz": [0, 1]}, "arms": ["mlp"]}}, "maps.over"),
        ({"maps": {"over": {"dx": [0, 1], "dy": [0]}, "arms": ["mlp"]}}, "dy needs two values"),
        ({"maps": {"over": SQUARE, "arms": ["mpl"]}}, "there is no arm 'mpl'"),
        ({"maps": {"over": SQUARE, "arms": ["mlp"], "of": ["nll"]}}, "there is no map 'nll'"),
    ],
)
def test_wrong_options_are_named(change, fault):
    with pytest.raises(ConfigError) as caught:
        planned({**STUDY, "measures": change})
    assert fault in str(caught.value)


def test_a_study_without_distances_is_told():
    plain = {"test": {"description": "clean"}}
    with pytest.raises(ConfigError, match="no split states its distance"):
        planned({**STUDY, "splits": plain, "measures": {"distance": True}})


def test_a_smaller_study_keeps_the_maps_of_the_arms_that_it_has(readings):
    maps = readings.study.kind(Maps)
    assert maps.restricted({"cnn", "mlp"}).arms == ("cnn",)
    assert maps.restricted({"mlp"}) is None
