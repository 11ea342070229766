"""Studies of language models: every measure of answers is one of answers at tokens."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

import bequest as bq
from bequest.config import to_toml
from bequest.data.datasets import UNLABELLED
from bequest.distill import token_answers as reading
from bequest.distill.score import predict
from bequest.evidence.readings import Readings
from bequest.evidence.values import _by_sequence
from bequest.measure import expected_calibration_error
from bequest.record_files import read_records
from bequest.records import Measurement
from bequest.runs.planning import planned

pytestmark = pytest.mark.usefixtures("one_worker_here_all_along")

NOUNS, VERBS = ("cats", "dogs", "birds"), ("see", "hear", "like")


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    dice = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("texts") / "documents.txt"
    lines = []
    for _ in range(200):
        words = [str(dice.choice(NOUNS))]
        for _ in range(dice.integers(1, 4)):
            words += [str(dice.choice(VERBS)), str(dice.choice(NOUNS))]
        lines.append(" ".join(words))
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="module", params=["causal", "masked"])
def finished(request, file, tmp_path_factory):
    """A run of a teacher, a student and the same student taught, on next tokens and on hidden ones."""
    causal = request.param == "causal"
    family = "transformer_lm" if causal else "transformer_mlm"
    study = {
        "name": "tokens", "title": "Tokens", "question": "Are tokens read?", "seeds": 2,
        "data": {
            "name": f"token:{file}", "options": {"task": request.param, "layout": "padded", "length": 9},
        },
        "recipe": {"epochs": 1, "batch": 16, "lr": 5e-3},
        "models": {
            "large": {"family": family, "options": {"width": 32, "layers": 2}},
            "small": {"family": "lstm_lm" if causal else family, "options": {"width": 16, "layers": 1}},
        },
        "splits": {"test": {"description": "held-out documents"}},
        "arms": {
            "teacher": {"student": "large"},
            "alone": {"student": "small"},
            "taught": {"student": "small", "teachers": ["teacher"], "control": "alone",
                       "objective": {"name": "reverse_kl"}},
        },
    }  # fmt: skip
    folder = tmp_path_factory.mktemp("run")
    (folder / "study.toml").write_text(to_toml(study))
    result = bq.run(folder / "study.toml", out=folder / "run", workers=1)
    assert result.failed == ()
    items = read_records(folder / "run" / "measurements.json", Measurement)
    return Readings(planned(study), folder / "run"), items


def value(items, measure, arm, seed, **where):
    (one,) = [
        m for m in items
        if (m.measure, m.arm) == (measure, arm) and all(getattr(m, k) == v for k, v in where.items())
    ]  # fmt: skip
    return one.per_seed[str(seed)], one


def at_tokens(readings, arm, seed):
    """Logits and labels at every labelled token, from the network itself."""
    test = readings.data["test"]
    labelled = test.y != UNLABELLED
    return predict(readings.network(arm, seed), test.x)[labelled].double(), test.y[labelled]


@pytest.mark.parametrize("arm", ["teacher", "taught"])
def test_properties_are_means_over_labelled_tokens(finished, arm):
    readings, items = finished
    for seed in (0, 1):
        logits, labels = at_tokens(readings, arm, seed)
        nll = float(cross_entropy(logits, labels))
        probs = torch.softmax(logits, -1).numpy()
        expected = {
            "accuracy": float((logits.argmax(1) == labels).double().mean()),
            "nll": nll,
            "ece": expected_calibration_error(probs, labels.numpy(), bins=15),
            "perplexity": float(np.exp(nll)),
        }
        for name, number in expected.items():
            assert value(items, name, arm, seed, split="test")[0] == pytest.approx(number, rel=1e-5), name


def test_likenesses_compare_the_answers_at_the_same_tokens(finished):
    readings, items = finished
    for seed in (0, 1):
        (student, _), (teacher, _) = (at_tokens(readings, arm, seed) for arm in ("taught", "teacher"))
        agree = float((student.argmax(1) == teacher.argmax(1)).double().mean())
        p, q = (torch.log_softmax(logits, -1) for logits in (teacher, student))
        kl = float((p.exp() * (p - q)).sum(1).mean())
        where = {"teacher": "teacher", "split": "test"}
        assert value(items, "agreement", "taught", seed, **where)[0] == pytest.approx(agree)
        assert value(items, "kl", "taught", seed, **where)[0] == pytest.approx(kl, rel=1e-4)
        assert np.isfinite(value(items, "cka", "taught", seed, teacher="teacher")[0])


def test_intervals_are_for_other_seeds_and_other_sequences(finished):
    _, items = finished
    _, measurement = value(items, "accuracy", "taught", 0, split="test")
    assert "crossed over seeds and samples" in measurement.method
    assert measurement.low < measurement.value < measurement.high


def test_a_sequence_counts_by_its_tokens_and_the_mean_is_that_of_all():
    dice = np.random.default_rng(0)
    counts = dice.integers(1, 9, 300)
    effect = np.repeat(dice.normal(size=300), counts)
    tokens = effect + dice.normal(size=counts.sum())
    by_sequence = _by_sequence(tokens, counts)
    assert by_sequence.mean() == pytest.approx(tokens.mean())
    # The oracle: a bootstrap of whole sequences.
    starts = np.cumsum(counts) - counts
    sums = np.add.reduceat(tokens, starts)
    drawn = dice.integers(0, 300, (4000, 300))
    means = sums[drawn].sum(1) / counts[drawn].sum(1)
    assert by_sequence.std(ddof=1) / 300**0.5 == pytest.approx(means.std(), rel=0.05)


def test_of_a_large_vocabulary_whole_sequences_are_left_out_the_same_for_every_network(finished):
    readings, _ = finished
    test, model = readings.data["test"], readings.network("teacher", 0)
    whole = reading.token_answers(model, test)
    part = reading.token_answers(model, test, most=len(readings.data.classes) * 20)
    assert 1 <= len(part.labels) <= 20 < len(whole.labels)
    for sequence in part.ids.unique():
        kept = whole.logits[whole.ids == sequence]
        assert torch.allclose(part.logits[part.ids == sequence], kept, atol=1e-5)
    again = reading.token_answers(readings.network("alone", 0), test, most=len(readings.data.classes) * 20)
    assert torch.equal(again.ids, part.ids)
