"""What a newcomer types wrongly, and the first line of the answer: it says what is wrong by itself."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
import torch

from bequest.cli.main import main

HEADLINES = {
    # a study and its options
    "run digit": "there is no study 'digit'",
    "run none.toml": "none.toml: no such file",
    "run broken.toml": "broken.toml: not valid TOML: Invalid value (at line 1, column 8)",
    "run short.toml": "short.toml: 5 errors",
    "run digits --scale tiny": "--scale: 'tiny' is not a scale of this study; known: smoke, small, paper",
    "run digits --arms nn": "--arms: there is no arm 'nn'",
    "run digits --engine spark": "--engine: there is no engine 'spark'; expected one of local, slurm, ray",
    "run digits --device gpu": "device: 'gpu' is not one of auto, cpu, cuda, cuda:N, mps",
    "run digits --device cuda:99": "device: cuda:99 is not there: PyTorch sees 0 CUDA devices here",
    "run digits --ray-address a:1": "--ray-address: needs --engine ray, not --engine local",
    "run digits --until-decided --budget soon": "--budget: expected a time such as 90s, 20m or 1h30m",
    "run digits --budget 20m": "--budget: limits runs with --until-decided only; add it, or leave this out",
    "run digits --set lr": "--set: 'lr': expected path=value, such as recipe.lr=0.01",
    "run digits --set recipe.lrr=1": "digits: recipe.lrr: unknown key; did you mean 'lr'?",
    "run digits --use none.py": "use: {here}/none.py: no such file",
    "run digits --use broken.py": "use: {here}/broken.py: fails to import, line 1: ModuleNotFoundError: "
    "No module named 'nothing_of_that_name'",
    "run digits --scale smoke --out notes.txt": "notes.txt is a file, not a folder",
    "run digits --scale smoke --out .": ". is not empty, and not a run folder",
    "run study": "there is no study 'study'",
    "run runs/none": "there is no study 'runs/none'",
    "run misspelt.toml": "misspelt.toml: arms.mlp.studnet: unknown key; did you mean 'student'?",
    "run views.toml": "views.toml: queries.moved.0.views.0: pixel: unknown key; did you mean 'pixels'?",
    "run family.toml": "family.toml: models.mlp: there is no model 'mpl'; did you mean 'mlp'?",
    "run measure.toml": "measure.toml: measures.profile: there is no measure 'inheritence/agreement'; "
    "did you mean 'inheritance/agreement'",
    "run digits --set data.name=imagenet": "digits: data.name: there is no dataset 'imagenet'; known: ",
    # folders and lists
    "watch study": "study is not a run folder",
    "work study": "study is not a run folder",
    "prune study": "study is not a run folder",
    "export study mlp --to there": "study is not a run folder",
    "ls things": "bequest ls has no list of 'things'",
    "show nowhere": "nowhere is not a run folder",
    "report nowhere": "nowhere is not a run folder",
    "watch nowhere": "nowhere is not a run folder",
    "work nowhere": "nowhere is not a run folder",
    "prune nowhere": "nowhere is not a run folder",
    "export nowhere cnn --to there": "nowhere is not a run folder",
    "new .": ". already exists",
    # saved predictions
    "measure accuracy none.npz": "no such file: none.npz",
    "measure accuracy notes.txt": "notes.txt is not a file that can be measured",
    "measure accuracy bare.npz": "bare.npz has no labels",
    "measure accuracy other.npz": "other.npz: there are no logits, probs or predictions",
    "measure accuracy bare.npz --key logits": "--key logits: not of the form ROLE=NAME",
    "measure calibration classes.npz": "classes.npz has predicted classes only",
    "measure agreement bare.npz": "this measure compares files with each other",
    "measure inheritance bare.npz": "taught, control and teacher files must be equal in number",
    "measure accuracy bare.npz --key nothing=logits": "--key nothing=logits: there is no role 'nothing'",
    "measure accuracy nan.npz": "nan.npz: NaN or +inf among the logits",
    "measure accuracy high.npz": "high.npz: labels are out of range",
    "measure accuracy called.npz --key logits=pred": "called.npz: logits are one integer per sample",
    "measure accuracy model.pt": "model.pt holds more than tensors, and is not opened",
    "measure agreement ids.npz moved.npz": "ids.npz and moved.npz: samples are not paired",
    "measure similarity ids.npz ids.npz": "ids.npz has no activations x",
    # stores, theory, data
    "store info nowhere": "nowhere is not a signal store",
    "store build there": "--teacher: give at least one: RUN_FOLDER:ARM[:SEED] or MODEL:WEIGHTS_FILE",
    "store build there --teacher cnn": "--teacher: cnn: neither an arm of a run (RUN_FOLDER:ARM) nor weights "
    "(MODEL:WEIGHTS_FILE)",
    "theory point --alpha 2 --lambda-teacher 1 --lambda-student 1 --eta 7": "bequest theory point: "
    "--eta: must be in (0, 1] (got 7)",
    "data fetch imagenet": "there is no published data set 'imagenet'",
    "data import mnist none": "no such file or folder: none",
    "data import cifar10 photos": "there is no published data set 'cifar10'",
    # one pair of networks
    "distill --student mlp --teacher efficientnet_lite:0 --data digits": "--teacher: EfficientNet-Lite needs "
    "images of 3 channels",
    "distill --student mlp --teacher cnn --data digits --student-option hidden": "--student-option: "
    "'hidden': expected key=value, such as dropout=0.1",
    "distill --student mlp --teacher cnn --data digits --data-option size=3": "wrong options for the dataset "
    "'digits': an unexpected keyword argument 'size'",
    "distill --student mlpp --teacher cnn --data digits": "there is no model 'mlpp'",
    "distill --student mlp --teacher w.pt --data digits": "there is no model 'w.pt'",
    "distill --student mlp --teacher runs/x:cnn --data digits": "there is no model 'runs/x'",
    "distill --student mlp --teacher cnn --data digit": "there is no dataset 'digit'",
    "distill --student mlp --teacher cnn --data mine.npz": "there is no dataset 'mine.npz'",
    "distill --student mlp --teacher cnn --data npz:mine.npz": "no such file or folder: mine.npz",
    "distill --student mlp --teacher cnn --data digits --student-option widht=3": "distill: "
    "models.student: widht: unknown option; options: hidden, batch_norm, dropout, tokens, grey",
}


STUDY = """
name = "tiny"
title = "Tiny"
question = "?"
[data]
name = "digits"
[models.mlp]
family = "mlp"
[splits.test]
description = "test"
[queries]
moved = [{ views = [{ name = "shift", pixels = 2 }] }]
[arms.mlp]
student = "mlp"
queries = "moved"
[measures]
profile = ["accuracy"]
[scales.small]
"""
MISTAKES = {
    "misspelt": ("student =", "studnet ="),
    "views": ("pixels =", "pixel ="),
    "family": ('family = "mlp"', 'family = "mpl"'),
    "measure": ('"accuracy"', '"inheritence/agreement"'),
}


@pytest.fixture
def answer(tmp_path, monkeypatch, capsys):
    """Calls the command line in a folder with a few files; returns the lines of its complaint."""
    z = np.random.default_rng(0).normal(size=(8, 3))
    np.savez(tmp_path / "bare.npz", logits=z)
    np.savez(tmp_path / "other.npz", scores=z, labels=np.zeros(8, int))
    np.savez(tmp_path / "classes.npz", predictions=np.zeros(8, int), labels=np.zeros(8, int))
    labels, ids = np.arange(8) % 3, np.arange(8)
    np.savez(tmp_path / "nan.npz", logits=np.where(z == z[5, 1], np.nan, z), labels=labels)
    np.savez(tmp_path / "high.npz", logits=z, labels=np.where(ids == 6, 7, labels))
    np.savez(tmp_path / "called.npz", pred=labels, labels=labels)
    np.savez(tmp_path / "ids.npz", logits=z, labels=labels, ids=ids)
    np.savez(tmp_path / "moved.npz", logits=z, labels=labels, ids=ids + 100)
    torch.save(torch.nn.Linear(2, 2), tmp_path / "model.pt")
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "study.toml").write_text(STUDY)
    for name, (right, wrong) in MISTAKES.items():
        assert right in STUDY
        (tmp_path / f"{name}.toml").write_text(STUDY.replace(right, wrong))
    (tmp_path / "broken.toml").write_text("name = \n")
    (tmp_path / "short.toml").write_text('question = "?"\n')
    (tmp_path / "broken.py").write_text("import nothing_of_that_name\n")
    monkeypatch.chdir(tmp_path)

    def call(command):
        monkeypatch.setattr(sys, "argv", ["bequest", *command.split()])
        with pytest.raises(SystemExit) as ending:
            main()
        assert ending.value.code == 2
        return capsys.readouterr().err.splitlines()

    return call


@pytest.mark.parametrize("command", HEADLINES)
def test_the_first_line_says_what_is_wrong(answer, tmp_path, command):
    headline, *more = answer(command)
    expected = HEADLINES[command].format(here=tmp_path)
    assert headline.removeprefix("error: ").startswith(expected)
    assert all(line.startswith("  ") for line in more), "details are indented below the headline"


@pytest.mark.parametrize(
    ("command", "remedy"),
    [
        ("run digit", "did you mean 'digits'? (or give the path of a TOML file)"),
        ("ls modls", "did you mean 'models'?"),
        ("measure accuracy bare.npz", "name the array: --key labels=NAME"),
        ("measure accuracy other.npz", "if 'scores' holds logits: --key logits=scores (or probs=scores)"),
        ("measure accuracy called.npz", "if 'pred' holds predicted classes: --key predictions=pred"),
        ("measure accuracy called.npz --key logits=pred", "--key predictions=NAME"),
        ("measure accuracy high.npz", "number the classes from 0, in the order of the columns of the scores"),
        ("measure agreement ids.npz moved.npz", "compare the same split"),
        ("run study", "did you mean 'study/study.toml'?"),
        ("watch study", "bequest run study/study.toml; its last line names the run folder"),
        ("data import cifar10 photos", "docs/data.md"),
        ("distill --student mlp --teacher w.pt --data digits", "such as cnn:w.pt; "),
        ("distill --student mlp --teacher runs/x:cnn --data digits", "no run folder 'runs/x' here"),
        ("distill --student mlp --teacher cnn --data mine.npz", "npz:mine.npz"),
        ("distill --student mlp --teacher cnn --data photos/train", "folder:photos/train"),
    ],
)
def test_the_remedy_is_something_to_type(answer, command, remedy):
    assert remedy in answer(command)[-1]


def test_all_errors_of_a_study_are_listed_by_their_place(answer):
    lines = answer("run short.toml")
    assert lines[1:3] == ["  1. name: required and not given", "  2. title: required and not given"]


def test_what_a_folder_was_run_with_is_a_line_a_difference(answer, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "study.json").write_text(json.dumps({"version": 999}))
    assert answer("show run")[0] == "error: run/study.json was written by a newer bequest"
