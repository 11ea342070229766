"""``bequest measure`` on files that NumPy alone wrote, as another program would."""

from __future__ import annotations

import csv
import io
import json
import math

import numpy as np
import pytest
from scipy import special
from typer.testing import CliRunner

from bequest import measure as m
from bequest.cli.measure import app
from bequest.cli.measure_output import _cell
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
    assert list(rows) == ["cka", "rsa", "procrustes", "cosine of cosines", "mutual neighbours, 10"]
    assert rows["cka"]["value"] == pytest.approx(m.cka(x["x"], y["x"][back]))
    for row in rows.values():
        assert row["ceiling"] == pytest.approx(1)
        assert row["null"] < row["value"]
        assert row["shuffled"] < row["value"]
    text = run("similarity", files / "x.npz", files / "y.npz").output
    assert "shuffled" in text
    assert "null" not in text


def test_many_samples_are_thinned_where_all_pairs_are_compared(tmp_path, monkeypatch):
    monkeypatch.setattr("bequest.cli.measure_rows.PAIRWISE", 200)
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "x.npz", x=rng.normal(size=(210, 3)))
    (found,) = as_json("similarity", tmp_path / "x.npz", tmp_path / "x.npz")
    assert [row["n"] for row in found["measures"].values()] == [210, 200, 210, 200, 200]


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
        "neither.npz": ({"labels": good["labels"]}, "there are no logits, probs or predictions"),
        "unlabelled.npz": ({"logits": good["logits"]}, "has no labels"),
        "short.npz": ({**good, "labels": good["labels"][:3]}, "logits and labels differ in length"),
        "wrong.npz": ({**good, "labels": good["labels"] + 1}, "labels are out of range"),
        "nan.npz": ({**good, "logits": good["logits"] * math.nan}, "NaN or +inf among the logits"),
        "infinite.npz": ({**good, "logits": np.full((5, 3), -np.inf)}, "a row of logits is -inf throughout"),
        "softmax.npz": ({**good, "logits": special.softmax(good["logits"], 1)}, "logits are probabilities"),
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
    assert "one.npy has no labels" in refusal("accuracy", tmp_path / "one.npy")
    assert "no such file" in refusal("accuracy", tmp_path / "absent.npz")
    assert "has no activations x" in refusal("similarity", files / "teacher.npz", files / "x.npz")


def test_pairs_that_do_not_fit_are_named(files, tmp_path):
    assert "compares files with each other" in refusal("agreement", files / "teacher.npz")
    t = load(files / "teacher.npz")
    bare = {name: t[name] for name in ("logits", "labels")}
    np.savez(tmp_path / "bare.npz", **bare)
    np.savez(tmp_path / "fewer.npz", logits=t["logits"][:9], labels=t["labels"][:9])
    np.savez(tmp_path / "other.npz", logits=t["logits"], labels=t["labels"], ids=t["ids"] + 1)
    np.savez(tmp_path / "narrow.npz", logits=t["logits"][:, :2])
    np.savez(tmp_path / "shuffled.npz", logits=t["logits"], labels=t["labels"][::-1])
    assert "bare.npz has no ids, but the other file has" in refusal(
        "agreement", files / "teacher.npz", tmp_path / "bare.npz"
    )
    assert "bare.npz has no ids" in refusal("agreement", tmp_path / "bare.npz", files / "teacher.npz")
    assert "samples are not paired" in refusal("agreement", files / "teacher.npz", tmp_path / "other.npz")
    assert "differ in length" in refusal("agreement", tmp_path / "bare.npz", tmp_path / "fewer.npz")
    assert "differ in the number of classes" in refusal(
        "agreement", tmp_path / "bare.npz", tmp_path / "narrow.npz"
    )
    assert "have different labels" in refusal("agreement", tmp_path / "bare.npz", tmp_path / "shuffled.npz")


def test_predictions_without_labels_can_still_agree(files, tmp_path):
    t = load(files / "teacher.npz")
    np.savez(tmp_path / "a.npz", logits=t["logits"])
    (found,) = as_json("agreement", tmp_path / "a.npz", tmp_path / "a.npz")
    assert list(found["measures"]) == ["agreement", "KL(first || other)"]


