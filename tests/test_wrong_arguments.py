"""Arguments of Python functions that cannot be used, and the headline of the answer."""

from __future__ import annotations

import contextlib
import gzip
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import bequest as bq
from bequest.data.arrays import labels_of
from bequest.data.compressed import gunzip
from bequest.data.datasets import DATASETS, Split, from_arrays, load_dataset
from bequest.data.download import _receive
from bequest.data.sequences import _filled
from bequest.data.text.documents import DocumentOptions
from bequest.data.text.documents import _check_tokens as check_tokens
from bequest.data.text.texts import text_columns
from bequest.data.text.tokenizer import Tokenizer
from bequest.data.text.words import SPECIAL, WordTokenizer
from bequest.data.views.view import Key, partners_of
from bequest.distill.stores import job, workers
from bequest.distill.stores.manifest import read_manifest
from bequest.distill.teachers import Teacher
from bequest.distill.token_answers import sequences_read
from bequest.errors import BequestError, ModelError, RunError, WorkerLost
from bequest.models.export.onnx_file import _session
from bequest.models.pretrained.from_transformers import TransformersOptions, _check_tokens
from bequest.parts import load_parts
from bequest.runs.engines.actors import _Crew
from bequest.studies.datasets import _where
from bequest.studies.spec import SplitSpec

X, Y = np.zeros((30, 4), np.float32), np.arange(30) % 3


class Endless(torch.utils.data.Dataset):
    """A Dataset whose length cannot be told."""

    def __len__(self) -> int:
        raise RuntimeError("a stream")

    def __getitem__(self, row: int) -> Any:
        return X[0], 0


def no_manifest(folder: Path) -> None:
    (folder / "manifest.json").write_text("{")
    read_manifest(folder / "manifest.json")


def many_labels(folder: Path) -> None:
    np.savez(folder / "tokens.npz", x=np.zeros((30, 4), np.int64), y=np.zeros((30, 4), np.int64))
    load_dataset(f"npz:{folder / 'tokens.npz'}")


BARE = SimpleNamespace(name="bare", padding=None, start=None, end=None, mask=None)
DOUBLE = SimpleNamespace(name="double", filler=2, start=2, end=2, vocabulary=("a", "b", "<s>"))
RUNTIME = SimpleNamespace(SessionOptions=SimpleNamespace, InferenceSession=torch.load)


def two_tests(folder: Path) -> None:
    for name, rows in {"train": "1,a,train\n2,b,test\n" * 20, "test": "3,a,\n4,b,\n"}.items():
        (folder / f"{name}.csv").write_text(f"x,label,split\n{rows}")
    load_dataset(f"csv:{folder / 'train.csv'}", test=str(folder / "test.csv"))


LINEAR = nn.Linear(4, 3)


def distilled(objective: Callable[..., Any]) -> None:
    bq.distill("mlp", (X, Y), teachers=[LINEAR], objective=objective, epochs=1)


def in_a_run(folder: Path) -> None:
    (folder / "study.json").write_text("{}")
    bq.build_store([LINEAR], (X, Y), path=folder)


def other_shape(_: Path) -> None:
    bq.distill("mlp", (X, Y), teachers=[LINEAR], queries=torch.randn(5, 3))


def failing_dataset(folder: Path) -> None:
    (folder / "mine.py").write_text(
        "from bequest.data.datasets import DATASETS\n\n\n"
        '@DATASETS.register("failing")\ndef failing():\n    return [0][4]\n'
    )
    load_parts([folder / "mine.py"])
    try:
        load_dataset("failing")
    finally:
        DATASETS.forget(str(folder / "mine.py"))


