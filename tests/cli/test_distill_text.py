"""``bequest distill`` for texts: a network of transformers teaches an LSTM, a Transformer, and its like."""

from __future__ import annotations

import csv
import json
import math
import warnings
from importlib.util import find_spec

import pytest
import torch
from typer.testing import CliRunner

from bequest.cli.main import app
from bequest.data.datasets import load_dataset
from bequest.errors import DataError, InputError
from bequest.record_files import read_record, read_records
from bequest.records import Measurement, RunRecord, StudyRecord
from bequest.studies.datasets import load
from bequest.studies.spec import DataSpec

pytestmark = [
    pytest.mark.usefixtures("one_worker_here"),
    pytest.mark.filterwarnings("ignore"),  # of transformers, about itself
]

if find_spec("transformers") is None:
    pytest.skip("transformers is not installed", allow_module_level=True)

NOUNS, VERBS = ("cat", "dog", "bird", "horse", "child"), ("sleeps", "sings", "runs", "waits")
TINY = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}


def distill(*arguments):
    return CliRunner().invoke(app, ["distill", *map(str, arguments)], catch_exceptions=False)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    path = tmp_path_factory.mktemp("table") / "sentences.csv"
    rows = [
        (f"the {noun} {verb}{' again' * k}", "calm" if verb in ("sleeps", "waits") else "loud")
        for noun in NOUNS for verb in VERBS for k in range(3)
    ]  # fmt: skip
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *rows])
    return path


