"""Training paths: snapshots, the approach to the teacher, and the map with what it is worth."""

from __future__ import annotations

import numpy as np
import pytest

from bequest.errors import ConfigError
from bequest.evidence.kinds import snapshot_cells
from bequest.evidence.paths import Paths
from bequest.evidence.readings import Readings
from bequest.measure import path_map, representation_distances
from bequest.models.taps import PENULTIMATE, activations
from bequest.runs.planning import planned

ARMS = ("cnn", "mlp", "mlp<-cnn")


def test_snapshots_are_of_the_first_test_samples_after_doubling_epochs(readings):
    shown = readings.snapshots("mlp", 0)
    assert list(shown) == [0, 1, 2, 3]
    assert len(shown[0]) == 100
    distances = representation_distances(list(shown.values()))
    assert (distances[np.triu_indices(4, 1)] > 1e-3).all()


def test_the_last_snapshot_is_of_the_trained_network(readings):
    assert readings.record("mlp", 0).config["recipe"]["select"] == "last"
    x = readings.data["test"].x[:100]
    trained = activations(readings.network("mlp", 0), x)[PENULTIMATE].numpy()
    np.testing.assert_allclose(readings.snapshots("mlp", 0)[3], trained, rtol=1e-5, atol=1e-6)


def test_the_approach_is_the_share_of_the_first_distance_that_training_closed(readings, measured):
    for arm in ("mlp", "mlp<-cnn"):
        for seed in (0, 1):
            own, goal = readings.snapshots(arm, seed), readings.snapshots("cnn", seed)
            distances = representation_distances([own[0], own[3], goal[3]])
            expected = 1 - distances[1, 2] / distances[0, 2]
            m = measured("path_approach", arm, teacher="cnn", split="test")
            assert m.per_seed[str(seed)] == pytest.approx(expected)
    pairs = {(m.arm, m.teacher) for m in measured.all if m.measure == "path_approach"}
    assert pairs == {("mlp", "cnn"), ("mlp<-cnn", "cnn"), ("cnn", "mlp")}  # both teach another kind


def test_the_map_is_of_all_checkpoints_together_and_says_what_it_is_worth(readings, curves):
    drawn = curves("path")
    assert [(curve.arm, curve.split) for curve in drawn] == [
        (arm, f"seed {k}") for k in (0, 1) for arm in ARMS
    ]
    for seed in (0, 1):
        of_seed = [curve for curve in drawn if curve.seed == str(seed)]
        shown = [readings.snapshots(arm, seed) for arm in ARMS]
        plane = path_map(representation_distances([x for each in shown for x in each.values()]))
        points = [(point.x, point.y) for curve in of_seed for point in curve.points]
        np.testing.assert_allclose(points, plane.points, atol=1e-6)
        (note,) = {curve.note for curve in of_seed}
        told = f"stress {plane.stress:.3f}, null {plane.null.mean():.3f}, p = {plane.p_value:.3g};"
        assert note.startswith(f"seed {seed}: {told}")
        assert "from itself" in note
    assert [point.label for point in drawn[0].points] == ["0", "1", "2", "3"]


def test_a_dead_network_costs_the_map_its_checkpoints_and_no_others(readings, monkeypatch):
    """The first MLP that a study trains too fast must not end the measuring of all others."""
    plain = Readings.snapshots

    def snapshots(self, arm, seed):
        taken = plain(self, arm, seed)
        return {e: np.zeros_like(x) if arm == "mlp" and e > 1 else x for e, x in taken.items()}

    monkeypatch.setattr(Readings, "snapshots", snapshots)
    paths = Paths(arms=ARMS)
    drawn = [curve for curve in paths.curves(readings, []) if curve.seed == "0"]
    assert {curve.split for curve in drawn} == {"seed 0, 2 checkpoints of constant activations left out"}
    labels = {curve.arm: [point.label for point in curve.points] for curve in drawn}
    assert labels == {"cnn": ["0", "1", "2", "3"], "mlp": ["0", "1"], "mlp<-cnn": ["0", "1", "2", "3"]}
    by_pair = {(m.arm, m.teacher): m for m in paths.measurements(readings)}
    assert "constant" in by_pair["mlp", "cnn"].reason
    assert by_pair["mlp<-cnn", "cnn"].value is not None


def test_a_network_is_not_far_from_itself(readings):
    assert representation_distances(readings.asked_twice("cnn", 0))[0, 1] < 1e-6


def test_only_arms_on_the_map_have_snapshots(readings, study):
    assert snapshot_cells(readings.plan) == {cell.id for cell in readings.plan.cells if cell.arm in ARMS}
    assert readings.snapshots("mlp<-mlp", 0) == {}
    del study["measures"]["paths"]
    assert snapshot_cells(planned(study)) == set()


def test_a_map_of_too_few_checkpoints_is_not_drawn(readings):
    assert list(Paths(arms=("mlp<-mlp",)).curves(readings, [])) == []


def test_arms_that_are_not_there_are_named_and_a_choice_of_arms_leaves_the_others(study):
    study["measures"]["paths"] = ["mpl"]
    with pytest.raises(ConfigError, match=r"measures\.paths: there is no arm 'mpl'; did you mean 'mlp'"):
        planned(study)
    assert Paths(arms=("a", "b")).restricted({"b"}) == Paths(arms=("b",))
    assert Paths(arms=("a", "b")).restricted({"c"}) is None


def test_each_of_several_maps_has_its_own_arms_and_its_own_pairs(readings):
    paths = Paths(arms=(("cnn", "mlp<-cnn"), ("mlp", "cnn")))
    drawn = {(curve.split, curve.arm) for curve in paths.curves(readings, [])}
    one = {(f"seed {k}", arm) for k in (0, 1) for arm in ("cnn", "mlp<-cnn")}
    assert drawn == one | {(f"seed {k}, map 2", arm) for k in (0, 1) for arm in ("mlp", "cnn")}
    pairs = [(m.arm, m.teacher) for m in paths.measurements(readings)]
    assert pairs == [("mlp<-cnn", "cnn"), ("cnn", "mlp"), ("mlp", "cnn")]
    assert paths.restricted({"cnn", "mlp"}) == Paths(arms=(("cnn",), ("mlp", "cnn")))
    assert paths.restricted({"mlp"}) == Paths(arms=("mlp",))
