"""Texts by name: columns, tokenizers, pairs, and a BERT teacher whose masks reach every student."""

from __future__ import annotations

import csv
import json
import warnings
from importlib.util import find_spec

import pytest
import torch

import bequest as bq
from bequest.data.content import content_digest
from bequest.data.natural import LINZEN, linzen_subset
from bequest.data.rows import LazyRows
from bequest.data.sources import data_root
from bequest.data.text import WordTokenizer, read_tokenizer
from bequest.data.text.words import SPECIAL
from bequest.errors import DataError

pytestmark = pytest.mark.filterwarnings("ignore")  # of transformers, about itself

NUMBERS = ("singular", "plural")
ROWS = 300
TINY = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}


def write(path, header, rows):
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    return f"csv:{path}"


@pytest.fixture(scope="module")
def sentences():
    """What precedes the verb in real sentences, and the verb's number."""
    if not (data_root() / LINZEN).is_file():
        pytest.skip(f"{LINZEN} is not there; BEQUEST_DATA names the folder that holds it")
    items = linzen_subset()[:ROWS]
    return [(" ".join(item.words[: item.verb]), NUMBERS[item.number]) for item in items]


@pytest.fixture(scope="module")
def table(sentences, tmp_path_factory):
    return write(tmp_path_factory.mktemp("table") / "verbs.csv", ("text", "label"), sentences)


def test_a_text_column_becomes_tokens_of_a_vocabulary_trained_on_training_texts_alone(table, sentences):
    data = bq.load_dataset(table)
    assert (set(data.classes), data.padding, data.task, data.separator) == (set(NUMBERS), 0, "classify", None)
    words = {word for x in data["train"].x for word in data.tokenizer.text(x.tolist()).split()}
    assert set(data.vocabulary) == {*SPECIAL, *words}
    # The oracle: the sentence itself, where all of its words are in the vocabulary.
    originals = {text.lower() for text, _ in sentences}
    texts = [data.tokenizer.text(x.tolist()) for x in data["train"].x]
    assert sum(text in originals for text in texts) > 0.8 * len(texts)  # others have marks such as n't
    assert torch.equal(bq.load_dataset(table)["test"].x, data["test"].x)


def test_long_texts_are_cut_and_counted(table):
    data = bq.load_dataset(table, length=5)
    lengths = (bq.load_dataset(table)["train"].x != 0).sum(1)
    assert data.input_shape == (5,)
    assert int(data.notes[0].split(" of ")[0]) >= int((lengths > 5).sum())
    assert bool((data["train"].x[:, -1][lengths > 5] == 2).all())  # the end token stays


def test_a_pair_keeps_both_texts_and_is_told_apart_by_the_separator(tmp_path):
    rows = [(f"the cat {k}", f"a dog {k} barks", str(k % 2)) for k in range(40)]
    data = bq.load_dataset(write(tmp_path / "pairs.csv", ("premise", "hypothesis", "label"), rows))
    assert data.separator == data.tokenizer.end == 2
    assert bool(((data["train"].x == 2).sum(1) == 2).all())
    x = data.tokenizer.framed([["the cat", "a dog barks"]], 5)[0]
    assert x.count(2) == 2
    assert len(x) == 5


def test_rows_without_text_and_absent_columns_are_named(tmp_path):
    rows = [(f"text {k}", str(k % 2)) for k in range(30)]
    with pytest.raises(DataError, match="rows without text") as refused:
        bq.load_dataset(write(tmp_path / "gap.csv", ("text", "label"), [*rows, (" ", "1")]))
    assert refused.value.got == "row 31"
    with pytest.raises(DataError, match="lacks columns"):
        bq.load_dataset(write(tmp_path / "t.csv", ("text", "label"), rows), text="review")
    with pytest.raises(DataError, match="names a column of texts"):
        bq.load_dataset(write(tmp_path / "u.csv", ("remark", "label"), rows))


def test_parquet_has_the_same_texts(table, sentences, tmp_path):
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    columns = dict(zip(("text", "label"), map(list, zip(*sentences, strict=True)), strict=True))
    parquet.write_table(arrow.table(columns), tmp_path / "verbs.parquet")
    ours, theirs = bq.load_dataset(table), bq.load_dataset(f"parquet:{tmp_path / 'verbs.parquet'}")
    assert torch.equal(ours["train"].x, theirs["train"].x)
    assert ours.vocabulary == theirs.vocabulary


