"""The published file of agreement sentences: every column read, wrong files refused."""

from __future__ import annotations

import gzip

import pytest
import torch

from bequest.data.grammar import Grammar, sentences
from bequest.data.inflection import present
from bequest.data.lexicon import VERBS, VOCABULARY
from bequest.data.linzen import COLUMNS, FILE, linzen
from bequest.data.outline import outline_of
from bequest.errors import DataError


def line_of(sentence):
    """A sentence of the grammar as a line of the published file."""
    words = list(sentence.words)
    known = {
        "sentence": " ".join(words),
        "orig_sentence": " ".join(words),
        "verb": words[sentence.verb],
        "verb_pos": ("VBZ", "VBP")[sentence.number],
        "subj_index": sentence.subject + 1,
        "verb_index": sentence.verb + 1,
        "n_intervening": sentence.intervening,
        "n_diff_intervening": sentence.attractors,
        "distance": sentence.distance,
    }
    return "\t".join(str(known.get(name, "_")) for name in COLUMNS)


@pytest.fixture(scope="module")
def spoken():
    return list(sentences(Grammar((0, 4)), 1000, seed=0, name="linzen"))


@pytest.fixture(scope="module")
def root(spoken, tmp_path_factory):
    folder = tmp_path_factory.mktemp("linzen")
    (folder / FILE).write_text("\n".join(["\t".join(COLUMNS), *map(line_of, spoken), ""]))
    return folder


def test_it_is_dealt_as_published(root):
    data = linzen(root=str(root), probe=50, queries=100)
    assert len(data["train"]) == 100
    assert len(data["validation"]) == 10
    assert len(data["test"]) == 50
    assert len(data["queries"]) == 100
    assert data["queries"].y is None
    assert set(data["far"].about["attractors"].tolist()) == {2, 3, 4}
    assert int(data["graded"].about["distance"].max()) <= 16
    assert not set(data["queries"].ids.tolist()) & set(data["graded"].ids.tolist())
    assert set(data["far"].ids.tolist()) <= set(data["graded"].ids.tolist())


def test_packed_and_unpacked_files_are_the_same(root, tmp_path):
    (tmp_path / "language").mkdir()
    with gzip.open(tmp_path / "language" / f"{FILE}.gz", "wt") as file:
        file.write((root / FILE).read_text())
    assert linzen(root=str(tmp_path)).digest == linzen(root=str(root)).digest


def test_rows_hold_the_words_before_the_verb(root, spoken):
    data = linzen(root=str(root))
    told = {(" ".join(s.words[: s.verb]), s.number) for s in spoken}
    for row, label in zip(data["train"].x.tolist(), data["train"].y.tolist(), strict=True):
        words = [data.vocabulary[token] for token in row if token]
        assert words[-1] == "<end>"
        assert (" ".join(words[:-1]), label) in told


def test_verbs_with_a_form_outside_the_vocabulary_are_dropped_or_kept_as_wrong(root):
    kept = linzen(root=str(root), form="language", unknown_verbs="wrong", probe=10_000)
    dropped = linzen(root=str(root), form="language", probe=10_000)
    forms = kept["graded"].about
    absent = (forms["singular"] < 0) | (forms["plural"] < 0)
    assert 0 < int(absent.sum()) < len(absent)
    assert len(dropped["graded"]) < len(kept["graded"])
    assert int(dropped["graded"].about["plural"].min()) > 0
    assert int(dropped["graded"].about["singular"].min()) > 0
    assert len(dropped["train"]) == len(kept["train"])


def test_both_forms_of_a_verb_are_found(root):
    data = linzen(root=str(root))
    about = data["graded"].about
    pairs = {verb.plural: verb.singular for verb in VERBS}
    for plural, singular in zip(about["plural"].tolist(), about["singular"].tolist(), strict=True):
        assert pairs[data.vocabulary[plural]] == data.vocabulary[singular]
    assert present("carry")[0] == "carries"


def test_the_language_form_has_the_same_sentences(root):
    one, other = linzen(root=str(root)), linzen(root=str(root), form="language")
    assert torch.equal(one["graded"].ids, other["graded"].ids)
    assert other.next_token


def test_files_that_are_not_there_or_not_right(root, tmp_path):
    with pytest.raises(DataError, match="Linzen's sentences were not found") as caught:
        linzen(root=str(tmp_path))
    assert "TalLinzen/rnn_agreement" in str(caught.value)
    text = (root / FILE).read_text().splitlines()
    (tmp_path / FILE).write_text("\n".join([text[0].replace("verb_pos", "pos"), *text[1:]]))
    with pytest.raises(DataError, match="lacks columns"):
        linzen(root=str(tmp_path))
    (tmp_path / FILE).write_text("\n".join([*text[:3], text[3].replace("VB", "NN")]))
    with pytest.raises(DataError, match=r"line 4 is not a sentence with a verb"):
        linzen(root=str(tmp_path))
    (tmp_path / FILE).unlink()
    (tmp_path / f"{FILE}.gz").write_bytes(b"no archive")
    with pytest.raises(DataError, match="cannot be read"):
        linzen(root=str(tmp_path))
    with pytest.raises(DataError, match="no such option"):
        linzen(root=str(root), unknown_verbs="guess")


def test_its_size_is_known_before_it_is_there():
    one, other = outline_of("linzen", {}), outline_of("linzen", {"form": "language", "rows": 1000})
    assert (one.input_shape, one.classes, one.samples) == ((51,), 2, 157_721)
    assert (other.classes, other.samples, other.padding) == (one.vocabulary, 100, 0)
    assert outline_of("agreement", {"train": 50}).vocabulary == len(VOCABULARY)
