"""What each arm does on each split, against the networks themselves."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from bequest.distill.score import predict
from bequest.errors import ConfigError
from bequest.measure import expected_calibration_error
from bequest.runs.planning import planned
from bequest.studies.datasets import tested_on as samples_of


def answers(readings, arm, seed, split):
    part = samples_of(readings.study.data, readings.study.splits[split])
    return predict(readings.network(arm, seed), part.x), part.y


@pytest.mark.parametrize(("arm", "split"), [("cnn", "test"), ("mlp<-cnn", "moved"), ("mlp", "foggy")])
def test_properties_are_those_of_the_trained_network(readings, measured, arm, split):
    for seed in (0, 1):
        logits, labels = answers(readings, arm, seed, split)
        probs = torch.softmax(logits.double(), -1)
        right = (logits.argmax(1) == labels).double()
        onehot = torch.nn.functional.one_hot(labels, 10).double()
        expected = {
            "accuracy": float(right.mean()),
            "nll": float(cross_entropy(logits.double(), labels)),
            "brier": float(((probs - onehot) ** 2).sum(1).mean()),
            "confidence_gap": float((probs.max(1).values - right).abs().mean()),
            "ece": expected_calibration_error(probs.numpy(), labels.numpy(), bins=15),
        }
        for name, value in expected.items():
            by_seed = measured(name, arm, split=split).per_seed
            assert by_seed[str(seed)] == pytest.approx(value, rel=1e-5, abs=1e-6)


def test_a_group_is_the_mean_over_its_splits(measured):
    for seed in ("0", "1"):
        parts = [measured("accuracy", "cnn", split=split).per_seed[seed] for split in ("moved", "foggy")]
        assert measured("accuracy", "cnn", split="both").per_seed[seed] == pytest.approx(np.mean(parts))


def test_a_value_is_the_mean_over_seeds_with_an_interval(measured):
    m = measured("accuracy", "mlp", split="test")
    assert m.n == 2
    assert m.value == pytest.approx(np.mean(list(m.per_seed.values())))
    assert m.low < m.value < m.high


def test_reliability_pools_the_answers_of_all_seeds(readings, measured, curves):
    (curve,) = curves("reliability", arm="cnn", split="test")
    logits, _ = answers(readings, "cnn", 0, "test")
    counts = [point.n for point in curve.points]
    assert sum(counts) == 2 * len(logits)
    mean = sum(point.n * point.y for point in curve.points) / sum(counts)
    assert mean == pytest.approx(measured("accuracy", "cnn", split="test").value)
    assert curves("reliability", split="foggy") == []  # not compared


def test_arms_aside_are_not_listed(measured):
    properties = {m.arm for m in measured.all if m.measure == "brier"}
    assert properties == {"cnn", "mlp", "mlp<-mlp", "mlp<-cnn", "vit<-cnn&mlp"}


def test_every_arm_is_a_dot_at_its_means_of_two_properties(readings, measured, curves):
    drawn = [curve for curve in curves("against") if curve.split == "moved"]
    assert [curve.arm for curve in drawn] == list(readings.arms.charted)
    for curve in drawn:
        x, y = (measured(name, curve.arm, split="moved") for name in ("accuracy", "ece"))
        (dot,) = curve.points
        assert (dot.x, dot.y, dot.low, dot.high) == (x.value, y.value, y.low, y.high)


def test_only_properties_are_set_against_each_other(study):
    study["measures"]["against"] = [["accuracy", "agreement"]]
    with pytest.raises(ConfigError, match=r"measures\.against: there is no property 'agreement'"):
        planned(study)
