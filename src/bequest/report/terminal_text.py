"""Text from outside on a terminal: no markup is read in it, and no control character reaches the screen.

Names, labels and messages come from studies and folders that somebody else may have written. Rich reads
``[bold]`` in a string as markup, and a terminal obeys an escape sequence wherever it comes from.
"""

from __future__ import annotations

from rich.text import Text

from bequest.printable import safe

__all__ = ["safe", "safe_text"]


def safe_text(text: object, style: str = "") -> Text:
    """:func:`safe` as a rich ``Text``, in which nothing is read as markup.

    >>> safe_text("[bold]x[/]").plain
    '[bold]x[/]'
    """
    return Text(safe(text), style=style)