@pytest.mark.parametrize("verb", ["accuracy", "calibration", "agreement", "similarity", "inheritance"])
def test_every_verb_shows_an_example(verb):
    assert "Example: bequest measure" in " ".join(run(verb, "--help").output.split())


def scored(tmp_path, name, **arrays):
    np.savez(tmp_path / name, **arrays)
    (result,) = as_json("accuracy", tmp_path / name)
    return result["measures"]


@pytest.fixture
def plain_file(tmp_path):
    rng = np.random.default_rng(3)
    logits = rng.normal(size=(60, 3))
    labels = np.where(rng.random(60) < 0.6, logits.argmax(1), rng.integers(0, 3, 60))
    return logits, labels, scored(tmp_path, "plain.npz", logits=logits, labels=labels)


@pytest.mark.parametrize(
    "change",
    [
        lambda logits, labels: {"logits": logits, "labels": labels[:, None]},
        lambda logits, labels: {"logits": logits, "labels": np.eye(3)[labels]},
        lambda logits, labels: {"logits": logits, "labels": labels.astype(float)},
        lambda logits, labels: {"logits": logits, "labels": labels.astype(np.uint8)},
        lambda logits, labels: {"logits": logits, "labels": labels.astype(str)},
        lambda logits, labels: {"logits": logits, "labels": np.array(["ape", "bee", "cat"])[labels]},
        lambda logits, labels: {
            "logits": logits,
            "labels": np.array(["cat", "ape", "bee"])[labels],
            "classes": np.array(["cat", "ape", "bee"]),
        },
    ],
    ids=["column", "one-hot", "floats", "uint8", "digits as text", "texts", "texts with classes"],
)
def test_labels_of_every_kind_give_the_same_numbers(tmp_path, plain_file, change):
    logits, labels, expected = plain_file
    assert scored(tmp_path, "other.npz", **change(logits, labels)) == expected


def test_hard_predictions_have_accuracy_agreement_and_kappa(tmp_path, plain_file):
    logits, labels, expected = plain_file
    answers = logits.argmax(1)
    rows = scored(tmp_path, "hard.npz", predictions=answers, labels=labels)
    assert list(rows) == ["accuracy", "balanced accuracy", "macro F1"]
    assert {name: expected[name] for name in rows} == rows
    names = np.array(["ape", "bee", "cat"])
    texts = scored(tmp_path, "texts.npz", predictions=names[answers], labels=names[labels])
    assert texts == rows
    np.savez(tmp_path / "others.npz", predictions=names[np.roll(answers, 1)], labels=names[labels])
    (found,) = as_json("agreement", tmp_path / "texts.npz", tmp_path / "others.npz")
    kappa = m.error_consistency(answers == labels, np.roll(answers, 1) == labels)
    assert found["measures"]["agreement"]["value"] == (answers == np.roll(answers, 1)).mean()
    assert found["measures"]["error consistency"]["value"] == pytest.approx(kappa)
    assert "KL(first || other)" not in found["measures"]
    assert "predicted classes only" in refusal("calibration", tmp_path / "hard.npz")


def test_one_score_a_sample_is_that_of_class_1(tmp_path):
    rng = np.random.default_rng(0)
    p, labels = rng.random(80), rng.integers(0, 2, 80)
    both = scored(tmp_path, "both.npz", probs=np.stack([1 - p, p], 1), labels=labels)
    assert scored(tmp_path, "one.npz", probs=p, labels=labels) == both
    assert scored(tmp_path, "column.npz", probs=p[:, None], labels=labels) == both
    logits = np.log(p / (1 - p))
    sigmoid = scored(tmp_path, "logits.npz", logits=logits, labels=labels)
    assert sigmoid["nll"]["value"] == pytest.approx(both["nll"]["value"])
    assert sigmoid["accuracy"] == both["accuracy"]
    # One column took class 0 everywhere: two models that always disagree agreed in 1.000 of the samples.
    np.savez(tmp_path / "yes.npz", logits=np.ones((5, 1)), labels=np.ones(5, int))
    np.savez(tmp_path / "no.npz", logits=-np.ones((5, 1)), labels=np.ones(5, int))
    (found,) = as_json("agreement", tmp_path / "yes.npz", tmp_path / "no.npz")
    assert found["measures"]["agreement"]["value"] == 0
    np.savez(tmp_path / "wide.npz", probs=3 * p, labels=labels)
    assert "probs are out of range" in refusal("accuracy", tmp_path / "wide.npz")


