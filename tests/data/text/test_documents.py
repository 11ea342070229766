"""Documents for language models: every token where it belongs, packed or padded, next or hidden."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

import bequest as bq
from bequest.data.content import content_digest
from bequest.data.datasets import UNLABELLED
from bequest.data.text import WordTokenizer
from bequest.data.text.masking import masked_tokens
from bequest.data.text.words import SPECIAL
from bequest.errors import ConfigError, DataError

WORDS = ("the", "a", "cat", "dog", "bird", "sees", "hears", "and", "sleeps")
PAD, START, END, UNKNOWN, MASK = range(5)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """A hundred documents of three to nine words, one a line, with blank lines between some."""
    dice = np.random.default_rng(0)
    lines = [" ".join(dice.choice(WORDS, dice.integers(3, 10))) for _ in range(100)]
    path = tmp_path_factory.mktemp("texts") / "documents.txt"
    path.write_text("\n\n".join(lines[:50]) + "\n" + "\n".join(lines[50:]) + "\n")
    return path


def documents_in(path):
    return [line.split() for line in path.read_text().splitlines() if line.strip()]


def sentences(data, rows):
    """What rows of tokens spell, document by document."""
    words = [data.vocabulary[token] for token in itertools.chain(*rows)]
    ends = [list(part) for mark, part in itertools.groupby(words, lambda w: w in SPECIAL) if not mark]
    return [tuple(part) for part in ends]


def test_packed_rows_are_the_documents_one_after_the_other_and_labels_the_next_tokens(file):
    data = bq.load_dataset(f"token:{file}", length=8)
    assert (data.task, data.padding, data.classes) == ("next_token", None, data.vocabulary)
    assert set(data.vocabulary) == {*SPECIAL, *WORDS}
    every = {tuple(words) for words in documents_in(file)}
    for split in data.splits.values():
        line = torch.cat([split.x.flatten(), split.y[-1, -1:]])
        assert torch.equal(split.y.flatten(), line[1:])
        whole = sentences(data, [line.tolist()])
        assert set(whole[:-1]) <= every  # the last may be cut
        assert int((line == START).sum()) >= len(whole)
    counted = sum(int((split.x == START).sum()) for split in data.splits.values())
    lost = int(data.notes[0].split()[0])
    tokens = sum(len(words) + 2 for words in documents_in(file)) - 3  # the last of a split has no next one
    assert sum(split.x.numel() for split in data.splits.values()) == tokens - lost
    assert counted <= 100


def test_padded_rows_are_a_document_each(file):
    data = bq.load_dataset(f"token:{file}", layout="padded", length=12)
    assert data.padding == PAD
    rows = [
        tuple(data.vocabulary[t] for t in x.tolist() if t > MASK) for s in data.splits.values() for x in s.x
    ]
    assert sorted(rows) == sorted(tuple(words) for words in documents_in(file))
    x, y = data["train"].x, data["train"].y
    assert bool((x[:, 0] == START).all())
    words = x != PAD
    assert torch.equal(y[:, :-1][words[:, 1:]], x[:, 1:][words[:, 1:]])
    last = words.sum(1) - 1
    assert bool((y[torch.arange(len(y)), last] == END).all())
    assert bool((y[~words] == UNLABELLED).all())
    short = bq.load_dataset(f"token:{file}", layout="padded", length=5)
    cut = sum(len(words) + 2 > 6 for words in documents_in(file))
    assert short.notes == (f"{cut} documents were cut to 5 tokens",)


@pytest.mark.parametrize("layout", ["packed", "padded"])
def test_hidden_tokens_are_the_labels_and_nothing_else_is(file, layout):
    options = {"task": "masked", "layout": layout, "length": 12, "mask_rate": 0.3, "copies": 4}
    data = bq.load_dataset(f"token:{file}", **options)
    assert (data.task, data.masked) == ("masked_token", True)
    train = data["train"]
    chosen = train.y != UNLABELLED
    assert bool(chosen.any(1).all())
    assert bool((train.y[chosen] > MASK).all())  # no start, end or padding is asked for
    assert 0.25 < float(chosen.sum() / (torch.where(chosen, train.y, train.x) > MASK).sum()) < 0.4
    # copies restore to the same sequences, and hide other tokens
    restored = torch.where(chosen, train.y, train.x).view(4, -1, 12)
    assert all(torch.equal(restored[0], other) for other in restored[1:])
    assert not torch.equal(train.x.view(4, -1, 12)[0], train.x.view(4, -1, 12)[1])
    assert torch.equal(bq.load_dataset(f"token:{file}", **options)["train"].x, train.x)


def test_of_the_chosen_tokens_eight_tenths_are_hidden_and_a_tenth_replaced():
    tokenizer = WordTokenizer((*SPECIAL, *map(str, range(50))))
    tokens = np.random.default_rng(0).integers(5, 55, (400, 50)).astype(np.int32)
    tokens[:, -1] = PAD
    x, y = masked_tokens(tokens, torch.arange(400), tokenizer, rate=0.15, seed=0)
    chosen = y != UNLABELLED
    assert not chosen[:, -1].any()
    assert (x[~chosen] == tokens[~chosen]).all()
    shares = [
        float(np.mean(part)) for part in (chosen[:, :-1], x[chosen] == MASK, x[chosen] == tokens[chosen])
    ]
    # five standard errors; a random token is the old one in one of 50 cases
    for share, expected, count in zip(shares, (0.15, 0.8, 0.102), (19_600, 2_940, 2_940), strict=True):
        assert abs(share - expected) < 5 * (expected * (1 - expected) / count) ** 0.5
    assert not np.isin(x[chosen], [PAD, START, END]).any()


def test_other_files_hold_the_other_splits_and_count_for_the_content(file, tmp_path):
    for name, text in (("train.txt", "the cat sleeps\n" * 20), ("held.txt", "a dog sees the bird\n" * 5)):
        (tmp_path / name).write_text(text)
    options = {"validation": "held.txt", "test": "held.txt", "length": 4}
    data = bq.load_dataset(f"token:{tmp_path / 'train.txt'}", **options)
    assert "dog" not in data.vocabulary  # the vocabulary is that of the training documents
    assert UNKNOWN in data["test"].x
    before = content_digest(f"token:{tmp_path / 'train.txt'}", options)
    (tmp_path / "held.txt").write_text("the cat\n" * 9)
    assert content_digest(f"token:{tmp_path / 'train.txt'}", options) != before


def test_what_cannot_become_documents_is_refused(file, tmp_path):
    with pytest.raises(DataError, match="has too few tokens for a row in validation and test"):
        bq.load_dataset(f"token:{file}", length=100)
    with pytest.raises(ConfigError, match="layout"):
        bq.load_dataset(f"token:{file}", layout="stacked")
    (tmp_path / "empty.txt").write_text("\n \n")
    with pytest.raises(DataError, match="holds no documents"):
        bq.load_dataset(f"token:{tmp_path / 'empty.txt'}")
    (tmp_path / "latin.txt").write_bytes("caf\xe9\n".encode("latin-1"))
    with pytest.raises(DataError, match="cannot be read as text"):
        bq.load_dataset(f"token:{tmp_path / 'latin.txt'}")


def gpt_tokenizer(path, special):
    """A tokenizer of the library whose one special token begins, ends and fills, as that of GPT-2 does."""
    library = pytest.importorskip("tokenizers")
    vocabulary = {token: k for k, token in enumerate([special, "<unk>", *WORDS])}
    tokenizer = library.Tokenizer(library.models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = library.pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens([special])
    tokenizer.save(str(path))
    return str(path)


def test_a_tokenizer_without_padding_or_mask_packs_and_is_refused_for_the_rest(file, tmp_path):
    name = gpt_tokenizer(tmp_path / "tokenizer.json", "<|endoftext|>")
    data = bq.load_dataset(f"token:{file}", tokenizer=name, length=8)
    assert data.vocabulary[0] == "<|endoftext|>"
    assert int((data["train"].x == 0).sum()) > 0
    with pytest.raises(DataError, match="cannot mask tokens"):
        bq.load_dataset(f"token:{file}", tokenizer=name, task="masked")
    padded = bq.load_dataset(f"token:{file}", tokenizer=name, layout="padded", length=12)
    assert padded.padding == 0  # it fills rows up, since no document begins with it


def test_beginnings_are_read_as_documents_are(file, tmp_path):
    data = bq.load_dataset(f"token:{file}", layout="padded", length=12)
    fitted = bq.fit("lstm_lm", data, epochs=1, batch=16)
    text = " ".join(documents_in(file)[0][:3])
    tokens = torch.tensor([[START, *data.tokenizer.bare([text])[0]]])
    again = bq.load(fitted.save(tmp_path / "student"))
    assert torch.equal(again.logits([text]), fitted.logits(tokens))
    assert again.task == "next_token"


@pytest.mark.parametrize("task", ["causal", "masked"])
@pytest.mark.parametrize("layout", ["packed", "padded"])
def test_every_form_is_learnt(file, task, layout):
    data = bq.load_dataset(f"token:{file}", task=task, layout=layout, length=12)
    name = {"causal": "transformer_lm", "masked": "transformer_mlm"}[task]
    fitted = bq.fit(name, data, epochs=3, batch=8, lr=3e-3)
    assert fitted.history[-1]["nll"] < fitted.history[0]["nll"]
