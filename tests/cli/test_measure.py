"""``bequest measure`` on files that NumPy alone wrote, as another program would."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from scipy import special
from typer.testing import CliRunner

from bequest import measure as m
from bequest.cli.measure import app
from bequest.errors import DataError

RUNNER = CliRunner()


@pytest.fixture
def files(tmp_path):
    """A teacher, and a student in another order of samples."""
    rng = np.random.default_rng(0)
    logits, labels, ids = 2 * rng.normal(size=(300, 7)), rng.integers(0, 7, 300), 10 * np.arange(300)
    labels = np.where(rng.random(300) < 0.7, logits.argmax(1), labels)
    np.savez(tmp_path / "teacher.npz", logits=logits.astype(np.float32), labels=labels, ids=ids)
    order = rng.permutation(300)
    student = special.softmax(logits + rng.normal(size=(300, 7)), axis=1)
    np.savez(tmp_path / "student.npz", probs=student[order], labels=labels[order], ids=ids[order])
    x = rng.normal(size=(300, 4, 5))
    np.savez(tmp_path / "x.npz", x=x, ids=ids)
    np.savez(tmp_path / "y.npz", x=np.tanh(x[order]), ids=ids[order])
    np.savez(tmp_path / "noise.npz", x=rng.normal(size=(300, 6)), ids=ids)
    return tmp_path


def run(*arguments, code=0):
    result = RUNNER.invoke(app, [str(a) for a in arguments])
    if code == 0:
        assert result.exit_code == 0, result.output + repr(result.exception)
    return result


def as_json(*arguments):
    return json.loads(run(*arguments, "--json").output)["results"]


def load(path):
    with np.load(path) as file:
        return {name: file[name] for name in file.files}


def test_accuracy_of_each_file(files):
    found = as_json("accuracy", files / "teacher.npz", files / "student.npz")
    assert [result["file"] for result in found] == [str(files / "teacher.npz"), str(files / "student.npz")]
    held = load(files / "student.npz")
    rows = found[1]["measures"]
    assert rows["accuracy"]["value"] == pytest.approx(m.accuracy(held["probs"], held["labels"]))
    assert rows["accuracy"]["low"] < rows["accuracy"]["value"] < rows["accuracy"]["high"]
    assert rows["accuracy"]["n"] == 300
    assert rows["top-5 accuracy"]["value"] == pytest.approx(m.accuracy(held["probs"], held["labels"], top=5))
    assert rows["nll"]["value"] == pytest.approx(m.nll(np.log(held["probs"]), held["labels"]))
    assert rows["brier"]["value"] == pytest.approx(m.brier(held["probs"], held["labels"]))
    text = run("accuracy", files / "student.npz").output
    assert f"{rows['accuracy']['value']:.3f}" in text
    assert "macro F1" in text


def test_calibration_with_its_table(files):
    held = load(files / "teacher.npz")
    probs = special.softmax(held["logits"].astype(np.float64), axis=1)
    (found,) = as_json("calibration", files / "teacher.npz", "--bins", 5)
    expected = m.expected_calibration_error(probs, held["labels"], bins=5)
    assert found["measures"]["ece, equal width"]["value"] == pytest.approx(expected)
    assert len(found["bins"]) == 5
    assert sum(bar["count"] for bar in found["bins"]) == 300
    assert found["bins"][0]["accuracy"] is None
    fitted = m.fit_temperature(held["logits"], held["labels"])
    assert found["measures"]["temperature, fitted here"]["value"] == pytest.approx(fitted, rel=1e-6)
    text = run("calibration", files / "teacher.npz").output
    assert "(0.933, 1.000]" in text
    assert text.splitlines()[-15].split()[-1] == "-"


def test_agreement_pairs_rows_by_id(files):
    (found,) = as_json("agreement", files / "teacher.npz", files / "student.npz")
    t, s = load(files / "teacher.npz"), load(files / "student.npz")
    back = np.argsort(s["ids"])
    theirs, own = t["logits"].argmax(1), s["probs"][back].argmax(1)
    rows = found["measures"]
    assert rows["agreement"]["value"] == (theirs == own).mean()
    kappa = m.error_consistency(theirs == t["labels"], own == t["labels"])
    assert rows["error consistency"]["value"] == pytest.approx(kappa)
    assert rows["agreement on the first's errors"]["n"] == int((theirs != t["labels"]).sum())
    assert rows["KL(first || other)"]["value"] > 0
    (same,) = as_json("agreement", files / "teacher.npz", files / "teacher.npz")
    assert same["measures"]["agreement"]["value"] == 1
    assert same["measures"]["KL(first || other)"]["value"] == 0
    assert "shared errors" in run("agreement", files / "teacher.npz", files / "student.npz").output


def test_similarity_beside_its_nulls(files):
    (found,) = as_json(
        "similarity", files / "x.npz", files / "y.npz",
        "--null", files / "x.npz", files / "noise.npz", "--ceiling", files / "x.npz", files / "x.npz",
    )  # fmt: skip
    x, y = load(files / "x.npz"), load(files / "y.npz")
    back = np.argsort(y["ids"])
    rows = found["measures"]
    assert list(rows) == ["cka", "rsa", "procrustes", "cosine of cosines"]
    assert rows["cka"]["value"] == pytest.approx(m.cka(x["x"], y["x"][back]))
    for row in rows.values():
        assert row["ceiling"] == pytest.approx(1)
        assert row["null"] < row["value"]
        assert row["shuffled"] < row["value"]
    text = run("similarity", files / "x.npz", files / "y.npz").output
    assert "shuffled" in text
    assert "null" not in text


def test_many_samples_are_thinned_where_all_pairs_are_compared(tmp_path, monkeypatch):
    monkeypatch.setattr("bequest.cli.measure.PAIRWISE", 200)
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "x.npz", x=rng.normal(size=(210, 3)))
    (found,) = as_json("similarity", tmp_path / "x.npz", tmp_path / "x.npz")
    assert [row["n"] for row in found["measures"].values()] == [210, 200, 210, 200]


def test_undefined_and_infinite_numbers_have_their_names(tmp_path):
    np.savez(tmp_path / "sure.npz", probs=np.eye(3)[[0, 0]], labels=np.array([0, 1]))
    (found,) = as_json("accuracy", tmp_path / "sure.npz")
    assert found["measures"]["nll"]["value"] == "inf"
    np.savez(tmp_path / "empty.npz", probs=np.zeros((0, 3)), labels=np.zeros(0, int))
    (found,) = as_json("accuracy", tmp_path / "empty.npz")
    row = found["measures"]["accuracy"]
    assert (row["value"], row["n"], row["low"], row["reason"]) == (None, 0, None, "no samples")
    text = run("accuracy", tmp_path / "empty.npz").output
    assert "undefined  n 0  (no samples)" in text
    for verb in ("calibration", "agreement"):
        run(verb, tmp_path / "empty.npz", *([tmp_path / "empty.npz"] if verb == "agreement" else []))


def refusal(*arguments):
    result = run(*arguments, code=1)
    assert isinstance(result.exception, DataError), result.output
    return str(result.exception)


def test_files_that_do_not_fit_are_named(files, tmp_path):
    rng = np.random.default_rng(0)
    good = {"logits": rng.normal(size=(5, 3)), "labels": np.array([0, 1, 2, 0, 1])}
    cases = {
        "neither.npz": ({"labels": good["labels"]}, "there are neither logits nor probs"),
        "unlabelled.npz": ({"logits": good["logits"]}, "has no labels"),
        "short.npz": ({**good, "labels": good["labels"][:3]}, "predictions and labels differ in length"),
        "wrong.npz": ({**good, "labels": good["labels"] + 1}, "labels are out of range"),
        "nan.npz": ({**good, "logits": good["logits"] * math.nan}, "logits holds NaN"),
        "infinite.npz": ({**good, "logits": np.array([[-np.inf, 0]])}, "logits holds -inf"),
        "sums.npz": ({"probs": good["logits"] ** 2, "labels": good["labels"]}, "not a distribution"),
        "twice.npz": ({**good, "ids": np.array([1, 1, 2, 3, 4])}, "ids occur more than once"),
        "objects.npz": ({**good, "labels": np.array([None] * 5)}, "cannot be read"),
    }
    for name, (content, message) in cases.items():
        np.savez(tmp_path / name, **content)
        text = refusal("accuracy", tmp_path / name)
        assert message in text
        assert name in text
    (tmp_path / "text.npz").write_text("no array")
    np.save(tmp_path / "one.npy", good["logits"])
    assert "cannot be read" in refusal("accuracy", tmp_path / "text.npz")
    assert "one array without a name" in refusal("accuracy", tmp_path / "one.npy")
    assert "does not exist" in refusal("accuracy", tmp_path / "absent.npz")
    assert "has no x" in refusal("similarity", files / "teacher.npz", files / "x.npz")


def test_pairs_that_do_not_fit_are_named(files, tmp_path):
    assert "two files are compared" in refusal("agreement", files / "teacher.npz")
    t = load(files / "teacher.npz")
    bare = {name: t[name] for name in ("logits", "labels")}
    np.savez(tmp_path / "bare.npz", **bare)
    np.savez(tmp_path / "fewer.npz", logits=t["logits"][:9], labels=t["labels"][:9])
    np.savez(tmp_path / "other.npz", logits=t["logits"], labels=t["labels"], ids=t["ids"] + 1)
    np.savez(tmp_path / "narrow.npz", logits=t["logits"][:, :2])
    np.savez(tmp_path / "shuffled.npz", logits=t["logits"], labels=t["labels"][::-1])
    assert "bare.npz has no ids" in refusal("agreement", files / "teacher.npz", tmp_path / "bare.npz")
    assert "bare.npz has no ids" in refusal("agreement", tmp_path / "bare.npz", files / "teacher.npz")
    assert "samples are not paired" in refusal("agreement", files / "teacher.npz", tmp_path / "other.npz")
    assert "differ in length" in refusal("agreement", tmp_path / "bare.npz", tmp_path / "fewer.npz")
    assert "differ in classes" in refusal("agreement", tmp_path / "bare.npz", tmp_path / "narrow.npz")
    assert "have different labels" in refusal("agreement", tmp_path / "bare.npz", tmp_path / "shuffled.npz")


def test_predictions_without_labels_can_still_agree(files, tmp_path):
    t = load(files / "teacher.npz")
    np.savez(tmp_path / "a.npz", logits=t["logits"])
    (found,) = as_json("agreement", tmp_path / "a.npz", tmp_path / "a.npz")
    assert list(found["measures"]) == ["agreement", "KL(first || other)"]


@pytest.mark.parametrize("verb", ["accuracy", "calibration", "agreement", "similarity"])
def test_every_verb_shows_an_example(verb):
    assert "Example: bequest measure" in " ".join(run(verb, "--help").output.split())