def test_masked_classes_have_probability_0(tmp_path, plain_file):
    logits, labels, expected = plain_file
    masked = np.concatenate([logits, np.full((60, 1), -np.inf)], axis=1)
    rows = scored(tmp_path, "masked.npz", logits=masked, labels=labels)
    assert rows["nll"]["value"] == pytest.approx(expected["nll"]["value"])
    run("calibration", tmp_path / "masked.npz")


def test_arrays_by_other_names(tmp_path, plain_file):
    logits, labels, expected = plain_file
    np.savez(tmp_path / "own.npz", preds=logits, targets=labels, logits=np.zeros(3))
    keys = ["--key", "logits=preds", "--key", "labels=targets"]
    (found,) = as_json("accuracy", tmp_path / "own.npz", *keys)
    assert found["measures"] == expected
    assert "has no array 'scores'" in refusal("accuracy", tmp_path / "own.npz", "--key", "logits=scores")
    unknown = refusal("accuracy", tmp_path / "own.npz", "--key", "nothing=preds")
    assert "--key nothing=preds: there is no role 'nothing'" in unknown
    for wrong in ("logits", "logits="):
        assert "not of the form ROLE=NAME" in refusal("accuracy", tmp_path / "own.npz", "--key", wrong)
    np.save(tmp_path / "one.npy", logits)
    (found,) = as_json("agreement", tmp_path / "one.npy", tmp_path / "one.npy")
    assert found["measures"]["agreement"]["value"] == 1


def test_texts_that_name_no_column_are_refused(tmp_path):
    z = np.zeros((2, 3)) + np.arange(3)
    np.savez(tmp_path / "few.npz", logits=z, labels=np.array(["a", "b"]))
    assert "nothing says which column each stands for" in refusal("accuracy", tmp_path / "few.npz")
    np.savez(tmp_path / "more.npz", logits=z, labels=np.array(["a", "x"]), classes=np.array(["a", "b", "c"]))
    assert "the label 'x' is not a class" in refusal("accuracy", tmp_path / "more.npz")
    np.savez(tmp_path / "count.npz", logits=z, labels=np.array([0, 1]), classes=np.array(["a", "b"]))
    assert "the number of classes differs from the columns of the scores" in refusal(
        "accuracy", tmp_path / "count.npz"
    )
    np.savez(tmp_path / "mixed.npz", predictions=np.array(["a", "b"]), labels=np.array([0, 1]))
    assert "are of different kinds" in refusal("accuracy", tmp_path / "mixed.npz")
    np.savez(tmp_path / "one.npz", predictions=np.array(["a", "b"]), labels=np.array(["a", "b"]))
    np.savez(tmp_path / "two.npz", predictions=np.array([0, 1]), labels=np.array([0, 1]))
    differ = refusal("agreement", tmp_path / "one.npz", tmp_path / "two.npz")
    assert "differ in the names of their classes" in differ
    np.savez(tmp_path / "rows.npz", logits=z, labels=np.ones((2, 3)))
    assert "labels have the wrong shape" in refusal("accuracy", tmp_path / "rows.npz")


def test_activations_of_a_run_folder_are_read_as_they_are(tmp_path):
    x = np.random.default_rng(0).normal(size=(40, 6))
    np.savez(tmp_path / "one.npz", ids=np.arange(40), hidden=x)
    np.savez(tmp_path / "two.npz", ids=np.arange(40), hidden=x, out=x)
    (found,) = as_json("similarity", tmp_path / "one.npz", tmp_path / "one.npz")
    assert found["measures"]["cka"]["value"] == pytest.approx(1)
    assert "name the array: --key x=NAME" in refusal("similarity", tmp_path / "two.npz", tmp_path / "two.npz")
    run("similarity", tmp_path / "two.npz", tmp_path / "two.npz", "--key", "x=hidden")


def test_every_number_has_an_interval_around_it(files):
    results = as_json("accuracy", files / "teacher.npz") + as_json("calibration", files / "teacher.npz")
    results += as_json("agreement", files / "teacher.npz", files / "student.npz")
    results += as_json("similarity", files / "x.npz", files / "y.npz")
    for result in results:
        for name, row in result["measures"].items():
            assert row["low"] <= row["value"] <= row["high"], name
            if name not in ("nll", "brier", "KL(first || other)", "temperature, fitted here"):
                assert row["low"] >= -1, name
                assert row["high"] <= 1, name


