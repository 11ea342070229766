"""Texts as tokens: tokenizers, and what of a text a network is shown."""

from bequest.data.text.tokenizer import Tokenizer
from bequest.data.text.tokenizer_names import read_tokenizer, train_tokenizer
from bequest.data.text.words import WordTokenizer

__all__ = ["Tokenizer", "WordTokenizer", "read_tokenizer", "train_tokenizer"]