def test_a_kept_word_tokenizer_is_the_same_one_and_that_of_the_library(table, sentences, tmp_path):
    tokenizer = bq.load_dataset(table).tokenizer
    path = tokenizer.save(tmp_path / "tokenizer.json")
    again = read_tokenizer(str(path))
    assert isinstance(again, WordTokenizer)
    pairs = [(text, other) for (text, _), (other, _) in zip(sentences, sentences[::-1], strict=True)]
    assert again.framed(pairs, None) == tokenizer.framed(pairs, None)
    library = pytest.importorskip("tokenizers").Tokenizer.from_file(str(path))
    assert [each.ids for each in library.encode_batch(pairs)] == tokenizer.framed(pairs, None)


def test_a_saved_student_takes_texts(table, tmp_path):
    student = bq.fit("lstm", table, epochs=1)
    texts = ["the keys to the cabinet", "the dog"]
    again = bq.load(student.save(tmp_path / "student"))
    assert torch.equal(again.logits(texts), student.logits(texts))
    assert json.loads((tmp_path / "student" / "tokenizer.json").read_text())["model"]["type"] == "WordLevel"


@pytest.fixture(scope="module")
def bert(table, tmp_path_factory):
    """A tiny BERT, random, in a folder with the tokenizer of the data."""
    if find_spec("transformers") is None:
        pytest.skip("transformers is not installed")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import transformers
    folder, data = tmp_path_factory.mktemp("bert"), bq.load_dataset(table)
    sizes = {"vocab_size": len(data.vocabulary), "max_position_embeddings": 128, "pad_token_id": 0}
    torch.manual_seed(0)
    transformers.BertForSequenceClassification(
        transformers.BertConfig(**TINY, **sizes, num_labels=2, initializer_range=0.3)
    ).save_pretrained(folder)
    data.tokenizer.save(folder / "tokenizer.json")
    return folder


@pytest.mark.parametrize("name", ["lstm", "transformer"])
def test_a_bert_teaches_a_student_and_twice_the_padding_changes_no_answer_of_either(bert, table, name):
    data = bq.load_dataset(table, tokenizer=str(bert))
    teacher = bq.fit(f"transformers:{bert}", data, epochs=1)
    student = bq.distill(name, data, teachers=[teacher], epochs=1)
    x = data["test"].x
    doubled = torch.nn.functional.pad(x, (0, x.shape[1]))
    for fitted in (teacher, student):
        assert torch.allclose(fitted.logits(doubled), fitted.logits(x), atol=1e-5)
    # A row beside a longer one is padded inside the batch, where nothing but the mask can hide it.
    alone = torch.cat([teacher.logits(row[None, : int((row != 0).sum())]) for row in x[:8]])
    assert torch.allclose(alone, teacher.logits(x[:8]), atol=1e-5)
    bare = teacher.model.network(x[:8]).logits
    assert not torch.allclose(bare, teacher.logits(x[:8]), atol=1e-3)  # without the mask padding counts


def test_a_tokenizer_in_a_folder_is_part_of_what_the_data_is(table, tmp_path):
    tokenizer = bq.load_dataset(table).tokenizer
    tokenizer.save(tmp_path / "tokenizer.json")
    options = {"tokenizer": str(tmp_path)}
    before = content_digest(table, options)
    assert content_digest(table, options) == before
    WordTokenizer(tokenizer.vocabulary[:-1]).save(tmp_path / "tokenizer.json")
    assert content_digest(table, options) != before


def test_a_set_of_hugging_face_has_the_same_texts(table, sentences, tmp_path):
    library = pytest.importorskip("datasets")
    columns = dict(zip(("text", "label"), map(list, zip(*sentences, strict=True)), strict=True))
    library.Dataset.from_dict(columns).save_to_disk(str(tmp_path / "verbs"))
    ours, theirs = bq.load_dataset(table), bq.load_dataset(f"hf:{tmp_path / 'verbs'}")
    assert torch.equal(ours["train"].x, theirs["train"].x)


class Killed(Exception):
    """In the middle of a training."""


def test_a_training_on_texts_that_was_killed_goes_on_to_the_same_bytes(table, tmp_path, monkeypatch):
    whole = bq.fit("lstm", table, epochs=3)
    monkeypatch.setattr("bequest.data.rows.lazy.IN_MEMORY", 0)  # and read as they come

    def kill(epoch, network):
        if epoch == 2:
            raise Killed

    with pytest.raises(Exception, match="callback"):
        bq.fit("lstm", table, epochs=3, checkpoint=tmp_path / "state.pt", callbacks=[kill])
    assert (tmp_path / "state.pt").is_file()
    resumed = bq.fit("lstm", table, epochs=3, checkpoint=tmp_path / "state.pt")
    assert isinstance(resumed.data["train"].x, LazyRows)
    assert resumed.record.weights_digest == whole.record.weights_digest
