"""Texts as tokens: tokenizers, and inputs made from them."""

from bequest.data.text.tokenizer import Tokenizer
from bequest.data.text.tokenizer_names import read_tokenizer, train_tokenizer
from bequest.data.text.words import WordTokenizer

__all__ = ["Tokenizer", "WordTokenizer", "read_tokenizer", "train_tokenizer"]