def bert(folder, table, *, classes=("calm", "loud"), head=True, seed=0, words=None):
    """A tiny random BERT in ``folder`` with the tokenizer of the table; without a head, its base alone."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import transformers
    tokenizer = load_dataset(f"csv:{table}", **({} if words is None else {"vocabulary": words})).tokenizer
    sizes = {
        **TINY,
        "vocab_size": len(tokenizer.vocabulary),
        "max_position_embeddings": 64,
        "pad_token_id": 0,
    }
    labels = {"id2label": dict(enumerate(classes)), "label2id": {c: k for k, c in enumerate(classes)}}
    config = transformers.BertConfig(**sizes, **labels, initializer_range=0.3)
    torch.manual_seed(seed)
    kind = transformers.BertForSequenceClassification if head else transformers.BertModel
    kind(config).save_pretrained(folder)
    tokenizer.save(folder / "tokenizer.json")
    return folder


@pytest.fixture(scope="module")
def teacher(table, tmp_path_factory):
    return bert(tmp_path_factory.mktemp("bert"), table)


def records(run):
    study = read_record(run / "study.json", StudyRecord)
    return {c.arm: read_record(run / "cells" / c.id / "record.json", RunRecord) for c in study.cells}


@pytest.mark.parametrize("student", ["lstm", "transformer"])
def test_a_bert_teaches_as_it_is_on_the_tokens_of_its_own_tokenizer(student, teacher, table, tmp_path):
    printed = distill(
        "--student", student, "--teacher", f"transformers:{teacher}", "--as-is", "--data", f"csv:{table}",
        "--epochs", 1, "--batch", 8, "--workers", 1, "--out", tmp_path / "run",
    )  # fmt: skip
    assert printed.exit_code == 0, printed.output
    assert "of the validation texts right" in printed.output
    cells = records(tmp_path / "run")
    assert cells["teacher"].steps == 0
    assert cells["teacher"].config["data"]["options"] == {"tokenizer": str(teacher)}
    assert cells["taught"].steps == cells["alone"].steps > 0
    assert cells["taught"].config["recipe"]["lr"] == 2e-3
    assert "flip" not in json.dumps(cells["taught"].config)
    # The oracle: transformers' own answer of the folder, with its own mask.
    import transformers

    network = transformers.AutoModelForSequenceClassification.from_pretrained(teacher).eval()
    data = load(DataSpec(name=f"csv:{table}", options={"tokenizer": str(teacher)}))
    x, y = data["validation"].x, data["validation"].y
    with torch.no_grad():
        right = network(x, attention_mask=(x != 0).long()).logits.argmax(1) == y
    assert cells["taught"].teachers[0].validation["accuracy"] == pytest.approx(float(right.double().mean()))


def test_a_fine_tuned_teacher_teaches_a_student_of_transformers(teacher, table, tmp_path):
    base = bert(tmp_path / "base", table, head=False, seed=1)
    printed = distill(
        "--student", f"transformers:{base}", "--teacher", f"transformers:{teacher}", "--data", f"csv:{table}",
        "--epochs", 1, "--batch", 8, "--workers", 1, "--out", tmp_path / "run",
    )  # fmt: skip
    assert printed.exit_code == 0, printed.output
    cells = records(tmp_path / "run")
    assert (cells["teacher"].config["recipe"]["lr"], cells["teacher"].config["recipe"]["head_rate"]) == (
        5e-5,
        15,
    )
    assert cells["teacher"].steps == cells["taught"].steps > 0
    assert "held-out texts" in (tmp_path / "run" / "report.html").read_text()
    # What the run trained teaches in turn, on the tokenizer that lies beside its weights.
    again = distill(
        "--student", "lstm", "--teacher", f"{tmp_path / 'run'}:teacher", "--as-is", "--data", f"csv:{table}",
        "--epochs", 1, "--batch", 8, "--workers", 1, "--out", tmp_path / "again",
    )  # fmt: skip
    assert again.exit_code == 0, again.output
    assert records(tmp_path / "again")["teacher"].weights_digest == cells["teacher"].weights_digest


@pytest.mark.parametrize(
    ("made", "message"),
    [
        ({"head": False}, "has untrained parameters"),
        ({"classes": ("loud", "calm")}, "has its classes in a different order"),
    ],
)
def test_a_teacher_that_cannot_teach_as_it_is_is_refused(made, message, table, tmp_path):
    other = bert(tmp_path / "other", table, **made)
    with pytest.raises(InputError, match=message):
        distill(
            "--student", "lstm", "--teacher", f"transformers:{other}", "--as-is", "--data", f"csv:{table}",
            "--epochs", 1, "--out", tmp_path / "run",
        )  # fmt: skip
    assert not (tmp_path / "run").exists()


def test_two_networks_with_unlike_tokenizers_are_refused(teacher, table, tmp_path):
    other = bert(tmp_path / "other", table, words=12)
    with pytest.raises(DataError, match="teacher and student have different tokenizers"):
        distill(
            "--student", f"transformers:{other}", "--teacher", f"transformers:{teacher}",
            "--data", f"csv:{table}", "--out", tmp_path / "run",
        )  # fmt: skip


def test_a_gpt_teaches_a_language_model_and_both_are_judged_at_tokens(table, tmp_path):
    import transformers

    lines = [
        f"the {noun} {verb} and the {other} waits" for noun in NOUNS for verb in VERBS for other in NOUNS
    ]
    (tmp_path / "texts.txt").write_text("\n".join(lines) + "\n")
    tokenizer = load_dataset(f"token:{tmp_path / 'texts.txt'}", length=8).tokenizer
    sizes = {"n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 64}
    config = transformers.GPT2Config(
        vocab_size=len(tokenizer.vocabulary), **sizes, bos_token_id=None, eos_token_id=None
    )
    torch.manual_seed(0)
    transformers.GPT2LMHeadModel(config).save_pretrained(tmp_path / "gpt")
    tokenizer.save(tmp_path / "gpt" / "tokenizer.json")
    printed = distill(
        "--student", "lstm_lm", "--teacher", f"transformers:{tmp_path / 'gpt'}", "--as-is",
        "--data", f"token:{tmp_path / 'texts.txt'}", "--data-option", "length=8", "--temperature", 1,
        "--epochs", 1, "--batch", 8, "--workers", 1, "--out", tmp_path / "run",
    )  # fmt: skip
    assert printed.exit_code == 0, printed.output
    assert "of the validation tokens right" in printed.output
    items = read_records(tmp_path / "run" / "measurements.json", Measurement)
    values = {(m.measure, m.arm): m.value for m in items if m.split == "test"}
    # The oracle: the perplexity that transformers computes, with labels that it shifts itself.
    data = load_dataset(f"token:{tmp_path / 'texts.txt'}", length=8, tokenizer=str(tmp_path / "gpt"))
    network = transformers.GPT2LMHeadModel.from_pretrained(tmp_path / "gpt").eval()
    whole = torch.cat([data["test"].x, data["test"].y[:, -1:]], 1)
    with torch.no_grad():
        nll = float(network(whole, labels=whole).loss)
    assert values["perplexity", "teacher"] == pytest.approx(math.exp(nll), rel=1e-4)
    assert 0 <= values["agreement", "taught"] <= 1
