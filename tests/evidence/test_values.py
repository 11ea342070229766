"""Values by seed, each computed once."""

from __future__ import annotations

import numpy as np
import pytest

from bequest import measure
from bequest.evidence.strata import NEEDED
from bequest.evidence.values import (
    LIKENESSES,
    PROPERTIES,
    REPRESENTATIONS,
    Values,
    layer_of,
    likenesses_and_splits,
    likenesses_of,
    representations_of,
)
from bequest.measures import BY_NAME, MEASURES
from bequest.studies.claim_spec import ClaimSpec


def test_every_property_and_likeness_is_in_the_catalogue_of_measures():
    names = {*PROPERTIES.in_order(), *LIKENESSES.in_order(), *REPRESENTATIONS.in_order()}
    assert names <= set(MEASURES)
    assert {MEASURES[name].group for name in LIKENESSES} == {"likeness"}
    assert {MEASURES[name].group for name in REPRESENTATIONS} == {"representation"}


def test_images_have_no_means_over_strata(readings):
    values = Values(readings)
    assert set(values.properties_of("cnn", "test")) == set(PROPERTIES) - set(NEEDED) - BY_NAME
    assert values.properties_of("cnn", "both") == values.properties_of("mlp", "test")


def test_a_value_is_computed_once_and_shared(readings, monkeypatch):
    values = readings.shared(Values)
    assert readings.shared(Values) is values
    first = values.property("accuracy", "cnn", "test")
    monkeypatch.setattr(readings, "predictions", None)
    assert values.property("accuracy", "cnn", "test") is first


def test_values_beyond_what_is_held_are_the_same(readings, monkeypatch):
    monkeypatch.setattr("bequest.evidence.values.HELD_BYTES", 1)
    few = Values(readings)
    for ask in (
        lambda values: values.property("nll", "mlp<-cnn", "both"),
        lambda values: values.likeness("agreement", "mlp<-cnn", "cnn", "test", "other_teacher"),
    ):
        held, again = ask(readings.shared(Values)), ask(few)
        assert again.by_seed == held.by_seed
        np.testing.assert_array_equal(again.table, held.table)
        assert ask(few) is not again


PER_SAMPLE = {
    "accuracy": lambda p: measure.accuracy(p.logits, p.labels),
    "nll": lambda p: measure.nll(p.log_probs, p.labels),
    "brier": lambda p: measure.brier(p.probs, p.labels),
    "confidence_gap": lambda p: measure.mean_confidence_gap(p.probs, p.labels),
}


@pytest.mark.parametrize("name", PER_SAMPLE)
def test_the_mean_of_what_each_sample_has_is_the_measure(readings, name):
    values = Values(readings).property(name, "mlp", "moved")
    expected = {seed: PER_SAMPLE[name](readings.predictions("mlp", seed, "moved")) for seed in (0, 1)}
    assert values.by_seed == pytest.approx(expected)
    assert values.bounds == MEASURES[name].bounds


def test_likenesses_of_answers_are_means_over_samples_too(readings):
    values, p, q = Values(readings), *(readings.predictions(arm, 1, "moved") for arm in ("mlp", "cnn"))
    alike = values.likeness("agreement", "mlp", "cnn", "moved")
    assert alike.by_seed[1] == pytest.approx(measure.agreement(p.classes, q.classes))
    assert alike.resolution == pytest.approx(1 / len(p.labels))
    divergence = values.likeness("kl", "mlp", "cnn", "moved")
    assert divergence.by_seed[1] == pytest.approx(measure.teacher_student_kl(q.log_probs, p.log_probs).mean())
    assert values.likeness("error_consistency", "mlp", "cnn", "moved").table is None


def test_copies_of_an_image_are_no_further_samples(readings, monkeypatch):
    study = readings.study
    twice = study.splits["moved"].model_copy(update={"variants": study.splits["moved"].variants * 2})
    predictions = readings.predictions

    def doubled(arm, seed, split):
        one = predictions(arm, seed, "moved" if split == "twice" else split)
        if split != "twice":
            return one
        halves = [np.concatenate([one.labels, one.labels]), np.concatenate([one.logits, -one.logits])]
        return type(one)(np.arange(len(halves[0])), *halves)

    monkeypatch.setattr(
        readings, "study", study.model_copy(update={"splits": {**study.splits, "twice": twice}})
    )
    monkeypatch.setattr(readings, "predictions", doubled)
    values = Values(readings)
    both, once = (values.property("accuracy", "mlp", split) for split in ("twice", "moved"))
    assert both.table.shape == once.table.shape
    opposite = predictions("mlp", 1, "moved").logits.argmin(axis=1) == predictions("mlp", 1, "moved").labels
    assert both.table[1] == pytest.approx((once.table[1] + opposite) / 2)
    assert list(both.samples) == list(values.property("accuracy", "mlp", "test").samples)