def test_biased_numbers_say_so(files):
    (found,) = as_json("calibration", files / "teacher.npz")
    row = found["measures"]["ece, equal width"]
    assert row["code"] == "biased"
    assert "biased upwards" in run("calibration", files / "teacher.npz").output


def test_ties_leave_fewer_bins_of_equal_mass(tmp_path):
    np.savez(tmp_path / "ties.npz", probs=np.array([[0.7, 0.3], [0.6, 0.4]] * 20), labels=np.arange(40) % 2)
    (found,) = as_json("calibration", tmp_path / "ties.npz")
    assert "ties leave 2 of 15 bins" in found["measures"]["ece, equal mass"]["reason"]


def test_csv_has_a_line_a_number(files):
    text = run("accuracy", files / "teacher.npz", "--csv").output
    rows = list(csv.DictReader(io.StringIO(text)))
    (found,) = as_json("accuracy", files / "teacher.npz")
    assert [row["measure"] for row in rows] == list(found["measures"])
    assert float(rows[0]["value"]) == found["measures"]["accuracy"]["value"]
    assert rows[0]["file"] == str(files / "teacher.npz")
    assert "exclude each other" in refusal("accuracy", files / "teacher.npz", "--csv", "--json")


def test_csv_cells_are_no_formulas():
    assert _cell("=HYPERLINK(1)") == "'=HYPERLINK(1)"
    assert (_cell("-inf"), _cell(None), _cell(-0.5)) == ("-inf", "", -0.5)


def seeds_of_a_study(folder, share=0.7, seeds=3):
    """Students that take a share of their own teacher's answers, and the control's otherwise."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 5, 200)
    names: dict[str, list] = {"taught": [], "control": [], "teacher": []}
    tables = {}
    for seed in range(seeds):
        right = {"control": rng.random(200) < 0.3 + 0.02 * seed, "teacher": rng.random(200) < 0.9}
        for kind, hits in right.items():
            answers = np.where(hits, labels, (labels + 1 + seed) % 5)
            tables[kind] = 3 * np.eye(5)[answers] + 0.1 * rng.normal(size=(200, 5))
        taken = rng.random((200, 1)) < share
        tables["taught"] = np.where(taken, tables["teacher"], tables["control"])
        order = rng.permutation(200)
        for kind, logits in tables.items():
            path = folder / f"{kind}-{seed}.npz"
            np.savez(path, logits=logits[order], labels=labels[order], ids=order)
            names[kind].append(path)
    return names


def test_inheritance_over_seeds_from_files(tmp_path):
    names = seeds_of_a_study(tmp_path)
    (found,) = as_json("inheritance", *names["taught"], *names["control"], *names["teacher"])
    rows = found["measures"]
    assert list(rows) == ["accuracy", "nll", "brier", "ece", "agreement with the teacher"]
    scores = {kind: [as_json("accuracy", p)[0]["measures"]["accuracy"]["value"] for p in paths]
              for kind, paths in names.items()}  # fmt: skip
    expected = m.inheritance(scores["taught"], scores["control"], scores["teacher"])
    assert rows["accuracy"]["value"] == pytest.approx(expected.value)
    assert rows["accuracy"]["over seeds"]["low"] == pytest.approx(expected.low)
    assert rows["accuracy"]["low"] < 0.7 < rows["accuracy"]["high"]
    assert rows["accuracy"]["method"] == "fieller, crossed"
    text = run("inheritance", *names["taught"], *names["control"], *names["teacher"]).output
    assert "agreement with the teacher" in text


def test_inheritance_of_one_seed_says_that_it_cannot_tell(tmp_path):
    names = seeds_of_a_study(tmp_path, seeds=1)
    (found,) = as_json("inheritance", *names["taught"], *names["control"], *names["teacher"])
    assert found["measures"]["accuracy"]["code"] == "one_seed"


def test_inheritance_needs_as_many_files_of_each_kind(tmp_path, files):
    assert "must be equal in number" in refusal("inheritance", files / "teacher.npz", files / "student.npz")
