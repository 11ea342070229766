"""Text for people: counts with their nouns, and text from outside without control characters."""

from __future__ import annotations

import re
import unicodedata

_UNSAFE = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}
"""Unicode categories of control and format characters (bidirectional overrides), surrogates, private use."""

_SEQUENCE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
"""A colour or a movement of the cursor, as rich writes them to terminals (ECMA-48, CSI)."""


def safe(text: object) -> str:
    r"""``text`` with every control character escaped; newlines and tabs stay.

    >>> print(safe("a\x1b[31mb"))
    a\x1b[31mb
    """
    shown = str(text)
    # The common case, without a look at each character.
    if shown.isascii() and shown.replace("\n", "").replace("\t", "").isprintable():
        return shown
    return "".join(_shown(character) for character in shown)


def safe_but_coloured(text: str) -> str:
    r"""Like :func:`safe`, but keeps colours, movements of the cursor and carriage returns.

    >>> safe_but_coloured("\x1b[1mbold\x1b[0m\r") == "\x1b[1mbold\x1b[0m\r"
    True
    >>> print(safe_but_coloured("\x1b]0;title\x07"))
    \x1b]0;title\x07
    """
    lines = [part.split("\r") for part in _SEQUENCE.split(text)]
    parts = ["\r".join(map(safe, line)) for line in lines]
    sequences = [*_SEQUENCE.findall(text), ""]
    return "".join(part + sequence for part, sequence in zip(parts, sequences, strict=True))


def counted(number: int, noun: str) -> str:
    """How many there are of what ``noun`` names in the singular; the plural takes an s.

    >>> counted(1, "cell"), counted(3, "cell")
    ('1 cell', '3 cells')
    """
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _shown(character: str) -> str:
    if character in "\n\t" or unicodedata.category(character) not in _UNSAFE:
        return character
    return character.encode("unicode_escape").decode()