@pytest.mark.parametrize(
    ("call", "headline"),
    [
        (lambda _: bq.fit("mlp", (torch.zeros(30, 4).to_sparse(), Y)), "the inputs are not a dense tensor"),
        (lambda _: labels_of(None), "give class indices; unlabelled inputs are queries, not training data"),
        (lambda _: bq.fit("mlp", Endless()), "the Dataset's len() fails"),
        (lambda _: labels_of(np.zeros(3, complex)), "convert them to class indices"),
        (lambda _: partners_of(Key(torch.arange(2), 0, 0), torch.arange(2)), "a mixing view needs a pool"),
        (two_tests, "test is given both as a file and as rows of the table"),
        (lambda _: WordTokenizer(["a"]), "a word-level vocabulary must begin with its special tokens"),
        (lambda _: Tokenizer.filler.fget(BARE), "the tokenizer bare cannot pad rows"),
        (
            lambda _: check_tokens(BARE, DocumentOptions(layout="packed")),
            "the tokenizer bare cannot tell packed documents apart",
        ),
        (
            lambda _: check_tokens(DOUBLE, DocumentOptions(layout="padded")),
            "the tokenizer double begins texts with the token that would pad rows",
        ),
        (
            lambda _: _where(from_arrays(X, Y)["train"], SplitSpec(description="red", where={"colour": [1]})),
            "nothing is known of 'colour' in the split 'test'",
        ),
        (lambda _: _session(RUNTIME, b""), "onnxruntime cannot open the exported network"),
        (many_labels, "multi-label samples cannot be split by class"),
        (
            lambda _: gunzip(gzip.compress(bytes(100))[:-9], "a.gz", most=1000),
            "the compressed data ends early",
        ),
        (
            lambda _: from_arrays(X, Y).with_splits(
                {"../up": Split(torch.tensor(X), None, torch.arange(30))}
            ),
            "a split's name cannot be a file name",
        ),
        (lambda _: load_dataset("digits", classes=[3, 3]), "classes must be two or more of the digits 0..9"),
        (lambda _: _filled([[1, 2, 3]], 2, 0), "a sentence is longer than the rows"),
        (lambda _: text_columns({}, ["a", "b", "c"]), "an input is one text or a pair"),
        (lambda _: WordTokenizer((*SPECIAL, "a")).inputs([3]), "the inputs are not texts"),
        (no_manifest, "not JSON: "),
        (lambda folder: _receive("ftp://there/a", folder / "a", None, print), "not an http or https address"),
        (lambda _: bq.fit("mlp", (X, Y), seed="a"), "the seed is not an integer"),
        (lambda _: bq.fit("mlp", (X, Y), recipe={"epoch": 1}), "the training recipe: epoch: unknown key"),
        (lambda _: Teacher(None), "the teacher 'teacher' is not an nn.Module"),
        (
            lambda _: bq.distill("mlp", (X, Y), teachers=[LINEAR], queries="digit"),
            "there is no dataset 'digit'",
        ),
        (
            lambda _: bq.fit("mlp", (X[:, 0], Y)),
            "inputs have one axis, expected (N, features) or more: x[:, None]",
        ),
        (lambda _: bq.fit("mlp", (["a", "b", "c"] * 10, Y)), "got:      list of str"),
        (
            lambda _: bq.fit("mlp", (X, np.zeros(30, int))),
            "a classifier needs two classes, and there is one: 0",
        ),
        (
            lambda _: bq.fit("mlp", (X, Y), objective=bq.KD(), epochs=1),
            "remedy:   give teachers (bq.distill)",
        ),
        (
            lambda _: distilled(lambda one: one),
            "objective: expected loss(student_logits, teacher_logits): too many",
        ),
        (lambda _: distilled(lambda one, _: one), "the objective's function does not return a scalar"),
        (
            lambda folder: bq.build_store([LINEAR], (X, Y), path=folder / "s", views="shfit"),
            "views: there is no view 'shfit'; did you mean 'shift'",
        ),
        (in_a_run, "is a run folder, not a store"),
        (lambda _: bq.run("digits", arms="cnn, mlpp"), "--arms: there is no arm 'mlpp'; did you mean 'mlp'?"),
        (
            lambda _: bq.run("digits", settings="lr"),
            "--set: 'lr': expected path=value, such as recipe.lr=0.01",
        ),
        (other_shape, "queries: inputs (5, 3): the network does not take these inputs"),
        (failing_dataset, "the function that makes the dataset 'failing' fails"),
        (
            lambda _: sequences_read(Split(torch.tensor(X), torch.tensor(Y), torch.arange(30)), 9),
            "these sequences have no labels",
        ),
    ],
)
def test_the_headline_says_what_is_wrong(call, headline, tmp_path):
    with pytest.raises(BequestError) as refused:
        call(tmp_path)
    assert headline in str(refused.value)


def test_texts_longer_than_the_positions_of_a_network_are_refused():
    network = nn.Identity()
    network.config = SimpleNamespace(max_position_embeddings=12, vocab_size=30)
    options = TransformersOptions(network="tiny", task="classify")
    with pytest.raises(ModelError, match="the texts are too long for tiny"):
        _check_tokens(network, 13, 30, options)


def test_a_worker_of_a_build_ends_when_its_builder_is_gone(monkeypatch):
    gone = SimpleNamespace(is_alive=lambda: False)
    monkeypatch.setattr("multiprocessing.parent_process", lambda: gone)
    with pytest.raises(WorkerLost, match="the build that started this worker is gone"):
        job.refuse_orphan()


def test_a_build_whose_process_dies_is_one_message(monkeypatch):
    class Dying(contextlib.nullcontext):
        """A pool in which whoever takes a task is killed."""

        def submit(self, *_: object) -> Future:
            answer: Future = Future()
            answer.set_exception(BrokenProcessPool())
            return answer

    monkeypatch.setattr(workers, "ProcessPoolExecutor", lambda *_: Dying(Dying()))
    monkeypatch.setattr(workers, "_spooled", lambda *_: b"")
    with pytest.raises(WorkerLost, match="a process of the build died"):
        workers.answer_in_processes(SimpleNamespace(), [(0, 0)], 1, print)


def test_an_actor_that_cannot_start_is_one_message():
    class RayError(Exception):
        """Of a library that is not needed here."""

    def get(_: object) -> None:
        raise RayError("the node is gone")

    crew = object.__new__(_Crew)
    crew.ray = SimpleNamespace(get=get, exceptions=SimpleNamespace(RayError=RayError))
    crew._waiting = {"ref": None}
    with pytest.raises(RunError, match="a worker of the Ray cluster cannot start"):
        crew._begin("ref")