def test_a_group_is_the_mean_of_its_splits(readings):
    values = Values(readings)
    parts = [values.property("nll", "mlp", split) for split in ("moved", "foggy")]
    both = values.property("nll", "mlp", "both")
    assert both.values == pytest.approx(np.mean([part.values for part in parts], axis=0))
    assert both.table == pytest.approx(np.mean([part.table for part in parts], axis=0))
    alike = [values.likeness("agreement", "mlp<-cnn", "cnn", split) for split in ("moved", "foggy")]
    together = values.likeness("agreement", "mlp<-cnn", "cnn", "both")
    assert together.values == pytest.approx(np.mean([part.values for part in alike], axis=0))


def test_one_seed_has_no_partner(readings, monkeypatch):
    monkeypatch.setattr(readings, "seeds", lambda *arms: [0])
    values = Values(readings)
    where = ("agreement", "mlp<-cnn", "cnn", "test")
    assert values.likeness(*where).seeds == [0]
    for mark in ("other_teacher", "ceiling", "own_minus_other"):
        assert values.likeness(*where, mark).seeds == []


def test_representations_are_compared_on_one_split_and_have_a_layer(readings):
    named = likenesses_and_splits(readings.study)
    assert ("agreement", "moved") in named
    assert ("agreement", "both") in named
    assert ("agreement", "foggy") not in named
    assert ("cka", "test") in named
    assert ("cka", "moved") not in named
    assert (layer_of("cka"), layer_of("agreement")) == ("penultimate", None)


def test_some_are_measured_only_where_a_study_names_them(readings):
    study = readings.study
    named = {"cosine_of_cosines"}  # in the profile
    assert BY_NAME & {*likenesses_of(study), *representations_of(study)} == named
    claim = {"id": "c", "text": "t", "source": "s", "arm": "mlp"}
    claims = tuple(
        ClaimSpec(**claim, measure=name)
        for name in ("roc_auc", "inheritance/negative_transfer", "mutual_neighbours")
    )
    asked = study.model_copy(update={"claims": claims})
    assert "negative_transfer" in likenesses_of(asked)
    assert "mutual_neighbours" in representations_of(asked)
    assert {"roc_auc", "inheritance/negative_transfer"} <= asked.named_measures


@pytest.mark.parametrize("name", sorted(BY_NAME & set(PROPERTIES)))
def test_what_is_measured_by_name_is_a_property_of_any_arm(readings, name):
    compute = {
        "roc_auc": lambda p: measure.roc_auc(p.probs, p.labels),
        "macro_precision": lambda p: measure.macro_precision(p.logits, p.labels),
        "confidence_auc": lambda p: measure.confidence_auc(p.probs, p.labels),
        "aurc": lambda p: measure.risk_coverage(p.probs.max(axis=1), p.correct).area,
    }[name]
    values = Values(readings).property(name, "mlp", "test")
    assert values.by_seed == {seed: compute(readings.predictions("mlp", seed, "test")) for seed in (0, 1)}


def test_the_values_behind_a_measurement_are_found_by_its_name(readings):
    values = Values(readings)
    assert values.named("accuracy", "mlp", "both", None) is not None
    assert values.named("agreement/ceiling", "mlp<-cnn", "moved", "cnn").ring
    assert values.named("cka", "mlp<-cnn", "test", "cnn") is not None
    for absent in (
        ("corrupted/fog", "mlp", "test", None),
        ("accuracy", "mlp", None, None),
        ("cka", "mlp<-cnn", "moved", "cnn"),
        ("agreement", "mlp", "test", None),
    ):
        assert values.named(*absent) is None


def test_the_ceiling_stands_for_the_teacher_in_the_inheritance_of_a_likeness(readings):
    values = Values(readings)
    taught, control, ceiling = values.roles("agreement", "mlp<-cnn", "mlp<-mlp", "cnn", "moved")
    assert taught is values.likeness("agreement", "mlp<-cnn", "cnn", "moved")
    assert control is values.likeness("agreement", "mlp<-mlp", "cnn", "moved")
    assert ceiling is values.likeness("agreement", "mlp<-cnn", "cnn", "moved", "ceiling")
    roles = values.roles("nll", "mlp<-cnn", "mlp<-mlp", "cnn", "test")
    arms = ("mlp<-cnn", "mlp<-mlp", "cnn")
    assert all(side is values.property("nll", arm, "test") for side, arm in zip(roles, arms, strict=True))
