"""Text from outside on a terminal: no markup is read in it, and no control character reaches the screen.

Names, labels and messages come from studies and folders that somebody else may have written. Rich reads
``[bold]`` in a string as markup, and a terminal obeys an escape sequence wherever it comes from.
"""

from __future__ import annotations

import unicodedata

from rich.text import Text

_UNSAFE = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}
"""Unicode categories of control and format characters (bidirectional overrides), surrogates, private use."""


def safe(text: object) -> str:
    r"""``text`` with every control character spelt out; newlines and tabs stay.

    For ``print`` and ``typer.echo``, and for ``console.print(..., markup=False)``.

    >>> print(safe("a\x1b[31mb"))
    a\x1b[31mb
    """
    return "".join(_shown(character) for character in str(text))


def safe_text(text: object, style: str = "") -> Text:
    """:func:`safe` as a rich ``Text``, in which nothing is read as markup.

    >>> safe_text("[bold]x[/]").plain
    '[bold]x[/]'
    """
    return Text(safe(text), style=style)


def _shown(character: str) -> str:
    if character in "\n\t" or unicodedata.category(character) not in _UNSAFE:
        return character
    return character.encode("unicode_escape").decode()
