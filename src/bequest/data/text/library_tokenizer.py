"""Tokenizers of the libraries ``tokenizers`` and ``transformers``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from typing_extensions import override

from bequest.data.text.tokenizer import Tokenizer
from bequest.errors import DataError, MissingExtra
from bequest.files import write_text

ENDLESS = 1_000_000
"""Lengths from here on mean "unlimited" in configurations of transformers."""

PADDINGS = ("[PAD]", "<pad>", "<|pad|>")
STARTS = ("[CLS]", "<s>", "<start>", "<bos>", "<|startoftext|>")
ENDS = ("[SEP]", "</s>", "<end>", "<eos>", "<|endoftext|>")
MASKS = ("[MASK]", "<mask>")


class LibraryTokenizer(Tokenizer):
    """A tokenizer of the library ``tokenizers``, from a file or from transformers.

    Args:
        name: Its origin.
        backend: A ``tokenizers.Tokenizer``.
        special: Ids of the special tokens, by the attributes of :class:`Tokenizer`.
        longest: The longest sequence; None if unlimited.
    """

    def __init__(
        self, name: str, backend: Any, special: dict[str, int | None], *, longest: int | None = None
    ) -> None:
        # Settings of the file: texts are padded and cut here, per batch, not by the library.
        backend.no_padding()
        backend.no_truncation()
        self.name, self._backend, self.longest = name, backend, longest
        ids = backend.get_vocab(with_added_tokens=True)
        tokens = {number: token for token, number in ids.items()}
        self.vocabulary = tuple(tokens.get(k, f"<unused {k}>") for k in range(max(tokens, default=-1) + 1))
        self.padding, self.start = special["padding"], special["start"]
        self.end, self.mask = special["end"], special["mask"]
        self.separator = special["separator"] if self._tells_pairs_apart() else None

    @override
    def framed(self, texts: Sequence[Sequence[str]], length: int | None) -> list[list[int]]:
        rows = [parts[0] if len(parts) == 1 else tuple(parts) for parts in texts]
        if length is None:
            return [encoding.ids for encoding in self._backend.encode_batch(rows)]
        self._backend.enable_truncation(length)
        try:
            return [encoding.ids for encoding in self._backend.encode_batch(rows)]
        finally:
            self._backend.no_truncation()

    @override
    def bare(self, texts: Sequence[str]) -> list[list[int]]:
        return [each.ids for each in self._backend.encode_batch(list(texts), add_special_tokens=False)]

    @override
    def text(self, tokens: Sequence[int]) -> str:
        return str(self._backend.decode(list(tokens)))

    @override
    def save(self, path: str | Path) -> Path:
        if self.padding is not None:  # the file records the padding token and the longest sequence
            self._backend.enable_padding(pad_id=self.padding, pad_token=self.vocabulary[self.padding])
        if self.longest is not None:
            self._backend.enable_truncation(self.longest)
        try:
            return write_text(path, self._backend.to_str(pretty=True) + "\n")
        finally:
            self._backend.no_padding()
            self._backend.no_truncation()

    def _tells_pairs_apart(self) -> bool:
        """Whether the tokens of a second text have another type id."""
        return 1 in self._backend.encode("a", "a").type_ids


def library_tokenizer(name: str, place: Path | None) -> LibraryTokenizer:
    """The tokenizer in a file ``tokenizer.json``, in a folder of transformers, or of that name on the hub.

    Args:
        name: The name as given.
        place: Its file or folder; None for a name on the hub.

    Raises:
        MissingExtra: If the library is not installed.
        DataError: If there is no such tokenizer.
    """
    if place is not None and place.is_file():
        return _of_file(name, place)
    return _of_transformers(name, str(place or name))


def _of_file(name: str, path: Path) -> LibraryTokenizer:
    try:
        import tokenizers
    except ImportError as error:
        raise _missing("tokenizers", error) from error
    try:
        backend = tokenizers.Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises bare exceptions
        raise DataError(
            f"{path} is not a tokenizer", expected="tokenizer.json", got=str(error)[:200]
        ) from error
    padding = None if backend.padding is None else backend.padding["pad_id"]
    special = {
        "padding": padding if padding is not None else _first(backend, PADDINGS),
        "start": _first(backend, STARTS),
        "end": _first(backend, ENDS),
        "mask": _first(backend, MASKS),
        "separator": _first(backend, ENDS),
    }
    longest = None if backend.truncation is None else int(backend.truncation["max_length"])
    return LibraryTokenizer(name, backend, special, longest=longest)


def _of_transformers(name: str, source: str) -> LibraryTokenizer:
    try:
        import transformers
    except ImportError as error:
        raise _missing("transformers", error) from error
    try:
        tokenizer: Any = transformers.AutoTokenizer.from_pretrained(source, trust_remote_code=False)
        backend = tokenizer.backend_tokenizer
    except Exception as error:  # network, names, formats: there is no common base
        raise DataError(
            f"there is no tokenizer {name!r}",
            expected="a folder with a tokenizer of transformers, a file tokenizer.json, or a name on the hub",
            got=" ".join(str(error).split())[:200],
            remedy="leave out the option tokenizer to train a word-level one on the data",
        ) from error
    typed = "token_type_ids" in tokenizer.model_input_names
    special = {
        "padding": tokenizer.pad_token_id,
        "start": tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.cls_token_id,
        "end": tokenizer.eos_token_id if tokenizer.eos_token_id is not None else tokenizer.sep_token_id,
        "mask": tokenizer.mask_token_id,
        "separator": tokenizer.sep_token_id if typed else None,
    }
    longest = int(tokenizer.model_max_length)
    return LibraryTokenizer(name, backend, special, longest=longest if longest < ENDLESS else None)


def _first(backend: Any, tokens: Sequence[str]) -> int | None:
    """The id of the first of ``tokens`` that exists."""
    ids = (backend.token_to_id(token) for token in tokens)
    return next((number for number in ids if number is not None), None)


def _missing(package: str, error: Exception) -> MissingExtra:
    return MissingExtra(
        f"this tokenizer needs the package {package}",
        got=error,
        remedy=f"python -m pip install -c constraints.txt {package}; or leave out the option tokenizer for a "
        "word-level one",
    )
