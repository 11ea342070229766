"""Accuracy as corruptions of the test images grow."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bequest.data.corruptions import CORRUPTIONS, corrupt
from bequest.distill.score import predict
from bequest.errors import ConfigError
from bequest.evidence.corruption import Corruptions
from bequest.runs.planning import planned
from bequest.seeding import numpy_generator

FAMILIES = ("contrast", "gaussian_noise")


@pytest.fixture(scope="module")
def levels(readings):
    """Accuracy at each level, the clean one first, on the 100 chosen samples of the study."""

    def of(arm, seed, family):
        test = readings.data["test"]
        chosen = torch.from_numpy(numpy_generator(0, "corrupted").permutation(len(test))[:100])
        part, network = test.take(chosen), readings.network(arm, seed)
        images = [part.x]
        images += [
            corrupt(family, part.x, part.ids, level + 1) for level in range(len(CORRUPTIONS[family].levels))
        ]
        return [float((predict(network, x).argmax(1) == part.y).double().mean()) for x in images]

    return of


@pytest.mark.parametrize("arm", ["cnn", "mlp<-cnn"])
def test_each_family_and_all_of_them(levels, measured, arm):
    for seed in (0, 1):
        accuracy = {family: levels(arm, seed, family) for family in FAMILIES}
        for family in FAMILIES:
            mean = np.mean(accuracy[family][1:])
            assert measured(f"corrupted/{family}", arm).per_seed[str(seed)] == pytest.approx(mean)
            left = measured(f"accuracy_left/{family}", arm).per_seed[str(seed)]
            assert left == pytest.approx(mean / accuracy[family][0])
        overall = np.mean([accuracy[family][1:] for family in FAMILIES])
        assert measured("corrupted_accuracy", arm).per_seed[str(seed)] == pytest.approx(overall)
        clean = accuracy["contrast"][0]
        assert measured("accuracy_left", arm).per_seed[str(seed)] == pytest.approx(overall / clean)


def test_a_curve_goes_from_clean_images_to_the_highest_level(levels, curves):
    (curve,) = curves("robustness", arm="cnn", split="contrast")
    expected = np.mean([levels("cnn", seed, "contrast") for seed in (0, 1)], axis=0)
    assert [point.x for point in curve.points] == list(range(len(expected)))
    assert [point.y for point in curve.points] == pytest.approx(expected.tolist())


def test_families_and_samples_decide_the_reading_and_nothing_else_does(study):
    def ids(**change):
        study["measures"]["corruptions"] = {"families": ["contrast"], "samples": 100, **change}
        plan = planned(study)
        kind = plan.study.kind(Corruptions)
        return {reading.id_for(cell.id) for cell, reading in kind.readings(plan) if cell.arm == "cnn"}

    one = ids()
    assert len(one) == 2
    assert ids(families=["contrast", "gaussian_noise"]) > one
    assert not ids(samples=50) & one


def test_of_chosen_arms_alone(study):
    study["measures"]["corruptions"] = {"families": ["contrast"], "arms": ["cnn", "mlp<-cnn"]}
    plan = planned(study)
    kind = plan.study.kind(Corruptions)
    assert {cell.arm for cell, _ in kind.readings(plan)} == {"cnn", "mlp<-cnn"}
    assert kind.restricted(["cnn", "mlp"]).arms == ("cnn",)
    assert kind.restricted(["mlp"]) is None
    assert Corruptions(families=("contrast",)).restricted(["mlp"]).arms == ()
    study["measures"]["corruptions"]["arms"] = ["cn"]
    with pytest.raises(ConfigError, match=r"measures\.corruptions\.arms: there is no arm 'cn'"):
        planned(study)


def test_a_family_that_is_not_there_is_named(study):
    study["measures"]["corruptions"] = ["contrst"]
    with pytest.raises(ConfigError, match=r"measures\.corruptions: there is no corruption 'contrst'"):
        planned(study)
    study["measures"]["corruptions"] = {"families": ["contrast"], "samples": 0}
    with pytest.raises(ConfigError, match=r"measures\.corruptions\.samples: "):
        planned(study)
